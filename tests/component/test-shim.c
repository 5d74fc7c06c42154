/*
 * The real kata-shim between a fake runtime (this program), a fake agent (tests/fake/fake-agent.c)
 * and the readers and writers of its stdio. One case per call: test-shim NAME; without a name the
 * cases are listed. Exit status 0: passed; 77: cannot be tried here. Run by shim.bats.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/launch.h"
#include "tests/fake/fake-agent.h"

enum { SHIM_UID = 70002, PATIENCE_MS = 60000, SKIPPED = 77 };
enum { MIB = 1024 * 1024, FDS = SHIM_FD_EXIT + 1 };

/* A shim, what it talks to, and what has passed through its stdio. */
static struct rig {
	struct fake_agent agent;
	pid_t pid;
	int control, log;
	int exit;   /* what the shim records */
	int status; /* of waitpid, when ended */
	bool ended;
	int in, out[3]; /* our ends: writer of stdin, readers of stdout (1) and stderr (2); or -1 */
	uint64_t to_write, written, read[3];
	bool in_kept;  /* stdin stays open when all is written */
	bool pause[3]; /* the reader has stopped */
} rig = { .control = -1, .in = -1, .out = { -1, -1, -1 } };

static char log_text[65536];

static void read_log(void)
{
	ssize_t n = pread(rig.log, log_text, sizeof(log_text) - 1, 0);

	log_text[n > 0 ? n : 0] = '\0';
}

static __attribute__((format(printf, 2, 3), noreturn)) void die(int line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "test-shim.c:%d: ", line);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr,
		"\n  stdin %llu of %llu, agent has %llu; stdout %llu of %llu; stderr %llu of "
		"%llu\n",
		(unsigned long long)rig.written, (unsigned long long)rig.to_write,
		(unsigned long long)rig.agent.received, (unsigned long long)rig.read[1],
		(unsigned long long)rig.agent.total[1], (unsigned long long)rig.read[2],
		(unsigned long long)rig.agent.total[2]);
	read_log();
	fprintf(stderr, "  agent: %s\n  log of the shim:\n%s", rig.agent.failure, log_text);
	if (rig.pid > 0 && !rig.ended)
		kill(rig.pid, SIGKILL);
	fake_agent_close(&rig.agent);
	exit(1);
}

#define check(condition, ...) \
	do { \
		if (!(condition)) \
			die(__LINE__, #condition __VA_ARGS__); \
	} while (0)

/* --- the shim's start ------------------------------------------------------------------------ */

static const char *program(void)
{
	static char path[4096];
	const char *build = getenv("KATA_BUILD");

	snprintf(path, sizeof(path), "%s/kata-shim/kata-shim", build != NULL ? build : ".");
	return path;
}

/* What it is started with other than it should be: a uid's text, and without a capability. */
static const char *shim_uid;
static int shim_lacks = -1;

/* In the child: descriptors 0 to 6 in place, then exec. */
static void become_shim(const int fds[FDS])
{
	char uid[32];
	char *argv[] = { "/bin/sleep", "1000", NULL };
	char *env[] = { uid,          "KATA_SANDBOX=sb", "KATA_CONTAINER=ct",
			"KATA_EXEC=", "KATA_DEBUG=1",    "ASAN_OPTIONS=detect_leaks=0",
			NULL };
	int moved[FDS];

	snprintf(uid, sizeof(uid), "KATA_UID=%d", SHIM_UID);
	if (shim_uid != NULL)
		snprintf(uid, sizeof(uid), "KATA_UID=%s", shim_uid);
	for (int i = 0; i < FDS; i++)
		moved[i] = fds[i] >= 0 ? fcntl(fds[i], F_DUPFD_CLOEXEC, 100) : -1;
	for (int i = 0; i < FDS; i++) {
		close(i);
		if (moved[i] >= 0)
			dup2(moved[i], i);
	}
	setsid();
	if (shim_lacks >= 0 && prctl(PR_CAPBSET_DROP, shim_lacks, 0, 0, 0) < 0)
		_exit(125);
	execve(program(), argv, env);
	_exit(126);
}

/* Starts the shim with these as stdio, which are closed here. */
static void start(int stdin_fd, int stdout_fd, int stderr_fd)
{
	char log[] = "/tmp/test-shim-log-XXXXXX";
	int pair[2], shared;

	rig.exit = memfd_create("exit", MFD_CLOEXEC);
	rig.log = mkostemp(log, O_APPEND | O_CLOEXEC);
	unlink(log);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	rig.control = pair[0];
	shared = open(rig.agent.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	rig.pid = (pid_t)syscall(SYS_clone,
				 CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD,
				 NULL, NULL, NULL, 0);
	if (rig.pid < 0 && errno == EPERM) {
		fake_agent_close(&rig.agent);
		exit(SKIPPED);
	}
	check(rig.pid >= 0);
	if (rig.pid == 0)
		become_shim((int[]){ stdin_fd, stdout_fd, stderr_fd, pair[1], rig.log, shared,
				     rig.exit });
	close(pair[1]);
	close(shared);
	if (stdin_fd >= 0)
		close(stdin_fd);
	if (stdout_fd >= 0 && stdout_fd != stdin_fd)
		close(stdout_fd);
	if (stderr_fd >= 0 && stderr_fd != stdin_fd && stderr_fd != stdout_fd)
		close(stderr_fd);
}

/* Pipes as stdio, as an ordinary container has them. */
static void start_with_pipes(void)
{
	int in[2], out[2], err[2];

	check(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
	      pipe2(err, O_CLOEXEC) == 0);
	rig.in = in[1];
	rig.out[1] = out[0];
	rig.out[2] = err[0];
	start(in[0], out[1], err[1]);
}

/* --- pumping --------------------------------------------------------------------------------- */

static void feed(void)
{
	static uint8_t bytes[65536];
	uint64_t left = rig.to_write - rig.written;
	size_t n = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
	ssize_t r;

	for (size_t i = 0; i < n; i++)
		bytes[i] = fake_agent_byte(STREAM_STDIN, rig.written + i);
	if (n > 0) {
		r = write(rig.in, bytes, n);
		check(r >= 0 || errno == EAGAIN || errno == EPIPE, ": %s", strerror(errno));
		rig.written += r > 0 ? (uint64_t)r : 0;
	}
	if (rig.written == rig.to_write && !rig.in_kept)
		fd_close(&rig.in);
}

static void drink(unsigned stream)
{
	static uint8_t bytes[65536];
	ssize_t n = read(rig.out[stream], bytes, sizeof(bytes));

	check(n >= 0 || errno == EAGAIN || errno == EIO || errno == ECONNRESET, ": %s",
	      strerror(errno));
	for (ssize_t i = 0; i < n; i++)
		check(bytes[i] == fake_agent_byte(stream, rig.read[stream] + (uint64_t)i),
		      ": stream %u differs at %llu", stream,
		      (unsigned long long)(rig.read[stream] + (uint64_t)i));
	if (n > 0)
		rig.read[stream] += (uint64_t)n;
	else if (n == 0 || errno != EAGAIN)
		fd_close(&rig.out[stream]);
}

/* One round of everything that is going on. */
static void turn(int timeout_ms)
{
	struct pollfd p[3] = { { .fd = rig.written < rig.to_write || !rig.in_kept ? rig.in : -1,
				 .events = POLLOUT } };

	for (unsigned i = 1; i <= 2; i++)
		p[i] = (struct pollfd){ .fd = rig.pause[i] ? -1 : rig.out[i], .events = POLLIN };
	if (rig.in >= 0)
		fcntl(rig.in, F_SETFL, O_NONBLOCK); /* our end is ours */
	fake_agent_step(&rig.agent, p, 3, timeout_ms);
	if (p[0].revents != 0)
		feed();
	for (unsigned i = 1; i <= 2; i++) {
		if (p[i].revents != 0)
			drink(i);
	}
	check(rig.agent.failure[0] == '\0');
	if (!rig.ended && waitpid(rig.pid, &rig.status, WNOHANG) == rig.pid)
		rig.ended = true;
}

#define pump_until(condition) \
	do { \
		int64_t deadline_ = deadline_in_ms(PATIENCE_MS); \
		while (!(condition)) { \
			if (deadline_left_ms(deadline_) == 0) \
				die(__LINE__, "waited too long for: %s", #condition); \
			turn(20); \
		} \
	} while (0)

static void pump_for(int ms)
{
	int64_t deadline = deadline_in_ms(ms);

	while (deadline_left_ms(deadline) > 0)
		turn(10);
}

static bool answered(void)
{
	struct pollfd p = { .fd = rig.control, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void send_attach(bool terminal)
{
	struct msg_attach attach = { .handle = FAKE_AGENT_HANDLE, .terminal = terminal };
	struct error err;

	check(fdpass_send(rig.control, MSG_ATTACH, &attach, NULL, 0, deadline_in_ms(5000), &err) ==
		      0,
	      ": %s", err.text);
}

/* ATTACH and its answer DONE. */
static void await_attached(void)
{
	struct error err;

	pump_until(answered());
	check(fdpass_expect(rig.control, MSG_DONE, NULL, deadline_in_ms(5000), &err) == 0, ": %s",
	      err.text);
	check(rig.agent.opened);
}

static void attach(bool terminal)
{
	send_attach(terminal);
	await_attached();
}

/* What it has recorded of its process's end; -1: nothing. */
static void expect_recorded(int code)
{
	long long ms = 0, now = deadline_now_ms();
	char text[64] = "";
	int recorded = -1;

	check(pread(rig.exit, text, sizeof(text) - 1, 0) >= 0);
	sscanf(text, "%d %lld", &recorded, &ms);
	check(recorded == code, ": \"%s\" is recorded", text);
	check(code < 0 || (ms <= now && ms > now - PATIENCE_MS), ": at %lld of %lld", ms, now);
}

/* EXIT, and the shim follows with this code and says goodbye. */
static void expect_exit(uint32_t code)
{
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE, code);
	pump_until(rig.ended && rig.agent.gone);
	check(WIFEXITED(rig.status) && WEXITSTATUS(rig.status) == (int)code, ": status %x",
	      rig.status);
	check(rig.agent.exit_acknowledged);
	expect_recorded((int)code);
	check(rig.agent.close_reason == CLOSE_DONE);
}

static void expect_status(int code)
{
	pump_until(rig.ended);
	check(WIFEXITED(rig.status) && WEXITSTATUS(rig.status) == code, ": status %x", rig.status);
}

static void read_rest(void)
{
	rig.pause[1] = rig.pause[2] = false;
	pump_until(rig.out[1] < 0 && rig.out[2] < 0);
	for (unsigned i = 1; i <= 2; i++)
		check(rig.read[i] == rig.agent.total[i], ": stream %u", i);
}

static void expect_log(const char *text)
{
	read_log();
	check(strstr(log_text, text) != NULL, ": \"%s\" is not in the log", text);
}

static bool got_signal(int signum)
{
	for (unsigned i = 0; i < rig.agent.n_requests; i++) {
		if (rig.agent.requests[i].type == MSG_SIGNAL &&
		    rig.agent.requests[i].signum == (uint32_t)signum)
			return true;
	}
	return false;
}

static bool got_size(uint32_t rows, uint32_t columns)
{
	const struct fake_agent_request *last;

	if (rig.agent.n_requests == 0)
		return false;
	last = &rig.agent.requests[rig.agent.n_requests - 1];
	return last->type == MSG_WINSIZE && last->rows == rows && last->columns == columns;
}

/* --- streams --------------------------------------------------------------------------------- */

static void pipes(void)
{
	int in[2], out[2], err[2], flags = 0;

	check(pipe(in) == 0 && pipe(out) == 0 && pipe(err) == 0);
	int kept[3] = { dup(in[0]), dup(out[1]), dup(err[1]) }; /* the user's shell has these */

	rig.in = in[1];
	rig.out[1] = out[0];
	rig.out[2] = err[0];
	fcntl(in[1], F_SETFD, FD_CLOEXEC);
	start(in[0], out[1], err[1]);
	rig.to_write = 64 * MIB;
	rig.agent.total[STREAM_STDOUT] = 64 * MIB;
	rig.agent.total[STREAM_STDERR] = MIB + 7;
	attach(false);
	for (int i = 0; i < 3; i++) {
		flags |= fcntl(kept[i], F_GETFL);
		close(kept[i]);
	}
	check(!(flags & O_NONBLOCK));
	pump_until(rig.agent.stdin_end && rig.read[1] == 64 * MIB && rig.read[2] == MIB + 7);
	check(rig.agent.received == 64 * MIB);
	expect_exit(7);
	read_rest();
}

/* A reader that stops for 10 s loses nothing, and holds back neither stderr nor the shim's life. */
static void slow_reader(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.pause[1] = true;
	rig.agent.total[STREAM_STDOUT] = 8 * MIB;
	rig.agent.total[STREAM_STDERR] = 2 * MIB;
	attach(false);
	pump_until(rig.read[2] == 2 * MIB);
	pump_for(10000);
	/* At most a pipe, what waits in the shim, and a window. */
	check(rig.agent.sent[STREAM_STDOUT] <= 65536 + 2 * STREAM_WINDOW);
	rig.pause[1] = false;
	pump_until(rig.read[1] > 2 * MIB);
	rig.pause[1] = true;
	rig.agent.total[STREAM_STDOUT] = rig.read[1] + MIB;
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE, 3);
	pump_for(3000);
	check(!rig.ended, ": the shim waits for its reader");
	rig.pause[1] = false;
	expect_status(3);
	read_rest();
	pump_until(rig.agent.gone);
	check(rig.agent.close_reason == CLOSE_DONE);
}

static int temporary(void)
{
	char path[] = "/tmp/test-shim-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	check(fd >= 0);
	unlink(path);
	return fd;
}

/* stdin a file, stdout and stderr one file with one position, as of "<in >out 2>&1". */
static void files(void)
{
	int in = temporary(), out = temporary();
	uint8_t byte;

	for (uint64_t i = 0; i < MIB + 5; i++) {
		byte = fake_agent_byte(STREAM_STDIN, i);
		check(write(in, &byte, 1) == 1);
	}
	lseek(in, 0, SEEK_SET);
	check(write(out, "before", 6) == 6);
	start(in, dup(out), dup(out));
	rig.agent.total[STREAM_STDOUT] = MIB;
	rig.agent.total[STREAM_STDERR] = MIB + 1;
	attach(false);
	pump_until(rig.agent.stdin_end);
	check(rig.agent.received == MIB + 5);
	expect_exit(0);
	check(lseek(out, 0, SEEK_END) == 6 + MIB + MIB + 1);
	check(pread(out, &byte, 1, 0) == 1 && byte == 'b');
}

static void null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	start(dup(fd), dup(fd), fd);
	rig.agent.total[STREAM_STDOUT] = 4 * MIB;
	attach(false);
	pump_until(rig.agent.stdin_end && rig.agent.sent[STREAM_STDOUT] == 4 * MIB);
	check(rig.agent.received == 0);
	expect_exit(255);
}

/* No descriptors at all: nothing of the shim's own may land on 0, 1 or 2. */
static void closed(void)
{
	start(-1, -1, -1);
	rig.agent.total[STREAM_STDOUT] = MIB;
	rig.agent.total[STREAM_STDERR] = MIB;
	attach(false);
	pump_until(rig.agent.stdin_end);
	expect_exit(5);
}

static void sockets(void)
{
	int io[2], err[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io) == 0);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, err) == 0);
	int kept = dup(io[1]);

	rig.in = dup(io[0]);
	rig.in_kept = true;
	rig.out[1] = io[0];
	rig.out[2] = err[0];
	start(dup(io[1]), io[1], err[1]);
	rig.to_write = 8 * MIB;
	rig.agent.total[STREAM_STDOUT] = 8 * MIB;
	rig.agent.total[STREAM_STDERR] = MIB;
	attach(false);
	pump_until(rig.agent.received == 8 * MIB && rig.read[1] == 8 * MIB && rig.read[2] == MIB);
	check(!(fcntl(kept, F_GETFL) & O_NONBLOCK));
	close(kept);
	shutdown(io[0], SHUT_WR);
	pump_until(rig.agent.stdin_end);
	expect_exit(0);
	read_rest();
}

/* The client has gone: output is dropped, the process lives on and its code counts. */
static void reader_gone(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.agent.total[STREAM_STDOUT] = 4 * MIB;
	rig.agent.total[STREAM_STDERR] = MIB;
	rig.pause[1] = true;
	attach(false);
	pump_until(rig.read[2] == MIB);
	fd_close(&rig.out[1]);
	pump_until(rig.agent.sent[STREAM_STDOUT] == 4 * MIB);
	pump_for(200);
	check(!rig.ended);
	expect_exit(9);
	expect_log("dropped");
}

/* The process never reads: what is left of stdin holds nothing up. */
static void stdin_not_read(void)
{
	start_with_pipes();
	rig.to_write = 8 * MIB;
	rig.agent.hold_stdin = true;
	rig.agent.total[STREAM_STDOUT] = MIB;
	attach(false);
	pump_until(rig.agent.received == STREAM_WINDOW_STDIN && rig.read[1] == MIB);
	pump_for(200);
	check(rig.agent.received == STREAM_WINDOW_STDIN);
	expect_exit(1);
}

/* EXIT counts, not END: a background child holds stdout open and goes on writing. */
static void background_child(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.agent.total[STREAM_STDOUT] = 1000;
	attach(false);
	pump_until(rig.read[1] == 1000);
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE, 0);
	rig.agent.total[STREAM_STDOUT] = 2000;
	expect_status(0);
	pump_until(rig.out[1] < 0);
	check(rig.read[1] >= 1000);
}

/* A daemon closes its stdio and lives on: its readers see the end at once. */
static void stdout_closed(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.agent.total[STREAM_STDOUT] = 100000;
	rig.agent.end[STREAM_STDOUT] = true;
	attach(false);
	pump_until(rig.out[1] < 0);
	check(rig.read[1] == 100000);
	check(rig.out[2] >= 0 && !rig.ended);
	expect_exit(0);
}

/* --- terminal -------------------------------------------------------------------------------- */

static int start_on_terminal(const struct winsize *size)
{
	int master, slave;

	check(openpty(&master, &slave, NULL, NULL, size) == 0);
	fcntl(master, F_SETFD, FD_CLOEXEC);
	rig.in = dup(master);
	rig.in_kept = true;
	rig.out[1] = master;
	start(slave, slave, slave);
	return slave;
}

static void terminal(void)
{
	struct winsize size = { .ws_row = 33, .ws_col = 77 };

	start_on_terminal(&size);
	attach(true);
	check(rig.agent.n_requests == 1 && got_size(33, 77), ": before DONE is answered");
	rig.agent.total[STREAM_STDOUT] = MIB; /* all byte values: nothing is translated */
	rig.to_write = 256 * 1024;
	pump_until(rig.read[1] == MIB && rig.agent.received == 256 * 1024);
	size.ws_row = 50;
	check(ioctl(rig.out[1], TIOCSWINSZ, &size) == 0);
	pump_until(got_size(50, 77));
	expect_exit(0);
}

/* No size yet, as under docker: none is sent, and the first resize is. */
static void terminal_without_size(void)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };

	start_on_terminal(NULL);
	attach(true);
	check(rig.agent.n_requests == 0);
	check(ioctl(rig.out[1], TIOCSWINSZ, &size) == 0);
	pump_until(got_size(24, 80));
	kill(rig.pid, SIGTERM);
	pump_until(got_signal(SIGTERM));
	expect_exit(143);
}

/* The master closes: SIGHUP and the end of stdin, then life without a terminal. */
static void hangup(void)
{
	start_on_terminal(NULL);
	attach(true);
	rig.agent.total[STREAM_STDOUT] = 1000;
	pump_until(rig.read[1] == 1000);
	fd_close(&rig.in);
	fd_close(&rig.out[1]);
	pump_until(got_signal(SIGHUP) && rig.agent.stdin_end);
	rig.agent.total[STREAM_STDOUT] = MIB;
	pump_until(rig.agent.sent[STREAM_STDOUT] == MIB);
	pump_for(200);
	check(!rig.ended);
	expect_exit(129);
}

/* A terminal that another session owns sends us no SIGHUP: the end of its input says it. */
static void foreign_terminal(void)
{
	int master, slave, status, ready[2];
	pid_t owner;

	check(openpty(&master, &slave, NULL, NULL, NULL) == 0 && pipe2(ready, O_CLOEXEC) == 0);
	fcntl(master, F_SETFD, FD_CLOEXEC);
	owner = fork();
	if (owner == 0) {
		close(master);
		close(ready[0]);
		setsid();
		signal(SIGHUP, SIG_IGN);
		ioctl(slave, TIOCSCTTY, 0);
		close(ready[1]);
		poll(NULL, 0, PATIENCE_MS);
		_exit(0);
	}
	close(ready[1]);
	check(read(ready[0], &status, 1) == 0);
	rig.out[1] = master;
	start(slave, slave, slave);
	attach(true);
	fd_close(&rig.out[1]);
	pump_until(got_signal(SIGHUP) && rig.agent.stdin_end);
	kill(owner, SIGKILL);
	waitpid(owner, &status, 0);
	expect_exit(129);
}

/* --- signals --------------------------------------------------------------------------------- */

static void signals(void)
{
	static const int sent[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM,
				    SIGALRM, SIGCONT, SIGPWR,  SIGURG,  SIGIO,   SIGWINCH,
				    SIGABRT, SIGCHLD, SIGPIPE, SIGSEGV, SIGBUS,  SIGFPE,
				    SIGILL,  SIGTRAP, SIGSYS,  34,      40,      64 };
	unsigned n = ARRAY_SIZE(sent);

	start_with_pipes();
	rig.in_kept = true;
	expect_log(""); /* nothing yet */
	pump_for(300);
	kill(rig.pid, SIGTERM); /* before it is attached */
	pump_for(100);
	check(!rig.ended, ": a signal waits for the process");
	attach(false);
	pump_until(got_signal(SIGTERM));
	rig.agent.n_requests = 0;
	for (unsigned i = 0; i < n; i++)
		kill(rig.pid, sent[i]);
	pump_until(rig.agent.n_requests >= n);
	pump_for(100);
	check(rig.agent.n_requests == n, ": %u signals came", rig.agent.n_requests);
	for (unsigned i = 0; i < n; i++)
		check(got_signal(sent[i]), ": signal %d", sent[i]);
	expect_exit(0);
}

/* An agent that does not answer a request: streams go on, and the exit comes. */
static void request_unanswered(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.agent.hold_replies = true;
	attach(false);
	kill(rig.pid, SIGUSR1);
	pump_until(got_signal(SIGUSR1));
	kill(rig.pid, SIGUSR2);
	rig.agent.total[STREAM_STDOUT] = MIB;
	pump_until(rig.read[1] == MIB);
	check(rig.agent.n_requests == 1);
	expect_exit(4);
}

/* SIGTERM while only a stopped reader is waited for: two seconds, then the code. */
static void term_while_draining(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.pause[1] = true;
	rig.agent.total[STREAM_STDOUT] = 100000;
	attach(false);
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE, 6);
	pump_for(500);
	check(!rig.ended);
	kill(rig.pid, SIGTERM);
	expect_status(6);
	expect_log("output is lost");
	check(rig.agent.close_reason == CLOSE_DONE);
}

/* --- ends that are no exit ------------------------------------------------------------------- */

static void vm_ended(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.pause[1] = true;
	rig.agent.total[STREAM_STDOUT] = 100000;
	attach(false);
	pump_until(rig.agent.sent[STREAM_STDOUT] == 100000);
	fake_agent_send_close(&rig.agent, 0, CLOSE_VM_ENDED, "the VM ended: qemu: exited 1");
	pump_for(300); /* what is here is written before the end */
	read_rest();
	expect_status(137);
	expect_recorded(-1);
	expect_log("the VM ended: qemu: exited 1");
}

/* Nobody reads, and the VM ends: the shim does too. */
static void vm_ended_reader_stopped(void)
{
	int64_t begin;

	start_with_pipes();
	rig.in_kept = true;
	rig.pause[1] = true;
	rig.agent.total[STREAM_STDOUT] = MIB;
	attach(false);
	pump_for(300);
	fake_agent_send_close(&rig.agent, 1, CLOSE_VM_ENDED, "the VM ended");
	begin = deadline_now_ms();
	expect_status(137);
	check(deadline_now_ms() - begin < 10000);
}

/* The code and all output were here before the VM ended: that code it is. */
static void vm_ended_after_exit(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.pause[1] = true;
	rig.agent.total[STREAM_STDOUT] = 100000;
	attach(false);
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE, 12);
	pump_until(rig.agent.exit_acknowledged && rig.agent.sent[STREAM_STDOUT] == 100000);
	fake_agent_send_close(&rig.agent, 0, CLOSE_VM_ENDED, "the VM ended");
	pump_for(300);
	read_rest();
	expect_status(12);
}

/* An exit code 0 whose output is not all here must not look like success. */
static void vm_ended_output_missing(void)
{
	start_with_pipes();
	rig.in_kept = true;
	rig.pause[1] = true;
	rig.agent.total[STREAM_STDOUT] = 8 * MIB;
	attach(false);
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE, 0);
	pump_until(rig.agent.exit_acknowledged);
	fake_agent_send_close(&rig.agent, 0, CLOSE_VM_ENDED, "the VM ended");
	expect_status(137);
}

static void connection_lost(void)
{
	start_with_pipes();
	rig.in_kept = true;
	attach(false);
	fake_agent_hang_up(&rig.agent);
	expect_status(255);
	expect_log("connect to the proxy");
}

/* Both ways at once, cut again and again: every byte arrives once. */
static void connection_made_again(void)
{
	uint64_t moved = 0;

	start_with_pipes();
	rig.to_write = 8 * MIB;
	rig.agent.total[STREAM_STDOUT] = 8 * MIB;
	rig.agent.total[STREAM_STDERR] = 4 * MIB;
	attach(false);
	for (int i = 0; i < 25; i++) {
		pump_until(rig.agent.opened && rig.agent.received + rig.read[1] >= moved);
		moved = rig.agent.received + rig.read[1] + 300000;
		fake_agent_cut(&rig.agent);
	}
	pump_until(rig.agent.received == rig.to_write && rig.read[1] == 8 * MIB &&
		   rig.read[2] == 4 * MIB && rig.agent.stdin_end);
	fake_agent_cut(&rig.agent);
	pump_until(rig.agent.opened);
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE, 7);
	fake_agent_cut(&rig.agent); /* EXIT is lost, and repeated */
	expect_status(7);
	check(rig.agent.connections == 28, ": %u connections", rig.agent.connections);
}

/* Before the runtime has its answer, and with a signal under way. */
static void connection_made_again_early(void)
{
	rig.agent.deaf = true;
	start_with_pipes();
	rig.in_kept = true;
	send_attach(false);
	pump_until(rig.agent.connections == 1);
	fake_agent_cut(&rig.agent);
	pump_until(rig.agent.connections == 2);
	rig.agent.deaf = false;
	fake_agent_cut(&rig.agent);
	await_attached();
	rig.agent.hold_replies = true;
	kill(rig.pid, SIGUSR1);
	pump_until(rig.agent.n_requests == 1);
	rig.agent.hold_replies = false;
	fake_agent_cut(&rig.agent);
	pump_until(rig.agent.opened);
	fake_agent_answer(&rig.agent);
	kill(rig.pid, SIGUSR2); /* comes when the first one is answered */
	pump_until(rig.agent.n_requests == 2);
	check(rig.agent.requests[1].signum == SIGUSR2);
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE, 3);
	expect_status(3);
}

/* What the agent must not send: the shim never ends with 0 then. */
static void hostile(void)
{
	static const struct {
		const char *what;
		uint8_t type, flags, length, payload[24];
		uint32_t channel, id;
	} frames[] = {
		{ "unknown type", 99, 0, 1, { 0xc0 }, 1, 0 },
		{ "two HELLOs", FRAME_HELLO, FRAME_ACK, 1, { 0xc0 }, 0, 0 },
		{ "stdin from the agent", FRAME_DATA, 0, 4, { 0x92, 0, 0xc4, 0 }, 1, 0 },
		{ "a gap", FRAME_DATA, 0, 5, { 0x92, 9, 0xc4, 1, 'x' }, 1, 1 },
		{ "stream 7", FRAME_DATA, 0, 5, { 0x92, 0, 0xc4, 1, 'x' }, 1, 7 },
		{ "no msgpack", FRAME_EVENT, 0, 2, { 0xc1, 0xc1 }, 1, 1 },
		{ "EXIT without fields", FRAME_EVENT, 0, 3, { 0x92, 40, 0x80 }, 1, 1 },
		{ "a reply to nothing", FRAME_REPLY, 0, 3, { 0x92, 10, 0x80 }, 1, 1 },
		{ "window for what was not sent", FRAME_WINDOW, 0, 3, { 0x92, 100, 110 }, 1, 0 },
		{ "OPEN again", FRAME_OPEN, FRAME_ACK, 3, { 0x92, 3, 0x80 }, 1, 0 },
		{ "a request", FRAME_REQUEST, 0, 3, { 0x92, 18, 0x80 }, 1, 1 },
		{ "an event of the hop", FRAME_EVENT, 0, 3, { 0x92, 41, 0x80 }, 0, 1 },
		{ "channel 9", FRAME_DATA, 0, 5, { 0x92, 0, 0xc4, 1, 'x' }, 9, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		uint8_t bytes[FRAME_HEADER + 24] = { 0 };

		fake_agent_close(&rig.agent); /* the last round's, or main's */
		rig = (struct rig){ .control = -1, .in = -1, .out = { -1, -1, -1 } };
		fake_agent_open(&rig.agent);
		start_with_pipes();
		rig.in_kept = true;
		attach(false);
		bytes[3] = frames[i].length;
		bytes[7] = (uint8_t)frames[i].channel;
		bytes[8] = frames[i].type;
		bytes[9] = frames[i].flags;
		bytes[15] = (uint8_t)frames[i].id;
		memcpy(bytes + FRAME_HEADER, frames[i].payload, frames[i].length);
		fake_agent_send_raw(&rig.agent, bytes, FRAME_HEADER + frames[i].length);
		pump_until(rig.ended);
		check(WIFEXITED(rig.status) && WEXITSTATUS(rig.status) == 255, ": %s: status %x",
		      frames[i].what, rig.status);
		for (int s = 0; s < 3; s++)
			fd_close(&rig.out[s]);
		fd_close(&rig.in);
		fd_close(&rig.control);
		fd_close(&rig.log);
	}
}

/* EXIT of another process is not ours; a PING is answered. */
static void not_ours(void)
{
	uint8_t ping[FRAME_HEADER + 1] = { 0, 0, 0, 1, [8] = FRAME_PING, [FRAME_HEADER] = 0xc0 };

	start_with_pipes();
	rig.in_kept = true;
	attach(false);
	fake_agent_exit(&rig.agent, FAKE_AGENT_HANDLE + 1, 0);
	pump_until(rig.agent.exit_acknowledged);
	fake_agent_send_raw(&rig.agent, ping, sizeof(ping));
	pump_until(rig.agent.pongs == 1);
	check(!rig.ended);
	expect_exit(8);
}

/* --- attaching ------------------------------------------------------------------------------- */

static void expect_failed(const char *text)
{
	struct error err;

	pump_until(answered());
	check(fdpass_expect(rig.control, MSG_DONE, NULL, deadline_in_ms(5000), &err) < 0);
	check(strstr(err.text, text) != NULL, ": %s", err.text);
	expect_status(255);
}

static void refused(void)
{
	start_with_pipes();
	rig.agent.refuse = true;
	send_attach(false);
	expect_failed("there is no such handle");
}

/* A shim that cannot give up what it was started with says so, and does not run. */
static void rights_that_stay(void)
{
	static const struct {
		const char *uid; /* NULL: its own */
		int lacks;       /* a capability; -1: none */
		const char *says;
	} cases[] = {
		{ "0", -1, "a daemon cannot run as uid 0" },
		{ "4294967295", -1, "a daemon cannot run as uid 4294967295" },
		{ "x", -1, "KATA_UID" },
		{ NULL, CAP_SETPCAP, "set the securebits" },
		{ NULL, CAP_SETUID, "capng_change_id" },
		{ NULL, CAP_SYS_ADMIN, "make a mount namespace" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		shim_uid = cases[i].uid;
		shim_lacks = cases[i].lacks;
		rig.ended = false;
		start_with_pipes();
		expect_failed(cases[i].says);
		fd_close(&rig.in);
		fd_close(&rig.out[1]);
		fd_close(&rig.out[2]);
		fd_close(&rig.control);
	}
}

static void no_proxy(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%.63s/proxy.sock", rig.agent.dir);
	unlink(path);
	start_with_pipes();
	send_attach(false);
	expect_failed("connect to the proxy");
}

static void vm_ended_before_hello(void)
{
	start_with_pipes();
	rig.agent.deaf = true;
	send_attach(false);
	pump_until(rig.agent.greeted);
	fake_agent_send_close(&rig.agent, 0, CLOSE_VM_ENDED, "the VM ended: console: panic");
	pump_until(answered());
	struct error err;

	check(fdpass_expect(rig.control, MSG_DONE, NULL, deadline_in_ms(5000), &err) < 0);
	check(strstr(err.text, "console: panic") != NULL, ": %s", err.text);
	expect_status(137);
}

/* The runtime takes its work back before ATTACH. */
static void undone(void)
{
	start_with_pipes();
	pump_for(200);
	fd_close(&rig.control);
	expect_status(1);
	read_log();
	check(strstr(log_text, "level=error") == NULL);
	check(rig.agent.connections == 0);
}

/* The process ends before it was started, as a prepared one that is killed. */
static void exit_at_once(void)
{
	start_with_pipes();
	send_attach(false);
	pump_until(rig.agent.opened);
	expect_exit(137);
	check(fdpass_expect(rig.control, MSG_DONE, NULL, deadline_in_ms(5000), NULL) == 0);
}

/* A shim that is killed says nothing: the proxy sees the bare end of file. */
static void killed(void)
{
	start_with_pipes();
	rig.in_kept = true;
	attach(false);
	kill(rig.pid, SIGKILL);
	pump_until(rig.ended && rig.agent.gone);
	check(WIFSIGNALED(rig.status));
	check(rig.agent.close_reason == -1);
}

/* --- rights and size ------------------------------------------------------------------------- */

static void expect_line(const char *text, const char *line)
{
	check(strstr(text, line) != NULL, ": \"%s\" is not in\n%s", line, text);
}

static void read_proc(const char *name, char *text, size_t size)
{
	char path[64];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", rig.pid, name);
	file = fopen(path, "re");
	check(file != NULL, ": %s", path);
	n = fread(text, 1, size - 1, file);
	text[n] = '\0';
	fclose(file);
}

static int count_entries(const char *name)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", rig.pid, name);
	dir = opendir(path);
	check(dir != NULL, ": %s", path);
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void rights(void)
{
	char text[8192], uids[64];
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	check(dup2(null_fd, 50) == 50); /* inheritable, as containerd's socket is */
	start_with_pipes();
	rig.in_kept = true;
	attach(false);
	read_proc("status", text, sizeof(text));
	snprintf(uids, sizeof(uids), "Uid:\t%d\t%d\t%d\t%d\n", SHIM_UID, SHIM_UID, SHIM_UID,
		 SHIM_UID);
	expect_line(text, uids);
	uids[0] = 'G';
	expect_line(text, uids);
	expect_line(text, "Groups:\t \n");
	expect_line(text, "CapPrm:\t0000000000000000\n");
	expect_line(text, "CapEff:\t0000000000000000\n");
	expect_line(text, "CapBnd:\t0000000000000000\n");
	expect_line(text, "CapAmb:\t0000000000000000\n");
	expect_line(text, "NoNewPrivs:\t1\n");
	expect_line(text, "Threads:\t1\n");
	expect_line(text, "Name:\tsleep\n");
	check(count_entries("root") == 1, ": only proxy.sock is to be seen");
	/* stdio, log, proxy, signalfd, two epolls, eventfd and pipe of libuv, /dev/null, spare */
	check(count_entries("fd") <= 16, ": %d descriptors", count_entries("fd"));
	read_proc("cmdline", text, sizeof(text));
	check(strcmp(text, "/bin/sleep") == 0, ": %s", text);
	expect_exit(0);
}

static void memory(void)
{
	char text[8192];
	const char *pss;

	start_with_pipes();
	rig.to_write = 8 * MIB;
	rig.agent.total[STREAM_STDOUT] = rig.agent.total[STREAM_STDERR] = 8 * MIB;
	rig.pause[1] = rig.pause[2] = true; /* all buffers full */
	attach(false);
	pump_until(rig.agent.stdin_end);
	read_proc("smaps_rollup", text, sizeof(text));
	pss = strstr(text, "\nPss:");
	check(pss != NULL);
	fprintf(stderr, "PSS %ld KiB\n", strtol(pss + 5, NULL, 10));
#ifndef __SANITIZE_ADDRESS__
	check(strtol(pss + 5, NULL, 10) <= 1536);
#endif
	rig.pause[1] = rig.pause[2] = false;
	expect_exit(0);
	read_rest();
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
#define CASE(name) \
	{ \
#name, name \
	}
	CASE(pipes),
	CASE(slow_reader),
	CASE(files),
	CASE(null),
	CASE(closed),
	CASE(sockets),
	CASE(reader_gone),
	CASE(stdin_not_read),
	CASE(background_child),
	CASE(stdout_closed),
	CASE(terminal),
	CASE(terminal_without_size),
	CASE(hangup),
	CASE(foreign_terminal),
	CASE(signals),
	CASE(request_unanswered),
	CASE(term_while_draining),
	CASE(vm_ended),
	CASE(vm_ended_reader_stopped),
	CASE(vm_ended_after_exit),
	CASE(vm_ended_output_missing),
	CASE(connection_lost),
	CASE(connection_made_again),
	CASE(connection_made_again_early),
	CASE(hostile),
	CASE(not_ours),
	CASE(refused),
	CASE(rights_that_stay),
	CASE(no_proxy),
	CASE(vm_ended_before_hello),
	CASE(undone),
	CASE(exit_at_once),
	CASE(killed),
	CASE(rights),
	CASE(memory),
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (argc < 2) {
			puts(cases[i].name);
		} else if (strcmp(argv[1], cases[i].name) == 0) {
			fake_agent_open(&rig.agent);
			cases[i].run();
			fake_agent_close(&rig.agent);
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
