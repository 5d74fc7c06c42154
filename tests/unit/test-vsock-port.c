/* kata-proxy/vsock-port.c: who connects, and that the right one is given on. */
#include "kata-proxy/vsock-port.h"

#include <criterion/criterion.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/loop.h"

Test(vsock_port, knows_its_guest)
{
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK, .svm_cid = 70000, .svm_port = 1 };
	struct sockaddr_storage address = { 0 };

	memcpy(&address, &vm, sizeof(vm));
	cr_expect(vsock_port_is_guest(&address, sizeof(vm), 70000));
	cr_expect(vsock_port_is_guest(&address, sizeof(address), 70000));
	cr_expect_not(vsock_port_is_guest(&address, sizeof(vm), 70001));
	cr_expect_not(vsock_port_is_guest(&address, sizeof(vm) - 1, 70000));
	address.ss_family = AF_UNIX;
	cr_expect_not(vsock_port_is_guest(&address, sizeof(address), 70000));
}

static void on_connected(struct vsock_port *port, int fd)
{
	close(fd);
	(*(int *)port->owner)++;
}

/* Anybody on the host can reach the port: who is not the guest is closed, and the wait goes on. */
Test(vsock_port, closes_others)
{
	CLEANUP(fd_close) int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(address);
	struct vsock_port port;
	struct error err;
	uv_loop_t loop;
	int connected = 0;
	char byte;

	/* A name of the kernel's choice. */
	cr_assert(bind(listening, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	cr_assert(listen(listening, 4) == 0);
	cr_assert(getsockname(listening, (struct sockaddr *)&address, &len) == 0);
	cr_assert(loop_start(&loop, &err) == 0);
	cr_assert(vsock_port_open(&port, &loop, listening, 3, on_connected, &connected, &err) == 0);
	for (int i = 0; i < 3; i++) {
		CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		cr_assert(connect(fd, (struct sockaddr *)&address, len) == 0);
		uv_run(&loop, UV_RUN_ONCE);
		cr_expect(recv(fd, &byte, 1, MSG_DONTWAIT) == 0, "it is closed");
	}
	cr_expect(connected == 0);
	vsock_port_close(&port);
	vsock_port_close(&port);
	cr_expect(loop_run(&loop, 1000, &err) == 0, "%s", err.text);
}
