/* Finding and striking a VM's processes: see victims.h. */
#include "tests/crash/victims.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "kata-runtime/qmp.h"
#include "kata-runtime/store.h"

#define DISK_FILLER "/run/filler"

enum { QMP_MS = 2000 };

const char *const victim_names[VICTIM_COUNT] = {
	[VICTIM_RUNTIME] = "runtime", [VICTIM_MONITOR] = "monitor",
	[VICTIM_WORKER] = "worker",   [VICTIM_SHIM] = "shim",
	[VICTIM_QEMU] = "qemu",       [VICTIM_VIRTIOFSD] = "virtiofsd",
	[VICTIM_AGENT] = "agent",     [VICTIM_INIT] = "init",
	[VICTIM_DISK] = "disk",
};

const char *const fate_names[FATE_COUNT] = {
	[KILLED] = "killed", [STOPPED] = "stopped", [CRASHED] = "crashed", [UNDYING] = "undying"
};

/* --- finding --------------------------------------------------------------------------------- */

static pid_t in_state(const struct stage *stage, const char *name)
{
	struct json_object *state, *ref, *pid;
	char path[192];
	pid_t ret = 0;

	snprintf(path, sizeof(path), "%s/c1/state.json", stage->root);
	state = access(path, R_OK) == 0 ? json_object_from_file(path) : NULL;
	if (state != NULL && json_object_object_get_ex(state, name, &ref) &&
	    json_object_object_get_ex(ref, "pid", &pid))
		ret = json_object_get_int(pid);
	json_object_put(state);
	return ret > 0 && kill(ret, 0) == 0 ? ret : 0;
}

static pid_t parent_of(const char *pid)
{
	char path[300], text[512];
	CLEANUP(fd_close) int fd = -1;
	const char *paren;
	ssize_t n;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	paren = strrchr(text, ')');
	return paren != NULL && paren[1] != '\0' && paren[2] != 'Z' &&
			       sscanf(paren + 3, "%d", &parent) == 1
		       ? parent
		       : 0;
}

/* A word of the command line that only this program of a VM has; NULL: any. */
static bool has_word(const char *pid, const char *word)
{
	char path[300], text[16384];
	CLEANUP(fd_close) int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	return n > 0 && (word == NULL || memmem(text, (size_t)n, word, strlen(word)) != NULL);
}

static pid_t find_child(pid_t parent, const char *word)
{
	CLEANUP(dir_close) DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (parent > 0 && dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    parent_of(entry->d_name) == parent && has_word(entry->d_name, word))
			return atoi(entry->d_name);
	return 0;
}

pid_t victim_find(const struct stage *stage, enum victim victim)
{
	static const char *const words[VICTIM_COUNT] = {
		[VICTIM_WORKER] = "worker", [VICTIM_QEMU] = "-append", [VICTIM_VIRTIOFSD] = "--fd",
		[VICTIM_AGENT] = "-append", [VICTIM_INIT] = "-append",
	};

	if (victim == VICTIM_SHIM)
		return in_state(stage, "shim");
	if (victim == VICTIM_MONITOR)
		return in_state(stage, "monitor");
	return words[victim] != NULL ? find_child(in_state(stage, "monitor"), words[victim]) : 0;
}

/* --- striking -------------------------------------------------------------------------------- */

/* The next instruction is at address 0. */
static bool make_fault(pid_t pid)
{
	struct user_regs_struct regs;
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
		return false;
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) != pid ||
	    !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		return false;
	regs.rip = 0;
	regs.orig_rax = (unsigned long long)-1; /* no call is begun again */
	return ptrace(PTRACE_SETREGS, pid, NULL, &regs) == 0 &&
	       ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0;
}

bool victim_strike_pid(pid_t pid, enum fate fate)
{
	if (pid <= 0)
		return false;
	if (fate == CRASHED)
		return make_fault(pid);
	return kill(pid, fate == STOPPED ? SIGSTOP : SIGKILL) == 0;
}

/* What fake-vm knows as a signal is a command to QEMU otherwise. */
static bool strike_agent(const struct stage *stage, pid_t qemu, enum fate fate)
{
	struct qmp qmp = QMP_CLOSED;
	char path[PATH_MAX];
	struct error err;
	int r;

	if (stage->installed_config == NULL)
		return qemu > 0 && kill(qemu, fate == STOPPED ? SIGUSR1 : SIGUSR2) == 0;
	snprintf(path, sizeof(path), "%s/c1/qmp.sock", stage->root);
	r = qmp_open(&qmp, path, deadline_in_ms(QMP_MS), &err);
	/* The kernel is told to panic at an interrupt that it does not know. */
	if (r == 0)
		r = qmp_command(&qmp, fate == STOPPED ? "stop" : "inject-nmi", NULL,
				deadline_in_ms(QMP_MS), NULL, &err);
	qmp_close(&qmp);
	if (r < 0)
		printf("# QMP: %s\n", err.text);
	return r == 0;
}

static bool strike_init(struct stage *stage, pid_t qemu, enum fate fate)
{
	if (fate == UNDYING)
		return stage->installed_config == NULL && kill(qemu, SIGHUP) == 0;
	return stage_runtime(stage, "kill", "c1", fate == STOPPED ? "STOP" : "KILL", NULL) == 0;
}

static bool fill_disk(void)
{
	CLEANUP(fd_close) int fd = open(DISK_FILLER, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	static const char zeros[4096];

	while (fd >= 0 && write(fd, zeros, sizeof(zeros)) > 0)
		continue;
	return fd >= 0 && errno == ENOSPC;
}

void victim_free_disk(void)
{
	unlink(DISK_FILLER);
}

bool victim_strike(struct stage *stage, enum victim victim, enum fate fate)
{
	pid_t pid = victim_find(stage, victim);

	switch (victim) {
	case VICTIM_AGENT:
		return pid > 0 && strike_agent(stage, pid, fate);
	case VICTIM_INIT:
		return pid > 0 && strike_init(stage, pid, fate);
	case VICTIM_DISK:
		return fill_disk();
	case VICTIM_VIRTIOFSD: /* it is two, of which the inner one serves */
		if (pid > 0 && fate == STOPPED)
			victim_strike_pid(find_child(pid, NULL), fate);
		return victim_strike_pid(pid, fate);
	default:
		return victim_strike_pid(pid, fate);
	}
}
