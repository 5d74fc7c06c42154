/* Waiting for the guest at its port: see vsock-port.h. Called by worker.c, in the worker's loop. */
#include "kata-proxy/vsock-port.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

bool vsock_port_is_guest(const struct sockaddr_storage *address, socklen_t len, uint32_t cid)
{
	struct sockaddr_vm vm;

	if (len < sizeof(vm) || address->ss_family != AF_VSOCK)
		return false;
	memcpy(&vm, address, sizeof(vm));
	return vm.svm_cid == cid;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct vsock_port *port = poll->data;
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd;

	(void)status;
	(void)events;
	fd = accept4(port->fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			log_warning("the guest's connection was not taken", KV("errno", errno));
			uv_poll_stop(poll); /* the create's deadline says the rest */
		}
		return;
	}
	if (!vsock_port_is_guest(&address, len, port->cid)) {
		log_warning("a connection to the agent's port is not of its guest");
		close(fd);
		return;
	}
	uv_poll_stop(poll);
	port->connected(port, fd);
}

int vsock_port_open(struct vsock_port *port, uv_loop_t *loop, int fd, uint32_t cid,
		    void (*connected)(struct vsock_port *port, int fd), void *owner,
		    struct error *err)
{
	int r;

	*port = (struct vsock_port){ .fd = fd, .cid = cid, .connected = connected, .owner = owner };
	r = uv_poll_init(loop, &port->poll, fd);
	if (r < 0)
		return error_set(err, -r, "listen for the guest");
	port->poll.data = port;
	r = uv_poll_start(&port->poll, UV_READABLE, on_connection);
	return r < 0 ? error_set(err, -r, "listen for the guest") : 0;
}

void vsock_port_close(struct vsock_port *port)
{
	if (!port->closing)
		uv_close((uv_handle_t *)&port->poll, NULL);
	port->closing = true;
}
