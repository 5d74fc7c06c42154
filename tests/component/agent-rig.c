/* The stand of kata-agent's component tests: see agent-rig.h. */
#include "tests/component/agent-rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "common/wire.h"

/* The one that is not stopped yet. */
static struct rig *current;

/* --- the agent and its surroundings ----------------------------------------------------------- */

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "agent rig: %s: %s\n", what, strerror(errno));
		_exit(99);
	}
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
	close(fd);
}

static void copy_program(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	struct stat st;

	must(in >= 0 && out >= 0 && fstat(in, &st) == 0, to);
	must(sendfile(out, in, NULL, (size_t)st.st_size) == st.st_size, to);
	close(in);
	close(out);
}

/* In a tmpfs of the agent's mount namespace, so that it is gone with that. */
static void fill_share(void)
{
	static const char *const dirs[] = { "c1",
					    "c1/rootfs",
					    "c1/rootfs/bin",
					    "c1/rootfs/etc",
					    "c1/rootfs/dev",
					    "c1/rootfs/proc",
					    "c1/rootfs/sys",
					    "c1/rootfs/tmp",
					    "c1/rootfs/root",
					    "c1/rootfs/home",
					    "c1/dir",
					    "c1/rootfs/masked",
					    "c1/rootfs/template",
					    "c1/rootfs/template/sub" };
	static const char *const applets[] = {
		"sh",   "cat",   "echo",  "sleep", "stty", "ls",       "id",       "true",  "false",
		"head", "dd",    "tr",    "mount", "grep", "readlink", "hostname", "ps",    "stat",
		"wc",   "touch", "mkdir", "kill",  "seq",  "yes",      "mknod",    "chmod", "rm"
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		must(mkdir(dirs[i], 0755) == 0, dirs[i]);
	copy_program("/bin/busybox", "c1/rootfs/bin/busybox");
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		char path[64];

		must(str_format(path, sizeof(path), "c1/rootfs/bin/%s", applets[i]) == 0 &&
			     symlink("busybox", path) == 0,
		     applets[i]);
	}
	put_file("c1/file", "shared file\n");
	put_file("c1/dir/inside", "inside\n");
	put_file("c1/rootfs/etc/passwd",
		 "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n");
	put_file("c1/rootfs/etc/not-a-program", "text\n");
	put_file("c1/rootfs/masked/inside", "secret\n");
	put_file("c1/rootfs/secret", "secret\n");
	put_file("c1/rootfs/template/one", "one\n");
	put_file("c1/rootfs/template/sub/two", "two\n");
	must(chmod("c1/rootfs/template/one", 04711) == 0, "chmod");
	must(symlink("sub/two", "c1/rootfs/template/link") == 0, "symlink");
	/* links as a hostile image would have them */
	must(symlink("/../../../../etc/made", "c1/rootfs/escape") == 0, "symlink");
	must(symlink("nowhere/deep", "c1/rootfs/dangling") == 0, "symlink");
	must(symlink("loop", "c1/rootfs/loop") == 0, "symlink");
}

static void find_cgroup2(char *path, size_t size)
{
	CLEANUP(file_close) FILE *file = fopen("/proc/self/mounts", "re");
	char line[4096], where[1024], type[64];

	must(file != NULL, "/proc/self/mounts");
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%*s %1023s %63s", where, type) == 2 && str_eq(type, "cgroup2")) {
			must(str_format(path, size, "%s/kata-agent-test.%d", where, getpid()) == 0,
			     "cgroup path");
			return;
		}
	}
	must(false, "find a cgroup2 hierarchy");
}

static const char *agent_program(void)
{
	const char *program = getenv("KATA_AGENT");

	return program != NULL ? program : "kata-agent/kata-agent";
}

/* The agent is pid 1 of its namespace: with it goes everything it has started. */
static _Noreturn void run_agent(struct rig *rig, int socket)
{
	char number[16], program[PATH_MAX];

	must(realpath(agent_program(), program) != NULL, agent_program());
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(mount("proc", "/proc", "proc", 0, NULL) == 0, "mount /proc");
	must(mount("tmpfs", rig->dir, "tmpfs", 0, NULL) == 0, "mount the share");
	must(chdir(rig->dir) == 0, "enter the share");
	fill_share();
	must(chdir("/") == 0, "leave the share");
	must(fcntl(socket, F_SETFD, 0) == 0, "socket");
	snprintf(number, sizeof(number), "%d", socket);
	execl(program, "kata-agent", "--no-init", "--socket", number, "--share", rig->dir,
	      "--cgroup", rig->cgroup, NULL);
	must(false, program);
	_exit(99);
}

/* Its exit status says how the agent ended. */
static _Noreturn void keep(struct rig *rig, int socket)
{
	int status;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd_close(&rig->link); /* or the agent would not see its end */
	must(unshare(CLONE_NEWNS | CLONE_NEWPID) == 0, "unshare");
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0)
		run_agent(rig, socket);
	close(socket);
	must(waitpid(pid, &status, 0) == pid, "wait");
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
}

static int listen_somewhere(struct sockaddr_un *address)
{
	socklen_t len = sizeof(*address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* An address that the kernel chooses: the tests' own, gone with the socket. */
	cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)) == 0);
	cr_assert(listen(fd, 4) == 0 && getsockname(fd, (struct sockaddr *)address, &len) == 0);
	return fd;
}

static int connect_again(int listening)
{
	struct sockaddr_un address;
	socklen_t len = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0 && getsockname(listening, (struct sockaddr *)&address, &len) == 0);
	cr_assert(connect(fd, (struct sockaddr *)&address, len) == 0);
	return fd;
}

/* All in one write, as the driver of a port gives it to a read. */
static void say_hello(struct rig *rig)
{
	static const uint8_t key[FRAME_KEY] = "the key";
	struct msg_hello hello = { .version = PROTOCOL_VERSION,
				   .component = (char[]){ "proxy" },
				   .release = (char[]){ "test" } };
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct frame frame = { .type = FRAME_HELLO };
	uint8_t nonce[FRAME_NONCE];
	struct error err;

	frame_new_nonce(nonce);
	frame_set_key(nonce, key);
	buf_reserve(&out, FRAME_HEADER);
	buf_commit(&out, FRAME_HEADER);
	cr_assert(frame_put_hello(&out, nonce, &hello, &err) == 0);
	frame.length = (uint32_t)(buf_len(&out) - FRAME_HEADER);
	frame_put_header(buf_at(&out), &frame);
	cr_assert(write(rig->link, buf_at(&out), buf_len(&out)) == (ssize_t)buf_len(&out));
	rig_until(rig, &rig->greeted, "the agent's hello");
}

static void say_stale(const struct rig *rig)
{
	const char stale[] = "stale bytes of an earlier connection";

	cr_assert(write(rig->link, stale, sizeof(stale)) == sizeof(stale));
}

struct rig *rig_start(bool listening)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct sockaddr_un address;
	int pair[2];

	current = rig;
	cr_assert(geteuid() == 0, "these tests need root");
	signal(SIGPIPE, SIG_IGN);
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/kata-agent-test.XXXXXX");
	cr_assert_not_null(mkdtemp(rig->dir));
	find_cgroup2(rig->cgroup, sizeof(rig->cgroup));
	cr_assert(mkdir(rig->cgroup, 0755) == 0, "%s", rig->cgroup);
	rig->listening = -1;
	rig->next_channel = 1;
	if (listening) {
		rig->listening = listen_somewhere(&address);
		pair[0] = connect_again(rig->listening);
		pair[1] = fcntl(rig->listening, F_DUPFD_CLOEXEC, 3);
	} else {
		cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	}
	rig->link = pair[0];
	rig->keeper = fork();
	cr_assert(rig->keeper >= 0);
	if (rig->keeper == 0)
		keep(rig, pair[1]);
	close(pair[1]);
	say_stale(rig);
	say_hello(rig);
	return rig;
}

static int wait_keeper(struct rig *rig)
{
	int64_t deadline = deadline_in_ms(RIG_WAIT_MS);
	int status;

	for (;;) {
		pid_t pid = waitpid(rig->keeper, &status, WNOHANG);

		if (pid == rig->keeper)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		if (deadline_left_ms(deadline) == 0) {
			kill(rig->keeper, SIGKILL);
			return -2;
		}
		usleep(2000);
	}
}

/* The agent dies with its keeper, and its namespace with the agent. */
void rig_drop(void)
{
	char path[320];
	int64_t deadline = deadline_in_ms(RIG_WAIT_MS);

	if (current == NULL)
		return;
	if (current->keeper > 0 && kill(current->keeper, SIGKILL) == 0)
		waitpid(current->keeper, NULL, 0);
	do {
		snprintf(path, sizeof(path), "%s/kata/c1", current->cgroup);
		if (rmdir(path) < 0 && errno == EBUSY)
			usleep(5000);
		snprintf(path, sizeof(path), "%s/kata", current->cgroup);
		rmdir(path);
	} while (rmdir(current->cgroup) < 0 && errno == EBUSY && deadline_left_ms(deadline) > 0);
	rmdir(current->dir);
	current = NULL;
}

void rig_stop(struct rig *rig)
{
	char path[160];
	int code;

	if (rig->listening >= 0 && rig->link >= 0) {
		struct caller *caller = caller_open(rig, ROLE_RUNTIME, 0);

		caller_must(caller, MSG_SHUTDOWN, NULL);
	}
	fd_close(&rig->link);
	code = wait_keeper(rig);
	snprintf(path, sizeof(path), "%s/kata", rig->cgroup);
	cr_expect(rmdir(path) == 0 || errno == ENOENT, "cgroups are left in %s", path);
	cr_expect(rmdir(rig->cgroup) == 0, "processes are left in %s", rig->cgroup);
	cr_expect(rmdir(rig->dir) == 0);
	cr_expect(code == 0, "the agent ended with %d", code);
	current = NULL;
	fd_close(&rig->listening);
	buf_fini(&rig->input);
	for (uint32_t i = 0; i < rig->next_channel && i < RIG_CALLERS; i++) {
		struct caller *caller = rig->callers[i];

		if (caller == NULL)
			continue;
		session_fini(&caller->session);
		for (unsigned s = 0; s < STREAM_COUNT; s++)
			buf_fini(&caller->out[s]);
		wire_free(caller->reply_type, caller->reply);
		free(caller);
	}
	free(rig);
}

void rig_cut(struct rig *rig)
{
	fd_close(&rig->link);
	buf_fini(&rig->input);
	for (uint32_t i = 0; i < rig->next_channel; i++)
		if (rig->callers[i] != NULL)
			session_link_down(&rig->callers[i]->session);
}

void rig_join(struct rig *rig)
{
	rig->link = connect_again(rig->listening);
	rig->greeted = false;
	say_stale(rig);
	say_hello(rig);
}

void rig_usurp(struct rig *rig, uint32_t channel)
{
	/* DATA of stdin with 100 bytes, of which the last 60 never come. */
	struct frame frame = { .channel = channel, .type = FRAME_DATA, .length = 104 };
	uint8_t half[FRAME_HEADER + 44] = { [FRAME_HEADER] = 0x92, 0, 0xc4, 100 };

	frame_put_header(half, &frame);
	cr_assert(write(rig->link, half, sizeof(half)) == sizeof(half));
	usleep(200000); /* it is read by itself */
	for (uint32_t i = 0; i < rig->next_channel; i++)
		if (rig->callers[i] != NULL)
			session_link_down(&rig->callers[i]->session);
	buf_fini(&rig->input);
	rig->greeted = rig->synced = false;
	say_hello(rig);
}
