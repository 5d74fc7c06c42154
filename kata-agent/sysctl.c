/*
 * Kernel parameters: see sysctl.h. Runs in the forked child, in the container's namespaces and
 * before its root is built. The files are those of a procfs that is mounted nowhere, so nothing
 * that a container has mounted or linked can stand in their place (CVE-2025-31133 and its kin).
 */
#include "kata-agent/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-agent/mount.h"

/* Letters, digits and the few signs of interface names; no word is empty or begins with a dot. */
static bool is_plain(const char *path)
{
	bool begins = true;

	for (const char *p = path; *p != '\0'; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			      (*p >= '0' && *p <= '9');

		if (!letter && strchr(begins ? "_-@:" : "_-@:./", *p) == NULL)
			return false;
		begins = *p == '/';
	}
	return !begins;
}

static int open_parameter(int proc, const char *path, struct error *err)
{
	struct open_how how = { .flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
				.resolve =
					RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS };
	CLEANUP(fd_close) int fd = -1;
	char below[300];
	struct statfs fs;

	if (!is_plain(path) || str_format(below, sizeof(below), "sys/%s", path) < 0)
		return error_say(err, EINVAL, "no name of a kernel parameter");
	fd = (int)syscall(SYS_openat2, proc, below, &how, sizeof(how));
	if (fd < 0)
		return error_set(err, errno, "open it");
	if (fstatfs(fd, &fs) < 0)
		return error_set(err, errno, "look at its filesystem");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return error_say(err, EIO, "it is not a file of procfs");
	return steal_fd(&fd);
}

static int set(int proc, const struct msg_sysctl *sysctl, struct error *err)
{
	CLEANUP(fd_close) int fd = open_parameter(proc, sysctl->path, err);
	size_t len = strlen(sysctl->value);

	if (fd < 0)
		return fd;
	/* an empty write would set nothing */
	if ((len > 0 ? write(fd, sysctl->value, len) : write(fd, "\n", 1)) < 0)
		return error_set(err, errno, "write \"%s\"", sysctl->value);
	return 0;
}

/* Which of the parameters are set in one go. */
enum part { ALL, NET_ONLY, ALL_BUT_NET };

static bool is_wanted(const struct msg_sysctl *sysctl, enum part part)
{
	return part == ALL || str_starts(sysctl->path, "net/") == (part == NET_ONLY);
}

static int set_part(const struct msg_sysctl *sysctls, uint32_t count, enum part part,
		    struct error *err)
{
	CLEANUP(fd_close) int proc = -1;
	uint32_t wanted = 0;
	int r = 0;

	for (uint32_t i = 0; i < count; i++)
		wanted += is_wanted(&sysctls[i], part);
	if (wanted == 0)
		return 0;
	proc = mount_new("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "", err);
	if (proc < 0)
		return error_prefix(err, "kernel parameters");
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		if (!is_wanted(&sysctls[i], part))
			continue;
		r = set(proc, &sysctls[i], err);
		if (r < 0)
			return error_prefix(err, "kernel parameter %s", sysctls[i].path);
	}
	return r;
}

int sysctl_set_all(const struct msg_sysctl *sysctls, uint32_t count, struct error *err)
{
	return set_part(sysctls, count, ALL, err);
}

int sysctl_set_net(const struct msg_sysctl *sysctls, uint32_t count, struct error *err)
{
	return set_part(sysctls, count, NET_ONLY, err);
}

int sysctl_set_others(const struct msg_sysctl *sysctls, uint32_t count, struct error *err)
{
	return set_part(sysctls, count, ALL_BUT_NET, err);
}
