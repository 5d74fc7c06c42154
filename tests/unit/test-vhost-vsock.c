/* kata-runtime/vhost-vsock.c: numbers that nobody else has. The kernel is this test's table. */
#include "kata-runtime/vhost-vsock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

enum { MANY = 1000 };

static struct {
	uint32_t cids[MANY], ports[MANY]; /* taken */
	unsigned n_cids, n_ports, asked;
	int cid_error, listen_error;
	bool no_device;
} kernel;

static bool taken(const uint32_t *numbers, unsigned n, uint32_t number)
{
	for (unsigned i = 0; i < n; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

static int fake_open(void)
{
	return kernel.no_device ? -ENOENT : open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int fake_set_cid(int device, uint64_t cid)
{
	cr_assert(device >= 0 && cid >= 65536 && cid < UINT32_MAX, "%llu", (unsigned long long)cid);
	kernel.asked++;
	if (kernel.cid_error != 0)
		return -kernel.cid_error;
	return taken(kernel.cids, kernel.n_cids, (uint32_t)cid) ? -EADDRINUSE : 0;
}

static int fake_listen(uint32_t port)
{
	if (kernel.listen_error != 0)
		return -kernel.listen_error;
	if (taken(kernel.ports, kernel.n_ports, port))
		return -EADDRINUSE;
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static const struct vhost_vsock_kernel fake = { fake_open, fake_set_cid, fake_listen };

static uint32_t claim(const char *sid)
{
	struct vhost_vsock vsock = VHOST_VSOCK_NONE;
	struct error err;

	cr_assert(vhost_vsock_claim(sid, &fake, &vsock, &err) == 0, "%s", err.text);
	cr_expect(vsock.device >= 0 && vsock.listening >= 0);
	vhost_vsock_release(&vsock);
	cr_expect(vsock.device < 0 && vsock.listening < 0);
	return vsock.cid;
}

/* Sandboxes that live at the same time have numbers of their own, also with one id. */
Test(vhost_vsock, unique)
{
	char sid[33];

	for (unsigned i = 0; i < MANY / 2; i++) {
		uint32_t cid;

		snprintf(sid, sizeof(sid), "%032x", i % 100);
		cid = claim(sid);
		cr_assert_not(taken(kernel.cids, kernel.n_cids, cid));
		kernel.cids[kernel.n_cids++] = cid;
	}
}

/* A port that something else has is passed over, and with it its CID. */
Test(vhost_vsock, port_is_taken)
{
	uint32_t first = claim("0123456789abcdef0123456789abcdef"), second;

	kernel.ports[kernel.n_ports++] = first;
	second = claim("0123456789abcdef0123456789abcdef");
	cr_expect(second == first + 1);
	kernel.ports[kernel.n_ports++] = second;
	kernel.cids[kernel.n_cids++] = second + 1;
	cr_expect(claim("0123456789abcdef0123456789abcdef") == first + 3);
}

static int open_fds(void)
{
	int n = 0;

	for (int i = 0; i < 1024; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

Test(vhost_vsock, failures)
{
	struct vhost_vsock vsock = VHOST_VSOCK_NONE;
	int before = open_fds();
	struct error err;

	kernel.no_device = true;
	cr_expect(vhost_vsock_claim("a", &fake, &vsock, &err) == -ENOENT);
	cr_expect(strncmp(err.text, "open /dev/vhost-vsock: ", 23) == 0, "%s", err.text);
	kernel.no_device = false;
	kernel.cid_error = EPERM;
	cr_expect(vhost_vsock_claim("a", &fake, &vsock, &err) == -EPERM);
	cr_expect(kernel.asked == 1, "what is no conflict is not tried again");
	kernel.cid_error = EADDRINUSE;
	cr_expect(vhost_vsock_claim("a", &fake, &vsock, &err) == -EADDRINUSE, "it ends");
	kernel.cid_error = 0;
	kernel.listen_error = EAFNOSUPPORT;
	cr_expect(vhost_vsock_claim("a", &fake, &vsock, &err) == -EAFNOSUPPORT);
	cr_expect(vsock.device < 0 && vsock.listening < 0);
	cr_expect(open_fds() == before, "no descriptor is left");
}
