/*
 * Tracing: see traced.h. Used by crash-points.c, kill-matrix.c and state-faults.c. Children of the
 * program run untraced, as they do after a real crash. amd64 only, like the program.
 */
#include "tests/crash/traced.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"

enum { RUN_MS = 30000 };

static const long effects[] = {
	SYS_write,     SYS_pwrite64,   SYS_writev,
	SYS_sendto,    SYS_sendmsg,    SYS_bind,
	SYS_listen,    SYS_connect,    SYS_mkdir,
	SYS_mkdirat,   SYS_symlink,    SYS_symlinkat,
	SYS_unlink,    SYS_unlinkat,   SYS_rmdir,
	SYS_rename,    SYS_renameat,   SYS_renameat2,
	SYS_chmod,     SYS_fchmod,     SYS_fchmodat,
	SYS_chown,     SYS_fchown,     SYS_fchownat,
	SYS_ftruncate, SYS_fsync,      SYS_mount,
	SYS_umount2,   SYS_move_mount, SYS_open_tree,
	SYS_setns,     SYS_unshare,    SYS_clone,
	SYS_clone3,    SYS_fork,       SYS_vfork,
	SYS_kill,      SYS_flock,      SYS_pidfd_send_signal,
	SYS_wait4,     SYS_poll,       SYS_mount_setattr,
	SYS_prctl,     SYS_link,       SYS_shutdown,
};

static const long fallible[] = {
	SYS_open,  SYS_openat,   SYS_openat2,  SYS_mount,      SYS_move_mount, SYS_open_tree,
	SYS_clone, SYS_clone3,   SYS_fork,     SYS_vfork,      SYS_write,      SYS_pwrite64,
	SYS_fsync, SYS_rename,   SYS_renameat, SYS_renameat2,  SYS_connect,    SYS_socket,
	SYS_mkdir, SYS_mkdirat,  SYS_symlink,  SYS_socketpair, SYS_pipe2,      SYS_bind,
	SYS_setns, SYS_unlinkat, SYS_unlink,   SYS_sendmsg,
};

static bool is_in(long call, const long *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == call)
			return true;
	return false;
}

/* A file that is made is an effect of open; the others only look. */
static bool makes_file(const struct __ptrace_syscall_info *info)
{
	uint64_t flags = info->entry.nr == SYS_openat ? info->entry.args[2] : info->entry.args[1];

	return (info->entry.nr == SYS_open || info->entry.nr == SYS_openat) &&
	       (flags & O_CREAT) != 0;
}

static bool counts(const struct traced *t, const struct __ptrace_syscall_info *info)
{
	long call = (long)info->entry.nr;

	if (t->set == TRACED_ALL)
		return true;
	if (t->set == TRACED_FALLIBLE)
		return is_in(call, fallible, ARRAY_SIZE(fallible));
	return makes_file(info) || is_in(call, effects, ARRAY_SIZE(effects));
}

static _Noreturn void become(const struct traced *t, char *const argv[])
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (dup2(null, 0) < 0 || dup2(t->stdout_fd, 1) < 0 || dup2(t->stdout_fd, 2) < 0 ||
	    ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(98);
	execv(argv[0], argv);
	_exit(99);
}

/* At the beginning or end of a call; failing: the one that is made to fail is under way. */
static void at_call(struct traced *t, pid_t pid, bool *failing)
{
	struct __ptrace_syscall_info info = { 0 };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && *failing) {
		ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax),
		       (long)-t->errnum);
		*failing = false;
		return;
	}
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || !counts(t, &info))
		return;
	t->count++;
	t->call = (long)info.entry.nr;
	if (t->act != NULL ? t->count < t->point || !t->act(t->userdata) : t->count != t->point)
		return;
	t->reached = true;
	if (t->act != NULL) {
		t->pid = pid;
		return;
	}
	if (t->errnum == 0) {
		kill(pid, SIGKILL);
		return;
	}
	/* No call has this number: nothing is done. */
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L);
	*failing = true;
}

bool traced_run(struct traced *t, char *const argv[])
{
	int64_t deadline = deadline_in_ms(RUN_MS);
	bool failing = false, first = true;
	pid_t pid = fork();

	t->count = 0;
	t->reached = false;
	t->pid = 0;
	if (pid == 0)
		become(t, argv);
	while (waitpid(pid, &t->status, 0) == pid && WIFSTOPPED(t->status)) {
		int signal = WSTOPSIG(t->status);

		if (first) {
			first = false;
			signal = 0; /* the exec */
			if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
				   PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
				return false;
		} else if (signal == (SIGTRAP | 0x80)) {
			signal = 0;
			at_call(t, pid, &failing);
		}
		if (t->pid != 0) {
			if (t->stop)
				kill(pid, SIGSTOP);
			ptrace(PTRACE_DETACH, pid, NULL, (long)signal);
			return true;
		}
		if (deadline_left_ms(deadline) == 0)
			kill(pid, SIGKILL);
		ptrace(PTRACE_SYSCALL, pid, NULL, (long)signal);
	}
	return !first;
}
