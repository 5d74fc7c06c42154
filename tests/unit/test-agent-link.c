/* kata-runtime/agent-link.c: which link is chosen. */
#include "kata-runtime/agent-link.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "kata-runtime/config.h"

Test(agent_link, choice)
{
	struct agent_link link = AGENT_LINK_NONE;
	struct error err;

	cr_assert(agent_link_choose(AGENT_LINK_AUTO, "sid", &link, &err) == 0);
	cr_expect(link.link == LAUNCH_LINK_VIRTIO_SERIAL);
	cr_expect(strncmp(link.reason, "auto: ", 6) == 0, "%s", link.reason);
	cr_assert(agent_link_choose(AGENT_LINK_VIRTIO_SERIAL, "sid", &link, &err) == 0);
	cr_expect(link.link == LAUNCH_LINK_VIRTIO_SERIAL);
	cr_expect_str_eq(link.reason, "the configuration says so");
	cr_assert(agent_link_choose(AGENT_LINK_VHOST_USER_VSOCK, "sid", &link, &err) == 0);
	cr_expect(link.link == LAUNCH_LINK_VHOST_USER_VSOCK);
	cr_expect_str_eq(agent_link_name(link.link), "vhost-user-vsock");
}

/* What the configuration names and the host has not is an error that says so. */
Test(agent_link, no_device)
{
	struct agent_link link = AGENT_LINK_NONE;
	struct error err = { 0 };

	if (access("/dev/vhost-vsock", F_OK) == 0)
		cr_skip("this host has the device");
	cr_expect(agent_link_choose(AGENT_LINK_VHOST_VSOCK, "sid", &link, &err) < 0);
	cr_expect(strstr(err.text, "agent_link \"vhost-vsock\": open /dev/vhost-vsock: ") != NULL,
		  "%s", err.text);
	cr_expect(link.vsock.device < 0 && link.vsock.listening < 0);
}
