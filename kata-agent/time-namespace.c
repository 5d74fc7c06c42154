/*
 * Time namespaces: see time-namespace.h. Runs in the forked child, which has one thread and still
 * the agent's view of /proc; before it is another user's, whom that file does not belong to.
 */
#include "kata-agent/time-namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

int time_namespace_enter(const char *offsets, struct error *err)
{
	CLEANUP(fd_close) int file = -1;
	CLEANUP(fd_close) int namespace = -1;
	size_t len = strlen(offsets);

	if (unshare(CLONE_NEWTIME) < 0)
		return error_set(err, errno, "make a time namespace");
	/* The offsets are set while nobody is in it; only children would come in by themselves. */
	file = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (file < 0 || (len > 0 && write(file, offsets, len) != (ssize_t)len))
		return error_set(err, errno, "set the offsets of the time namespace");
	namespace = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (namespace < 0 || setns(namespace, CLONE_NEWTIME) < 0)
		return error_set(err, errno, "enter the time namespace");
	return 0;
}
