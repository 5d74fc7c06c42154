/* kata-runtime/agent-link.c: which link is chosen. */
#include "kata-runtime/agent-link.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kata-runtime/config.h"

/* A host's kernel: each call succeeds, or fails as it is told. */
static int open_error, cid_error, listen_error;

static int fake_open(void)
{
	return open_error != 0 ? -open_error : open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int fake_set_cid(int device, uint64_t cid)
{
	(void)device;
	(void)cid;
	return -cid_error;
}

static int fake_listen(uint32_t port)
{
	(void)port;
	return listen_error != 0 ? -listen_error : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static const struct vhost_vsock_kernel fake = { fake_open, fake_set_cid, fake_listen };

static struct agent_link choose(uint32_t wanted)
{
	struct agent_link link = AGENT_LINK_NONE;
	struct error err = { 0 };

	cr_assert(agent_link_choose(wanted, "sid", &fake, &link, &err) == 0, "%s", err.text);
	return link;
}

Test(agent_link, what_the_configuration_says)
{
	struct agent_link link = choose(AGENT_LINK_VIRTIO_SERIAL);

	cr_expect(link.link == LAUNCH_LINK_VIRTIO_SERIAL && link.vsock.device < 0);
	cr_expect_str_eq(link.reason, "the configuration says so");
	link = choose(AGENT_LINK_VHOST_USER_VSOCK);
	cr_expect(link.link == LAUNCH_LINK_VHOST_USER_VSOCK && link.vsock.device < 0);
	cr_expect_str_eq(agent_link_name(link.link), "vhost-user-vsock");
	link = choose(AGENT_LINK_VHOST_VSOCK);
	cr_expect(link.link == LAUNCH_LINK_VHOST_VSOCK && link.vsock.device >= 0);
	agent_link_release(&link);
}

Test(agent_link, auto_takes_the_device_that_opens)
{
	struct agent_link link = choose(AGENT_LINK_AUTO);

	cr_expect(link.link == LAUNCH_LINK_VHOST_VSOCK);
	cr_expect(link.vsock.device >= 0 && link.vsock.listening >= 0 && link.vsock.cid >= 65536);
	cr_expect_str_eq(link.reason, "auto: /dev/vhost-vsock opens");
	agent_link_release(&link);
	cr_expect(link.vsock.device < 0 && link.vsock.listening < 0);
}

/* Whatever of it fails: a link there is, nothing is held, and the reason says what it was. */
static void expect_fallback(const char *why)
{
	struct agent_link link = choose(AGENT_LINK_AUTO);

	cr_expect(link.link == LAUNCH_LINK_VIRTIO_SERIAL, "%s", why);
	cr_expect(link.vsock.device < 0 && link.vsock.listening < 0, "%s", why);
	cr_expect_str_eq(link.reason, why);
}

Test(agent_link, auto_falls_back)
{
	open_error = ENOENT;
	expect_fallback("auto: no vhost-vsock here: open /dev/vhost-vsock: not found");
	open_error = 0;
	cid_error = EADDRINUSE;
	expect_fallback("auto: no vhost-vsock here: claim a vsock CID and port for the guest: "
			"Address already in use");
	cid_error = 0;
	listen_error = EAFNOSUPPORT;
	expect_fallback("auto: no vhost-vsock here: claim a vsock CID and port for the guest: "
			"Address family not supported by protocol");
}

/* What the configuration names and the host has not is an error that says so. */
Test(agent_link, no_device)
{
	struct agent_link link = AGENT_LINK_NONE;
	struct error err = { 0 };

	if (access("/dev/vhost-vsock", F_OK) == 0)
		cr_skip("this host has the device");
	cr_expect(agent_link_choose(AGENT_LINK_VHOST_VSOCK, "sid", NULL, &link, &err) < 0);
	cr_expect(strstr(err.text, "agent_link \"vhost-vsock\": open /dev/vhost-vsock: ") != NULL,
		  "%s", err.text);
	cr_expect(link.vsock.device < 0 && link.vsock.listening < 0);
}
