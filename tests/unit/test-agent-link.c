/* kata-runtime/agent-link.c: which link is chosen. */
#include "kata-runtime/agent-link.h"

#include <criterion/criterion.h>

#include "kata-runtime/config.h"

Test(agent_link, choice)
{
	struct agent_link link;
	struct error err;

	cr_assert(agent_link_choose(AGENT_LINK_AUTO, &link, &err) == 0);
	cr_expect(link.link == LAUNCH_LINK_VIRTIO_SERIAL);
	cr_expect(strncmp(link.reason, "auto: ", 6) == 0, "%s", link.reason);
	cr_assert(agent_link_choose(AGENT_LINK_VIRTIO_SERIAL, &link, &err) == 0);
	cr_expect(link.link == LAUNCH_LINK_VIRTIO_SERIAL);
	cr_expect_str_eq(link.reason, "the configuration says so");
	cr_assert(agent_link_choose(AGENT_LINK_VHOST_USER_VSOCK, &link, &err) == 0);
	cr_expect(link.link == LAUNCH_LINK_VHOST_USER_VSOCK);
	cr_expect_str_eq(agent_link_name(link.link), "vhost-user-vsock");
}
