/*
 * What runs between clone and exec: see enter.h. The child has one thread, a copy of the agent's
 * memory and is not dumpable, which it inherits from the agent. It never returns to agent code.
 */
#include "kata-agent/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/str.h"
#include "kata-agent/caps.h"
#include "kata-agent/join.h"
#include "kata-agent/lookup.h"
#include "kata-agent/resolve.h"
#include "kata-agent/rootfs.h"
#include "kata-agent/scheduling.h"
#include "kata-agent/seccomp.h"
#include "kata-agent/start-hooks.h"
#include "kata-agent/sysctl.h"
#include "kata-agent/terminal.h"
#include "kata-agent/time-namespace.h"
#include "kata-agent/user-namespace.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* Where the descriptors of the plan lie once the others are closed. */
enum { FD_STATUS = 3, FD_INIT, FD_IPC, FD_UTS, FD_FIRST_FREE };

enum { PASSWD_MAX = 65536 };

static char program[PATH_MAX], passwd[PASSWD_MAX], home[PATH_MAX + 8];

/*
 * Standard streams in their places, the others at fixed numbers, nothing else. Until a terminal
 * is there its places hold the null device: what is opened meanwhile must not get their numbers.
 */
static int take_fds(struct enter_plan *plan, struct error *err)
{
	int keep[FD_FIRST_FREE], high[FD_FIRST_FREE];

	for (int i = 0; i < 3; i++) {
		keep[i] = plan->stdio[i];
		if (keep[i] < 0)
			keep[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (keep[i] < 0)
			return error_set(err, errno, "open the guest's /dev/null");
	}
	keep[FD_STATUS] = plan->status;
	keep[FD_INIT] = plan->init_pidfd;
	keep[FD_IPC] = plan->ipc_pidfd;
	keep[FD_UTS] = plan->uts_pidfd;
	for (int i = 0; i < FD_FIRST_FREE; i++) {
		high[i] = keep[i] < 0 ? -1 : fcntl(keep[i], F_DUPFD_CLOEXEC, FD_FIRST_FREE);
		if (keep[i] >= 0 && high[i] < 0)
			return error_set(err, errno, "arrange descriptors");
	}
	for (int i = 0; i < FD_FIRST_FREE; i++) {
		if (high[i] < 0)
			close(i);
		else if (dup3(high[i], i, i < 3 ? 0 : O_CLOEXEC) < 0)
			return error_set(err, errno, "arrange descriptors");
	}
	if (close_range(FD_FIRST_FREE, ~0U, 0) < 0)
		return error_set(err, errno, "close descriptors");
	plan->status = FD_STATUS;
	plan->init_pidfd = plan->init_pidfd < 0 ? -1 : FD_INIT;
	plan->ipc_pidfd = plan->ipc_pidfd < 0 ? -1 : FD_IPC;
	plan->uts_pidfd = plan->uts_pidfd < 0 ? -1 : FD_UTS;
	return 0;
}

/* The agent's handlers and mask are not the container's; ignored signals would outlive exec. */
static int reset_signals(struct error *err)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++) {
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &action, NULL); /* fails for the two the library keeps */
	}
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return error_set(err, errno, "reset signals");
	return 0;
}

/* Through the guest's own /proc, before any of the container's is seen. */
static int set_oom_score(const struct enter_plan *plan, struct error *err)
{
	int value = plan->process->has_oom_score_adj ? plan->process->oom_score_adj : 0;
	CLEANUP(fd_close) int fd = -1;
	char text[16];
	int n;

	if (!plan->process->has_oom_score_adj && !plan->reset_oom)
		return 0;
	n = snprintf(text, sizeof(text), "%d", value);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		return error_set(err, errno, "set oom_score_adj to %d", value);
	return 0;
}

static int make_container(const struct enter_plan *plan, struct terminal *terminal,
			  struct error *err)
{
	const char *name = plan->create->hostname;
	const char *domain = plan->create->domainname;
	CLEANUP(fd_close) int share = rootfs_open_share(plan->create, plan->share, err);
	CLEANUP(fd_close) int shm = -1;
	int r = share < 0 ? share : join_namespaces(plan->ipc_pidfd, plan->uts_pidfd, err);

	if (r == 0 && plan->ipc_pidfd >= 0) {
		shm = join_shm(plan->ipc_pidfd, err);
		r = shm < 0 && shm != -ENOENT ? shm : 0;
	}
	if (r == 0 && plan->time_namespace)
		r = time_namespace_enter(plan->create->time_offsets, err);
	if (r == 0 && plan->user_namespace)
		r = user_namespace_become_root(err);
	if (r < 0)
		return r;
	/* Here, not at clone: the namespace's root is the cgroup the process is in now. */
	if (unshare(CLONE_NEWCGROUP) < 0)
		return error_set(err, errno, "make a cgroup namespace");
	if (name[0] != '\0' && sethostname(name, strlen(name)) < 0)
		return error_set(err, errno, "set the host name");
	if (domain[0] != '\0' && setdomainname(domain, strlen(domain)) < 0)
		return error_set(err, errno, "set the domain name");
	/* With a user namespace the agent has set those of the network. */
	r = (plan->user_namespace ? sysctl_set_others : sysctl_set_all)(
		plan->create->sysctls, plan->create->n_sysctls, err);
	if (r < 0)
		return r;
	return rootfs_enter(plan->create, share, shm, terminal, err);
}

/* The pid namespace was chosen by the agent at clone. */
static int join_container(const struct enter_plan *plan, struct terminal *terminal,
			  struct error *err)
{
	int kinds = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
		    (plan->time_namespace ? CLONE_NEWTIME : 0) |
		    (plan->user_namespace ? CLONE_NEWUSER : 0);
	CLEANUP(fd_close) int root = -1;
	int r;

	if (setns(plan->init_pidfd, kinds) < 0)
		return error_set(err, errno, "join the container's namespaces");
	r = plan->user_namespace ? user_namespace_become_root(err) : 0;
	if (r < 0)
		return r;
	if (!plan->process->terminal)
		return 0;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_set(err, errno, "open the container's root");
	return terminal_open(root, plan->process->uid, terminal, err);
}

/* A session of its own; with a terminal, that as stdio and its master to the agent. */
static int take_stdio(const struct enter_plan *plan, struct terminal *terminal, struct error *err)
{
	const struct msg_process *process = plan->process;
	const char kind[] = { ENTER_TERMINAL, '\0' };
	int r;

	if (setsid() < 0)
		return error_set(err, errno, "make a session");
	if (!process->terminal)
		return 0;
	if (process->rows != 0 || process->columns != 0) {
		r = terminal_resize(terminal->master, process->rows, process->columns, err);
		if (r < 0)
			return r;
	}
	r = terminal_take(terminal->slave, err);
	if (r == 0)
		r = fdpass_send_one(plan->status, terminal->master, kind, deadline_in_ms(5000),
				    err);
	fd_close(&terminal->master);
	fd_close(&terminal->slave);
	return r;
}

static int set_limits(const struct msg_process *process, struct error *err)
{
	for (uint32_t i = 0; i < process->n_rlimits; i++) {
		const struct msg_rlimit *limit = &process->rlimits[i];
		struct rlimit value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };

		if (setrlimit((__rlimit_resource_t)limit->resource, &value) < 0)
			return error_set(err, errno, "set resource limit %u", limit->resource);
	}
	umask(process->has_umask ? (mode_t)process->umask : 022);
	return 0;
}

static int change_user(const struct enter_plan *plan, struct error *err)
{
	const struct msg_process *process = plan->process;

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "keep the capabilities");
	if (setgroups(process->n_groups, plan->groups) < 0)
		return error_set(err, errno, "set the additional groups");
	if (setresgid(process->gid, process->gid, process->gid) < 0)
		return error_set(err, errno, "set the group to %u", process->gid);
	if (setresuid(process->uid, process->uid, process->uid) < 0)
		return error_set(err, errno, "set the user to %u", process->uid);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "forbid debugging");
	return 0;
}

/* A working directory that is not below the root would be a way out (CVE-2024-21626). */
static int check_cwd(const char *cwd, struct error *err)
{
	char path[PATH_MAX];

	if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
		return error_set(err, errno, "working directory %s", cwd);
	if (path[0] != '/')
		return error_say(err, EINVAL, "working directory %s lies outside the container",
				 cwd);
	return 0;
}

/* Ours first: the container's may forbid to load more. */
static int load_filters(const struct enter_plan *plan, struct error *err)
{
	int r = plan->refuse_vsock ? seccomp_refuse_vsock(err) : 0;

	return r < 0 ? r : seccomp_load(plan->seccomp, err);
}

/*
 * The bounding set needs a capability that goes with the others, so it is first. The directory is
 * tried as root, and again as the user where root may not (runc's order). Without no_new_privs the
 * filter needs CAP_SYS_ADMIN, so it comes while that is there; else it is last of all, at exec.
 */
static int change_rights(const struct enter_plan *plan, struct error *err)
{
	const struct msg_process *process = plan->process;
	struct msg_capabilities sets = { 0 };
	uint64_t available;
	bool there = chdir(process->cwd) == 0;
	int r;

	if (!there && errno != EACCES)
		return error_set(err, errno, "working directory %s", process->cwd);
	r = caps_available(&available, err);
	if (r < 0)
		return r;
	if (process->has_capabilities)
		sets = process->capabilities;
	caps_narrow(&sets, available);
	r = scheduling_set(process, err);
	if (r == 0)
		r = caps_limit(sets.bounding, err);
	if (r == 0 && !process->no_new_privileges)
		r = load_filters(plan, err);
	if (r == 0)
		r = change_user(plan, err);
	if (r < 0)
		return r;
	if (!there && chdir(process->cwd) < 0)
		return error_set(err, errno, "working directory %s", process->cwd);
	r = check_cwd(process->cwd, err);
	if (r == 0)
		r = caps_apply(&sets, err);
	if (r < 0)
		return r;
	if (process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "set no_new_privs");
	return 0;
}

/* The text of the container's /etc/passwd, at most PASSWD_MAX bytes; 0 when there is none. */
static size_t read_passwd(void)
{
	CLEANUP(fd_close) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_close) int fd = -1;
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (root >= 0)
		fd = resolve_open(root, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY, NULL);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	while (len < sizeof(passwd) && (n = read(fd, passwd + len, sizeof(passwd) - len)) > 0)
		len += (size_t)n;
	return len;
}

/* HOME from the container's users when the caller gave none, as runc does. */
static void set_home(const struct enter_plan *plan)
{
	const char *given = lookup_env(plan->env, "HOME");
	size_t end = 0;

	if (given != NULL && given[0] != '\0')
		return;
	memcpy(home, "HOME=", 5);
	if (lookup_home(passwd, read_passwd(), plan->process->uid, home + 5, sizeof(home) - 5) < 0)
		memcpy(home + 5, "/", 2);
	while (plan->env[end] != NULL && strncmp(plan->env[end], "HOME=", 5) != 0)
		end++;
	if (plan->env[end] == NULL)
		plan->env[end + 1] = NULL;
	plan->env[end] = home;
}

static int prepare(struct enter_plan *plan, struct error *err)
{
	struct terminal terminal = { -1, -1 };
	int r = take_fds(plan, err);

	if (r == 0 && plan->create != NULL && plan->user_namespace)
		r = user_namespace_await(plan->status, err);
	if (r == 0)
		r = reset_signals(err);
	if (r == 0)
		r = set_oom_score(plan, err);
	if (r == 0)
		r = plan->create != NULL ? make_container(plan, &terminal, err)
					 : join_container(plan, &terminal, err);
	if (r == 0)
		r = take_stdio(plan, &terminal, err);
	if (r == 0)
		r = set_limits(plan->process, err);
	if (r == 0)
		r = change_rights(plan, err);
	if (r < 0)
		return r;
	if (plan->personality != 0 && personality(plan->personality) < 0)
		return error_set(err, errno, "set the personality");
	set_home(plan);
	return lookup_program(plan->process->args.items[0], lookup_env(plan->env, "PATH"), program,
			      err);
}

/* Blocks until START. The agent's end closes this wait too: then nobody wants the process. */
static int await_start(int status)
{
	char kind;
	ssize_t n;

	do {
		n = recv(status, &kind, 1, 0);
	} while (n < 0 && errno == EINTR);
	return n == 1 && kind == ENTER_START ? 0 : -ECANCELED;
}

static _Noreturn void fail(const struct enter_plan *plan, const struct error *err)
{
	struct enter_failure failure = { .kind = ENTER_FAILED, .num = err->num };

	memcpy(failure.text, err->text, sizeof(failure.text));
	send(plan->status, &failure, sizeof(failure), MSG_NOSIGNAL);
	_exit(err->num == EACCES ? 126 : 127);
}

void enter_run(const struct enter_plan *prepared)
{
	struct enter_plan plan = *prepared;
	const char ready = ENTER_READY;
	struct error err = { 0 };

	if (prepare(&plan, &err) < 0)
		fail(&plan, &err);
	if (send(plan.status, &ready, 1, MSG_NOSIGNAL) != 1 || await_start(plan.status) < 0)
		_exit(127);
	if (plan.create != NULL && start_hooks_run(plan.create, plan.env, &err) < 0)
		fail(&plan, &err);
	if (plan.process->no_new_privileges && load_filters(&plan, &err) < 0)
		fail(&plan, &err);
	execve(program, plan.process->args.items, plan.env);
	error_set(&err, errno, "exec: \"%s\"", program);
	fail(&plan, &err);
}
