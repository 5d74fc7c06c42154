/*
 * Sharing with another container of the pod: see join.h. Called by enter.c in the forked child. The
 * other container may be hostile: nothing is opened in it but one directory, without following a
 * link out of its root, and only a mount is taken.
 */
#include "kata-agent/join.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-agent/mount.h"
#include "kata-agent/resolve.h"

int join_namespaces(int ipc_pidfd, int uts_pidfd, struct error *err)
{
	if (ipc_pidfd >= 0 && setns(ipc_pidfd, CLONE_NEWIPC) < 0)
		return error_set(err, errno, "join another container's IPC namespace");
	if (uts_pidfd >= 0 && setns(uts_pidfd, CLONE_NEWUTS) < 0)
		return error_set(err, errno, "join another container's UTS namespace");
	return 0;
}

/* In the other's mount namespace: its /dev/shm as a detached mount. */
static int take_shm(struct error *err)
{
	CLEANUP(fd_close) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_close) int shm = -1;
	struct statx st;

	if (root < 0)
		return error_set(err, errno, "open another container's root");
	shm = resolve_open(root, "/dev/shm", O_PATH | O_DIRECTORY, err);
	if (shm < 0)
		return shm;
	if (statx(shm, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
		return error_set(err, errno, "look at another container's /dev/shm");
	if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0)
		return error_set(err, ENOENT, "another container's /dev/shm");
	return mount_clone(shm, false, err);
}

int join_shm(int pidfd, struct error *err)
{
	CLEANUP(fd_close) int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_close) int shm = -1;

	if (own < 0)
		return error_set(err, errno, "open the own mount namespace");
	if (setns(pidfd, CLONE_NEWNS) < 0)
		return error_set(err, errno, "enter another container's mounts");
	shm = take_shm(err);
	if (setns(own, CLONE_NEWNS) < 0)
		return error_set(err, errno, "come back from another container's mounts");
	return shm < 0 ? shm : steal_fd(&shm);
}
