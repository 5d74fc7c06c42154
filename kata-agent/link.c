/* Opening the link to the host: see link.h. Called by main.c at the start and by agent.c. */
#include "kata-agent/link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/launch.h"
#include "common/str.h"

#define PORTS "/sys/class/virtio-ports"

enum { LOOK_AGAIN_MS = 5 };

/* The first word that says so counts: ours stands before the administrator's. */
bool link_parse_vsock(const char *cmdline, uint32_t *ret_port)
{
	const char *word = cmdline;
	char number[16];
	uint64_t port;

	while (*word != '\0') {
		size_t len = strcspn(word, " \n");

		if (str_starts(word, LAUNCH_KERNEL_LINK)) {
			size_t n = len - strlen(LAUNCH_KERNEL_LINK);

			if (n >= sizeof(number))
				return false;
			memcpy(number, word + strlen(LAUNCH_KERNEL_LINK), n);
			number[n] = '\0';
			if (str_to_u64(number, UINT32_MAX - 1, &port) < 0)
				return false;
			*ret_port = (uint32_t)port;
			return true;
		}
		word += len;
		word += strspn(word, " \n");
	}
	return false;
}

bool link_wants_vsock(uint32_t *ret_port)
{
	CLEANUP(fd_close) int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	return link_parse_vsock(text, ret_port);
}

int link_find_vsock(struct link_source *ret_source, uint32_t port, struct error *err)
{
	CLEANUP(fd_close) int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_set(err, errno, "vsock in this kernel");
	*ret_source = (struct link_source){ .kind = LINK_VSOCK, .port = port, .socket = -1 };
	return 0;
}

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

/*
 * Dials the host, and looks at each further call whether it has answered: it does within some
 * milliseconds, or refuses while nobody listens there.
 */
static int dial(struct link_source *source, struct error *err)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
					  .svm_cid = VMADDR_CID_HOST,
					  .svm_port = source->port };
	struct pollfd p = { .events = POLLOUT };
	socklen_t len = sizeof(int);
	int failed = 0;

	if (source->socket < 0) {
		source->socket = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (source->socket < 0)
			return error_set(err, errno, "make a vsock socket");
		if (connect(source->socket, (const struct sockaddr *)&host, sizeof(host)) < 0 &&
		    errno != EINPROGRESS) {
			fd_close(&source->socket);
			return error_say(err, EAGAIN, "the host cannot be dialled");
		}
	}
	p.fd = source->socket;
	if (poll(&p, 1, 0) == 0)
		return error_say(err, EAGAIN, "the host has not answered");
	if (getsockopt(source->socket, SOL_SOCKET, SO_ERROR, &failed, &len) < 0 || failed != 0) {
		fd_close(&source->socket);
		return error_say(err, EAGAIN, "the host refused");
	}
	return steal_fd(&source->socket);
}

int link_open(struct link_source *source, struct error *err)
{
	int fd;

	switch (source->kind) {
	case LINK_VSOCK:
		return dial(source, err);
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
