/* Opening the link to the host: see link.h. Called by main.c at the start and by agent.c. */
#include "kata-agent/link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"

#define PORTS "/sys/class/virtio-ports"

enum { LOOK_AGAIN_MS = 5 };

static bool port_has_name(const char *port, const char *wanted)
{
	CLEANUP(fd_close) int fd = -1;
	char path[320], name[64];
	ssize_t n;

	if (str_format(path, sizeof(path), PORTS "/%s/name", port) < 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
	if (n < 0)
		return false;
	name[n] = '\0';
	name[strcspn(name, "\n")] = '\0';
	return str_eq(name, wanted);
}

static bool find_port(struct link_source *ret_source)
{
	CLEANUP(dir_close) DIR *dir = opendir(PORTS);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char *path = ret_source->device;

		if (entry->d_name[0] == '.' || !port_has_name(entry->d_name, LINK_PORT))
			continue;
		if (str_format(path, sizeof(ret_source->device), "/dev/%s", entry->d_name) == 0 &&
		    access(path, F_OK) == 0)
			return true;
	}
	return false;
}

int link_find_port(struct link_source *ret_source, int64_t deadline, struct error *err)
{
	const struct timespec pause = { .tv_nsec = LOOK_AGAIN_MS * 1000000 };

	*ret_source = (struct link_source){ .kind = LINK_PORT_DEVICE, .socket = -1 };
	while (!find_port(ret_source)) {
		if (deadline_left_ms(deadline) == 0)
			return error_set(err, ETIMEDOUT, "find the virtio-serial port " LINK_PORT);
		nanosleep(&pause, NULL);
	}
	return 0;
}

int link_from_socket(struct link_source *ret_source, int socket, struct error *err)
{
	int listening;
	socklen_t len = sizeof(listening);

	if (getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
		return error_set(err, errno, "descriptor %d", socket);
	if (fcntl(socket, F_SETFD, FD_CLOEXEC) < 0 || fcntl(socket, F_SETFL, O_NONBLOCK) < 0)
		return error_set(err, errno, "prepare descriptor %d", socket);
	*ret_source = (struct link_source){ .kind = listening ? LINK_LISTENING : LINK_CONNECTED,
					    .socket = socket };
	return 0;
}

/*
 * A port without a host polls as hung up; reading it would end the link again at once. The port is
 * never closed, each link gets a copy of the descriptor: a close throws away what has come for the
 * next link, which may be the HELLO of a new worker.
 */
static int open_port(struct link_source *source, struct error *err)
{
	struct pollfd p = { .events = POLLIN };
	int copy;

	if (source->socket < 0)
		source->socket = open(source->device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (source->socket < 0)
		return error_set(err, errno, "open %s", source->device);
	p.fd = source->socket;
	if (poll(&p, 1, 0) < 0)
		return error_set(err, errno, "poll %s", source->device);
	if ((p.revents & POLLHUP) != 0)
		return error_say(err, EAGAIN, "the host is not connected");
	copy = fcntl(source->socket, F_DUPFD_CLOEXEC, 3);
	return copy < 0 ? error_set(err, errno, "copy the descriptor of %s", source->device) : copy;
}

int link_open(struct link_source *source, struct error *err)
{
	int fd;

	switch (source->kind) {
	case LINK_PORT_DEVICE:
		return open_port(source, err);
	case LINK_LISTENING:
		fd = accept4(source->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		return fd < 0 ? error_set(err, errno, "accept a link") : fd;
	case LINK_CONNECTED:
		break;
	}
	if (source->socket < 0)
		return error_say(err, ENOTCONN, "the link has ended");
	return steal_fd(&source->socket);
}

void link_close(struct link_source *source)
{
	fd_close(&source->socket);
}
