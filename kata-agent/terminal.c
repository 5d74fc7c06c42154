/*
 * Pseudo terminals: see terminal.h. Opened by the forked child inside the container's mounts, used
 * by the agent through the master, which travels back to it.
 */
#include "kata-agent/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-agent/mount.h"
#include "kata-agent/resolve.h"

/* The multiplexer of a devpts has number 5:2; anything else the image put there is not opened. */
static int open_master(int root_fd, struct error *err)
{
	int flags = O_RDWR | O_NOCTTY | O_NONBLOCK;
	CLEANUP(fd_close) int place = resolve_open(root_fd, "/dev/pts/ptmx", O_PATH, err);
	CLEANUP(fd_close) int fd = -1;
	struct stat st;

	if (place < 0)
		return place;
	if (fstat(place, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		return error_say(err, ENODEV, "/dev/pts in the container is no devpts");
	fd = resolve_open(root_fd, "/dev/pts/ptmx", flags, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		return error_say(err, ENODEV, "/dev/pts in the container has changed");
	return steal_fd(&fd);
}

int terminal_open(int root_fd, uid_t uid, struct terminal *ret_terminal, struct error *err)
{
	CLEANUP(fd_close) int master = open_master(root_fd, err);
	CLEANUP(fd_close) int slave = -1;
	int unlock = 0;

	if (master < 0)
		return error_prefix(err, "open a terminal");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return error_set(err, errno, "unlock a terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return error_set(err, errno, "open a terminal's slave");
	if (fchown(slave, uid, (gid_t)-1) < 0)
		return error_set(err, errno, "give a terminal to user %u", uid);
	ret_terminal->master = steal_fd(&master);
	ret_terminal->slave = steal_fd(&slave);
	return 0;
}

int terminal_resize(int fd, uint32_t rows, uint32_t columns, struct error *err)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	if (ioctl(fd, TIOCSWINSZ, &size) < 0)
		return error_set(err, errno, "set the size of a terminal");
	return 0;
}

int terminal_bind_console(int root_fd, int slave, struct error *err)
{
	CLEANUP(fd_close) int target = resolve_create(root_fd, "/dev/console", false, err);
	CLEANUP(fd_close) int copy = -1;

	if (target < 0)
		return target;
	copy = mount_clone(slave, false, err);
	return copy < 0 ? copy : mount_attach(copy, target, err);
}

int terminal_take(int slave, struct error *err)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return error_set(err, errno, "take a terminal");
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(slave, fd) < 0)
			return error_set(err, errno, "use a terminal");
	}
	return 0;
}
