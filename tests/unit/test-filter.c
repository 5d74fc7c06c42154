/*
 * The rows of seccomp.def, as the kernel applies them: what a row has is done, what it lacks kills
 * all of the process, what it answers fails with that errno.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/privsep.h"

/* Sanitizer builds log what they else would kill for. */
#ifdef __SANITIZE_ADDRESS__
#define SKIP_SANITIZED() cr_skip("filters only log in a sanitizer build")
#else
#define SKIP_SANITIZED()
#endif

/* A child's exit statuses. */
enum { DONE = 0, REFUSED = 1, NOT_LOADED = 2 };

/* Loads the row in a child and runs the deed there: the wait status. */
static int deed_under(enum filter filter, bool log, int (*deed)(void))
{
	struct error err;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (filter_load(filter, log, &err) < 0)
			_exit(NOT_LOADED);
		_exit(deed());
	}
	cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

static bool killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static bool ended_with(int status, int code)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static int do_nothing(void)
{
	return DONE;
}

static int do_open(void)
{
	return open("/", O_PATH | O_CLOEXEC) < 0 ? REFUSED : DONE;
}

static int do_inet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? REFUSED : DONE;
}

static int do_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? REFUSED : DONE;
}

static int do_vsock(void)
{
	return socket(AF_VSOCK, SOCK_STREAM, 0) < 0 ? REFUSED : DONE;
}

static int do_fork(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 ? REFUSED : DONE;
}

static int do_clone3(void)
{
	char nothing[64] = { 0 };

	return syscall(SYS_clone3, nothing, sizeof(nothing)) < 0 && errno == ENOSYS ? DONE
										    : REFUSED;
}

static int do_namespace(void)
{
	return syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER, 0, 0, 0, 0) < 0 ? REFUSED : DONE;
}

static int do_exec(void)
{
	char *const args[] = { NULL };

	execve("/bin/true", args, args);
	return REFUSED;
}

/* Not the descriptor that a program is placed at. */
static int do_execveat(void)
{
	char *const args[] = { NULL };

	execveat(STDIN_FILENO, "", args, args, AT_EMPTY_PATH);
	return REFUSED;
}

/* Nothing is there: the call itself is allowed. */
static int do_execveat_program(void)
{
	char *const args[] = { NULL };

	execveat(PRIVSEP_FD_PROGRAM, "", args, args, AT_EMPTY_PATH);
	return errno == EBADF ? DONE : REFUSED;
}

static int do_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? REFUSED : DONE;
}

static int do_memory(void)
{
	void *p = malloc(1 << 20);

	free(p);
	return p == NULL ? REFUSED : DONE;
}

static int do_io_uring(void)
{
	char nothing[256] = { 0 };

	return syscall(SYS_io_uring_setup, 1, nothing) < 0 && errno == ENOSYS ? DONE : REFUSED;
}

static int do_ptrace(void)
{
	return syscall(SYS_ptrace, 0, 0, 0, 0) < 0 ? REFUSED : DONE;
}

static int do_tiocsti(void)
{
	return ioctl(STDIN_FILENO, TIOCSTI, "x") < 0 ? REFUSED : DONE;
}

/* A call of the 32 bit table, where the same numbers mean something else. */
static int do_other_abi(void)
{
#ifdef __x86_64__
	return syscall(0x40000000 | SYS_getpid) < 0 ? REFUSED : DONE;
#else
	return REFUSED;
#endif
}

static const struct {
	enum filter filter;
	int (*deed)(void);
	bool allowed;
} cases[] = {
	{ FILTER_WORKER, do_nothing, true },
	{ FILTER_WORKER, do_memory, true },
	{ FILTER_WORKER, do_open, false },
	{ FILTER_WORKER, do_unix, false },
	{ FILTER_WORKER, do_inet, false },
	{ FILTER_WORKER, do_vsock, false },
	{ FILTER_WORKER, do_fork, false },
	{ FILTER_WORKER, do_clone3, false },
	{ FILTER_WORKER, do_exec, false },
	{ FILTER_WORKER, do_execveat_program, false },
	{ FILTER_WORKER, do_executable, false },
	{ FILTER_WORKER, do_io_uring, false },
	{ FILTER_WORKER, do_ptrace, false },
	{ FILTER_WORKER, do_tiocsti, false },
	{ FILTER_WORKER, do_other_abi, false },
	{ FILTER_SHIM, do_memory, true },
	{ FILTER_SHIM, do_unix, true },
	{ FILTER_SHIM, do_vsock, false },
	{ FILTER_SHIM, do_open, false },
	{ FILTER_SHIM, do_fork, false },
	{ FILTER_SHIM, do_exec, false },
	{ FILTER_SHIM, do_executable, false },
	{ FILTER_SHIM, do_tiocsti, false },
	{ FILTER_DECODER, do_memory, true },
	{ FILTER_DECODER, do_unix, false },
	{ FILTER_DECODER, do_open, false },
	{ FILTER_DECODER, do_fork, false },
	{ FILTER_READER, do_memory, true },
	{ FILTER_READER, do_open, true },
	{ FILTER_READER, do_unix, false },
	{ FILTER_READER, do_inet, false },
	{ FILTER_READER, do_fork, false },
	{ FILTER_READER, do_exec, false },
	{ FILTER_READER, do_namespace, false },
	{ FILTER_READER, do_ptrace, false },
	{ FILTER_ASKER, do_open, true },
	{ FILTER_ASKER, do_unix, true },
	{ FILTER_ASKER, do_fork, true },
	{ FILTER_ASKER, do_inet, false },
	{ FILTER_ASKER, do_vsock, false },
	{ FILTER_ASKER, do_exec, false },
	{ FILTER_ASKER, do_execveat, false },
	{ FILTER_ASKER, do_execveat_program, false },
	{ FILTER_ASKER, do_ptrace, false },
	{ FILTER_ASKER, do_io_uring, false },
	{ FILTER_MONITOR, do_fork, true },
	{ FILTER_MONITOR, do_clone3, true },
	{ FILTER_MONITOR, do_execveat_program, true },
	{ FILTER_MONITOR, do_execveat, false },
	{ FILTER_MONITOR, do_exec, false },
	{ FILTER_MONITOR, do_namespace, false },
	{ FILTER_MONITOR, do_inet, false },
	{ FILTER_MONITOR, do_ptrace, false },
	{ FILTER_VIRTIOFSD, do_open, true },
	{ FILTER_VIRTIOFSD, do_fork, true },
	{ FILTER_VIRTIOFSD, do_unix, true },
	{ FILTER_VIRTIOFSD, do_inet, false },
	{ FILTER_VIRTIOFSD, do_exec, false },
	{ FILTER_VIRTIOFSD, do_execveat_program, true },
	{ FILTER_VIRTIOFSD, do_io_uring, false },
	{ FILTER_VIRTIOFSD, do_ptrace, false },
	{ FILTER_VIRTIOFSD, do_other_abi, false },
	{ FILTER_QEMU, do_memory, true },
	{ FILTER_QEMU, do_executable, true },
	{ FILTER_QEMU, do_io_uring, true },
	{ FILTER_QEMU, do_clone3, true },
	{ FILTER_QEMU, do_execveat_program, true },
	{ FILTER_QEMU, do_execveat, false },
	{ FILTER_QEMU, do_exec, false },
	{ FILTER_QEMU, do_fork, false },
	{ FILTER_QEMU, do_unix, false },
	{ FILTER_QEMU, do_vsock, false },
	{ FILTER_QEMU, do_ptrace, false },
	{ FILTER_QEMU, do_tiocsti, false },
	{ FILTER_QEMU, do_other_abi, false },
};

Test(filter, does_what_the_row_has_and_kills_for_the_rest, .timeout = 60)
{
	SKIP_SANITIZED();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = deed_under(cases[i].filter, false, cases[i].deed);

		if (cases[i].allowed)
			cr_expect(ended_with(status, DONE), "case %zu, %s: 0x%x", i,
				  filter_name(cases[i].filter), status);
		else
			cr_expect(killed(status), "case %zu, %s: 0x%x", i,
				  filter_name(cases[i].filter), status);
	}
}

Test(filter, only_logs_where_that_is_asked_for)
{
	cr_expect(ended_with(deed_under(FILTER_WORKER, true, do_open), DONE));
	cr_expect(ended_with(deed_under(FILTER_WORKER, true, do_fork), DONE));
}

/* What the monitor's row lacks its worker could not have: every line of that is in it. */
static bool has_call(enum filter filter, const char *call)
{
	for (const struct filter_rule *r = filter_rules(filter); r->kind != FILTER_RULE_END; r++)
		if (r->kind == FILTER_RULE_ALSO ? has_call(r->also, call)
						: strcmp(r->call, call) == 0)
			return true;
	return false;
}

Test(filter, every_line_has_a_reason_and_the_monitor_what_its_worker_has)
{
	for (enum filter f = 0; f < FILTER_COUNT; f++)
		for (const struct filter_rule *r = filter_rules(f); r->kind != FILTER_RULE_END;
		     r++) {
			cr_expect_gt(strlen(r->why), 2, "%s: %s", filter_name(f), r->call);
			if (f == FILTER_WORKER && r->kind != FILTER_RULE_ALSO)
				cr_expect(has_call(FILTER_MONITOR, r->call), "%s", r->call);
		}
}

Test(filter, every_row_is_a_program)
{
	for (enum filter f = 0; f < FILTER_COUNT; f++) {
		CLEANUP(fd_close) int fd = memfd_create("bpf", MFD_CLOEXEC);
		struct error err = { 0 };
		off_t size;

		cr_assert_eq(filter_export(f, fd, &err), 0, "%s", err.text);
		size = lseek(fd, 0, SEEK_END);
		cr_expect(size > 0 && size % 8 == 0, "%s: %ld", filter_name(f), (long)size);
	}
}
