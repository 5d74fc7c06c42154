/* The stand of the tests of kata-agent: see agent-stand.h. */
#include "tests/component/agent-stand.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/str.h"

struct wire_strings strings(char **items)
{
	struct wire_strings list = { .items = items };

	while (items[list.count] != NULL)
		list.count++;
	return list;
}

static char *default_env[] = { TEXT("PATH=/sbin:/bin"), TEXT("A=b c"), NULL };

struct msg_process process(char **args)
{
	struct msg_process p = { .args = strings(args),
				 .env = strings(default_env),
				 .cwd = TEXT("/"),
				 .has_capabilities = true,
				 .capabilities = { .bounding = DEFAULT_CAPS,
						   .effective = DEFAULT_CAPS,
						   .permitted = DEFAULT_CAPS } };

	return p;
}

struct msg_process shell(const char *script)
{
	static char *args[] = { TEXT("sh"), TEXT("-c"), NULL, NULL };

	args[2] = TEXT(script);
	return process(args);
}

struct msg_mount default_mounts[DEFAULT_MOUNTS] = {
	{ TEXT("/proc"), TEXT("proc"), TEXT("proc"), 0, 0, TEXT(""), false, 0, 0 },
	{ TEXT("/dev"), TEXT("tmpfs"), TEXT("tmpfs"), MS_NOSUID | MS_STRICTATIME, 0,
	  TEXT("mode=755,size=65536k"), false, 0, 0 },
	{ TEXT("/dev/pts"), TEXT("devpts"), TEXT("devpts"), MS_NOSUID | MS_NOEXEC, 0,
	  TEXT("newinstance,ptmxmode=0666,mode=0620,gid=5"), false, 0, 0 },
	{ TEXT("/dev/shm"), TEXT("tmpfs"), TEXT("shm"), MS_NOSUID | MS_NODEV | MS_NOEXEC, 0,
	  TEXT("mode=1777,size=64k"), false, 0, 0 },
	{ TEXT("/dev/mqueue"), TEXT("mqueue"), TEXT("mqueue"), MS_NOSUID | MS_NODEV | MS_NOEXEC, 0,
	  TEXT(""), false, 0, 0 },
	{ TEXT("/sys"), TEXT("sysfs"), TEXT("sysfs"), MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
	  0, TEXT(""), false, 0, 0 },
	{ TEXT("/sys/fs/cgroup"), TEXT("cgroup"), TEXT("cgroup"),
	  MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, 0, TEXT(""), false, 0, 0 },
};

struct msg_create container(struct msg_process first)
{
	struct msg_create c = { .container = TEXT("c1"),
				.rootfs = TEXT("c1/rootfs"),
				.hostname = TEXT(""),
				.process = first,
				.mounts = default_mounts,
				.n_mounts = ARRAY_SIZE(default_mounts) };

	return c;
}

struct msg_exec further(struct msg_process p)
{
	struct msg_exec e = { .container = TEXT("c1"), .process = p };

	return e;
}

struct stand stand(void)
{
	struct stand s = { .rig = rig_start(false) };

	s.runtime = caller_open(s.rig, ROLE_RUNTIME, 0);
	return s;
}

void start(struct stand *s, uint64_t handle)
{
	struct msg_start message = { .handle = handle };

	caller_must(s->runtime, MSG_START, &message);
}

void send_signal(struct stand *s, uint64_t handle, uint32_t signum, bool all)
{
	struct msg_signal message = { .handle = handle, .signum = signum, .all = all };

	caller_must(s->runtime, MSG_SIGNAL, &message);
}

void remove_container(struct stand *s)
{
	struct msg_remove message = { .container = TEXT("c1") };

	caller_must(s->runtime, MSG_REMOVE, &message);
}

struct caller *run(struct stand *s, enum msg_type type, const void *body)
{
	uint64_t handle = caller_must_create(s->runtime, type, body);
	struct caller *shim = caller_open(s->rig, ROLE_SHIM, handle);

	cr_assert(!shim->closed, "%s", shim->close_text);
	start(s, handle);
	return shim;
}

struct caller *run_first(struct stand *s, struct msg_process p)
{
	struct msg_create create = container(p);

	return run(s, MSG_CREATE, &create);
}

struct caller *run_further(struct stand *s, struct msg_process p)
{
	struct msg_exec exec = further(p);

	return run(s, MSG_EXEC, &exec);
}

void expect_text(struct caller *shim, unsigned stream, const char *wanted)
{
	CLEANUP(freep) char *text = caller_text(shim, stream);

	cr_expect_str_eq(text, wanted);
}

void expect_script(struct stand *s, const char *script, const char *wanted)
{
	struct caller *shim = run_further(s, shell(script));
	int code = caller_wait_exit(shim);
	CLEANUP(freep) char *out = caller_text(shim, STREAM_STDOUT);
	CLEANUP(freep) char *errors = caller_text(shim, STREAM_STDERR);

	cr_expect(code == 0 && str_eq(out, wanted), "%s: code %d\n%s%swanted:\n%s", script, code,
		  out, errors, wanted);
	caller_close(shim, CLOSE_DONE);
}

void expect_output(struct stand *s, enum msg_type type, const void *body, const char *wanted)
{
	struct caller *shim = run(s, type, body);
	int code = caller_wait_exit(shim);
	CLEANUP(freep) char *out = caller_text(shim, STREAM_STDOUT);
	CLEANUP(freep) char *errors = caller_text(shim, STREAM_STDERR);

	cr_expect(code == 0 && str_eq(out, wanted), "code %d\n%s%swanted:\n%s", code, out, errors,
		  wanted);
	caller_close(shim, CLOSE_DONE);
}
