/* kata-runtime/hooks.c: hooks are run with the state on their input, and their end is told. */
#include "kata-runtime/hooks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "tests/unit/hook-bundle.h"

static const struct hooks_state creating = { .id = "the-id", .status = "creating", .pid = 4321 };

/* One hook: a script for sh, with more of the hook's object behind it. */
static struct spec *make_script(const char *kind, const char *script, const char *more)
{
	CLEANUP(freep) char *text = NULL;

	cr_assert(asprintf(&text,
			   "{ \"%s\": [ { \"path\": \"/bin/sh\", \"args\": [ \"hook\", \"-c\", "
			   "\"%s\" ]%s } ] }",
			   kind, script, more) > 0);
	return bundle_spec(text);
}

static int run_first(const struct spec *spec, enum spec_hook_kind kind,
		     const struct hooks_state *state, struct error *err)
{
	return hooks_run_one(spec, kind, 0, state, err);
}

TestSuite(hooks, .init = bundle_set_up, .fini = bundle_tear_down);

static const char *text_of(struct json_object *object, const char *key)
{
	return json_object_get_string(json_object_object_get(object, key));
}

Test(hooks, state)
{
	const struct hooks_state stopped = { .id = "x", .status = "stopped" };
	CLEANUP(spec_freep) struct spec *spec = bundle_spec("{}");
	CLEANUP(freep) char *text = hooks_state_json(spec, &creating);
	struct json_object *object = json_tokener_parse(text);

	cr_assert_not_null(object);
	cr_expect_str_eq(text_of(object, "ociVersion"), "1.0.2");
	cr_expect_str_eq(text_of(object, "id"), "the-id");
	cr_expect_str_eq(text_of(object, "status"), "creating");
	cr_expect_eq(json_object_get_int(json_object_object_get(object, "pid")), 4321);
	cr_expect_str_eq(text_of(object, "bundle"), bundle_dir);
	cr_expect_str_eq(text_of(json_object_object_get(object, "annotations"), "org.example/name"),
			 "a \"value\"");
	json_object_put(object);
	free(text);

	/* what has stopped has no process */
	text = hooks_state_json(spec, &stopped);
	object = json_tokener_parse(text);
	cr_expect_str_eq(text_of(object, "status"), "stopped");
	cr_expect_not(json_object_object_get_ex(object, "pid", NULL));
	json_object_put(object);
}

Test(hooks, gets_the_state_and_the_bundle)
{
	CLEANUP(spec_freep)
	struct spec *spec = make_script("prestart", "cat >input; pwd >place; echo $0 >name", "");
	CLEANUP(freep) char *state = hooks_state_json(spec, &creating);
	struct error err = { 0 };

	cr_assert(run_first(spec, HOOK_PRESTART, &creating, &err) == 0, "%s", err.text);
	cr_expect_str_eq(bundle_text("input"), state);
	cr_expect(str_starts(bundle_text("place"), bundle_dir));
	cr_expect(str_starts(bundle_text("name"), "/bin/sh") ||
		  str_starts(bundle_text("name"), "hook"));
}

Test(hooks, runs_where_the_bundle_is_gone)
{
	CLEANUP(spec_freep)
	struct spec *spec = make_script("poststop", "pwd > /proc/$PPID/cwd/where", "");
	const struct hooks_state stopped = { .id = "the-id", .status = "stopped" };
	struct error err = { 0 };

	spec->bundle[strlen(spec->bundle) - 1] = '-'; /* no name of mkdtemp()'s */
	cr_assert(run_first(spec, HOOK_POSTSTOP, &stopped, &err) == 0, "%s", err.text);
	cr_assert_str_eq(bundle_text("where"), "/\n");
}

Test(hooks, environment_is_its_own_or_ours)
{
	CLEANUP(spec_freep)
	struct spec *own = make_script("poststart", "echo $A-$OURS >own", ", \"env\": [ \"A=b\" ]");
	CLEANUP(spec_freep) struct spec *ours = make_script("poststart", "echo $A-$OURS >ours", "");

	setenv("OURS", "given", 1);
	cr_expect(run_first(own, HOOK_POSTSTART, &creating, NULL) == 0);
	cr_expect(run_first(ours, HOOK_POSTSTART, &creating, NULL) == 0);
	cr_expect_str_eq(bundle_text("own"), "b-\n");
	cr_expect_str_eq(bundle_text("ours"), "-given\n");
}

Test(hooks, without_arguments_its_name_is_its_path)
{
	CLEANUP(spec_freep) struct spec *spec = NULL;
	CLEANUP(freep) char *hooks = NULL;
	CLEANUP(fd_close) int fd = open("script", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	cr_assert(dprintf(fd, "#!/bin/sh\necho $0 $# >called\n") > 0);
	fd_close(&fd);
	cr_assert(asprintf(&hooks, "{ \"createRuntime\": [ { \"path\": \"%s/script\" } ] }",
			   bundle_dir) > 0);
	spec = bundle_spec(hooks);
	cr_expect(run_first(spec, HOOK_CREATE_RUNTIME, &creating, NULL) == 0);
	cr_expect(strstr(bundle_text("called"), "/script 0\n") != NULL);
}

/* It inherits nothing but its three standard descriptors, no blocked and no ignored signals. */
Test(hooks, starts_clean)
{
	CLEANUP(spec_freep)
	struct spec *spec =
		make_script("prestart",
			    "for i in 3 4 5 6 7 8 9; do test ! -e /proc/$$/fd/$i || echo $i; done "
			    ">fds; grep -E '^Sig(Blk|Ign)' "
			    "/proc/self/status | tr -d '\\\\t' >signals; ps -o sid= -p $$ >session",
			    "");
	CLEANUP(fd_close) int open_fd = open("/dev/null", O_RDONLY); /* survives exec by itself */
	sigset_t all;

	cr_assert(open_fd > 2 && open_fd < 10);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	cr_assert(run_first(spec, HOOK_PRESTART, &creating, NULL) == 0);
	cr_expect_str_eq(bundle_text("fds"), "");
	cr_expect_str_eq(bundle_text("signals"),
			 "SigBlk:0000000000000000\nSigIgn:0000000000000000\n");
	cr_expect(atoi(bundle_text("session")) != getsid(0));
}

Test(hooks, failures_are_told)
{
	static const struct {
		const char *script;
		int error;
		const char *text; /* in the error */
	} cases[] = {
		{ "exit 3", EIO, "it exited with status 3" },
		{ "kill -9 $$", EIO, "signal 9" },
		{ "echo on stdout; exit 1", EIO, "1: on stdout" },
		{ "echo on stderr >&2; exit 1", EIO, "1: on stderr" },
		{ "echo first; echo last >&2; exit 1", EIO, "first\\x0alast" },
		/* the last of much */
		{ "head -c 100000 /dev/zero | tr '\\\\0' x; echo the end; exit 1", EIO,
		  "xxthe end" },
		/* who ends does not wait for what it left behind */
		{ "sleep 100 & echo gone; exit 1", EIO, "1: gone" },
		{ "exec /no/such/program", EIO, "exited with status 127" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(spec_freep)
		struct spec *spec = make_script("prestart", cases[i].script, "");
		int64_t late = deadline_in_ms(60000);
		struct error err = { 0 };

		cr_expect(run_first(spec, HOOK_PRESTART, &creating, &err) == -cases[i].error, "%s",
			  cases[i].script);
		cr_expect(strstr(err.text, cases[i].text) != NULL, "%s: %s", cases[i].script,
			  err.text);
		cr_expect(deadline_left_ms(late) > 0, "%s", cases[i].script);
	}
}

Test(hooks, what_is_no_program_is_told)
{
	CLEANUP(spec_freep)
	struct spec *missing = bundle_spec("{ \"prestart\": [ { \"path\": \"/no/such/hook\" } ] }");
	CLEANUP(spec_freep)
	struct spec *directory = bundle_spec("{ \"prestart\": [ { \"path\": \"/tmp\" } ] }");
	struct error err = { 0 };

	cr_expect(run_first(missing, HOOK_PRESTART, &creating, &err) == -EIO);
	cr_expect(strstr(err.text, "hooks.prestart[0] /no/such/hook") != NULL, "%s", err.text);
	/* said so that docker does not take it for the container's program */
	cr_expect(strstr(err.text, "o such file") == NULL, "%s", err.text);
	cr_expect(run_first(directory, HOOK_PRESTART, &creating, &err) == -EIO);
}

/* A hook that does not end in its time is killed, and with it what it began. */
Test(hooks, timeout)
{
	CLEANUP(spec_freep)
	struct spec *spec =
		make_script("prestart", "sleep 98 & echo $! >pid; sleep 99", ", \"timeout\": 1");
	int64_t late = deadline_in_ms(60000), gone = 0;
	struct error err = { 0 };
	pid_t child;

	cr_expect(run_first(spec, HOOK_PRESTART, &creating, &err) == -ETIMEDOUT);
	cr_expect(strstr(err.text, "timeout of 1 s") != NULL, "%s", err.text);
	cr_expect(deadline_left_ms(late) > 0);
	child = atoi(bundle_text("pid"));
	cr_assert(child > 1);
	for (gone = deadline_in_ms(20000); deadline_left_ms(gone) > 0; usleep(10000)) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/stat", child);
		if (access(path, F_OK) < 0 || strstr(bundle_text(path), ") Z ") != NULL)
			break;
	}
	cr_expect(deadline_left_ms(gone) > 0, "what the hook began is still there");
}

/* Much output that nobody reads in time does not hold a good hook up. */
Test(hooks, much_output)
{
	CLEANUP(spec_freep)
	struct spec *spec = make_script("prestart", "head -c 1000000 /dev/zero", "");
	struct error err = { 0 };

	cr_expect(run_first(spec, HOOK_PRESTART, &creating, &err) == 0, "%s", err.text);
}
