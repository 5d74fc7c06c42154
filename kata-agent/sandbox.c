/* Preparing the VM and ending it: see sandbox.h. Called by requests.c and agent.c. */
#include "kata-agent/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-agent/agent.h"
#include "kata-agent/cgroup.h"

#define SHARE_TAG "share"

enum { SYNC_MS = 2000, LET_GO_S = 30, NS_PER_S = 1000000000, CLOCK_SLACK_NS = 1000000 };

static int mount_share(const struct agent *agent, struct error *err)
{
	const char *path = agent->options.share;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set(err, errno, "make the shared directory");
	if (mount(SHARE_TAG, path, "virtiofs", MS_NODEV, NULL) < 0)
		return error_set(err, errno, "mount the shared directory");
	return 0;
}

/* A clock that is right is left alone: setting it disturbs timers. */
static int set_clock(uint64_t time_ns, struct error *err)
{
	struct timespec wanted = { .tv_sec = (time_t)(time_ns / NS_PER_S),
				   .tv_nsec = (long)(time_ns % NS_PER_S) };
	struct timespec now;
	int64_t off;

	clock_gettime(CLOCK_REALTIME, &now);
	if (__builtin_mul_overflow((int64_t)(wanted.tv_sec - now.tv_sec), NS_PER_S, &off))
		off = INT64_MAX / 2;
	off += wanted.tv_nsec - now.tv_nsec;
	if (off > -CLOCK_SLACK_NS && off < CLOCK_SLACK_NS)
		return 0;
	if (clock_settime(CLOCK_REALTIME, &wanted) < 0)
		return error_set(err, errno, "set the clock");
	return 0;
}

int sandbox_prepare(struct agent *agent, const struct msg_create_sandbox *wanted, struct error *err)
{
	int r = 0;

	if (agent->sandboxed)
		return error_say(err, EALREADY, "the sandbox is prepared already");
	if (wanted->log_level != 0) {
		agent->log_level = (enum log_level)wanted->log_level;
		log_link_use(&agent->log, agent->log_level);
	}
	if (wanted->hostname[0] != '\0' &&
	    sethostname(wanted->hostname, strlen(wanted->hostname)) < 0)
		return error_set(err, errno, "set the host name");
	if (agent->options.guest && wanted->time_ns != 0)
		r = set_clock(wanted->time_ns, err);
	if (r == 0 && agent->options.guest && wanted->share)
		r = mount_share(agent, err);
	if (r == 0)
		r = cgroup_prepare(agent->options.cgroup, err);
	if (r < 0)
		return r;
	agent->sandboxed = true;
	log_info("sandbox prepared", KV("share", wanted->share));
	return 0;
}

/* With virtio_fs_cache = "always" the guest never asks for a name again that it knows. */
static void forget_names(void)
{
	CLEANUP(fd_close) int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "2", 1) != 1)
		return; /* then they go with the memory they need */
}

/* In a child, which is reaped as any and holds none of our descriptors: the host may not answer. */
void sandbox_let_go(const struct agent *agent, const char *container, int mounts)
{
	const struct timespec expired = { .tv_sec = 1, .tv_nsec = 500000000 };
	char path[PATH_MAX];
	struct stat st;
	pid_t pid;

	if (!agent->options.guest ||
	    str_format(path, sizeof(path), "%s/%s", agent->options.share, container) < 0) {
		fd_close(&mounts);
		return;
	}
	pid = fork();
	if (pid > 0)
		fd_close(&mounts);
	if (pid != 0)
		return; /* without a child the mounts stay: see container.h */
	if (mounts > 0)
		close_range(0, (unsigned)mounts - 1, 0);
	close_range((unsigned)(mounts + 1), ~0U, 0);
	alarm(LET_GO_S);
	/* The host takes the files away once the removal is answered: perhaps not at once. */
	while (nanosleep(&expired, NULL) == 0) {
		fd_close(&mounts);
		if (lstat(path, &st) < 0)
			break;
		forget_names();
	}
	_exit(0);
}

/* In a child: a shared directory whose host has gone would hold sync(2) for ever. */
void sandbox_power_off(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		sync();
		_exit(0);
	}
	if (pid > 0)
		process_wait_child(pid, deadline_in_ms(SYNC_MS), &status, NULL);
	/* QEMU runs with -no-reboot: a reset ends it, even where there is no power switch. */
	reboot(RB_AUTOBOOT);
	_exit(1);
}
