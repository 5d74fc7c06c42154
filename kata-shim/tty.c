/* The terminal slave: see tty.h. Called by main before rights are dropped and by shim.c. */
#include "kata-shim/tty.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

bool tty_is_stdio(void)
{
	struct stat first, other;

	if (!isatty(0) || fstat(0, &first) < 0)
		return false;
	for (int fd = 1; fd <= 2; fd++) {
		if (fstat(fd, &other) < 0 || !S_ISCHR(other.st_mode) ||
		    other.st_dev != first.st_dev || other.st_ino != first.st_ino)
			return false;
	}
	return true;
}

int tty_control(int fd, struct error *err)
{
	if (ioctl(fd, TIOCSCTTY, 0) < 0)
		return error_set(err, errno, "take the terminal");
	return 0;
}

int tty_raw(int fd, struct error *err)
{
	struct termios mode;

	if (tcgetattr(fd, &mode) < 0)
		return error_set(err, errno, "read the terminal's mode");
	cfmakeraw(&mode);
	if (tcsetattr(fd, TCSANOW, &mode) < 0)
		return error_set(err, errno, "set the terminal's mode");
	return 0;
}

bool tty_size(int fd, uint32_t *ret_rows, uint32_t *ret_columns)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
		return false;
	*ret_rows = size.ws_row;
	*ret_columns = size.ws_col;
	return true;
}
