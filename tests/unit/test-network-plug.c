/* kata-runtime/network-plug.c: what QEMU is told, and what is done when it refuses. */
#include "kata-runtime/network-plug.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "kata-runtime/network-tap.h"
#include "tests/unit/qmp-fake.h"

enum { SHORT_MS = 100 };

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 0x1f };

static struct network_queues open_queues(uint32_t n, bool vhost)
{
	struct network_queues queues;

	network_queues_init(&queues);
	while (queues.n < n)
		queues.taps[queues.n++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (vhost)
		network_queues_open_vhosts(&queues, "/dev/null");
	return queues;
}

Test(network_plug, plugged)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"execute\":\"getfd\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"fdname\":\"vhost3\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"type\":\"tap\",\"id\":\"net3\",\"fd\":\"tap3\",\"vhost\":true,"
			       "\"vhostfd\":\"vhost3\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT,
		  "\"driver\":\"virtio-net-pci\",\"id\":\"nic3\",\"bus\":\"rp3\",\"netdev\":"
		  "\"net3\",\"mac\":\"02:00:00:00:00:1f\"" },
		{ FAKE_SEND, FAKE_DONE },
	};
	CLEANUP(network_queues_close) struct network_queues queues = open_queues(1, true);
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(network_plug(&q, 3, mac, &queues, deadline_in_ms(SOON_MS), &err) == 0, "%s",
		  err.text);
	end_fake(&fake, &q);
}

/* As many of vhost-net as there are queues, and an interrupt for each of their directions. */
Test(network_plug, several_queues)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"fdname\":\"tap3\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"fdname\":\"tap3.1\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"fdname\":\"tap3.2\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"fdname\":\"vhost3\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"fdname\":\"vhost3.1\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"fdname\":\"vhost3.2\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"id\":\"net3\",\"fds\":\"tap3:tap3.1:tap3.2\",\"vhost\":true,"
			       "\"vhostfds\":\"vhost3:vhost3.1:vhost3.2\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"mq\":true,\"vectors\":8" },
		{ FAKE_SEND, FAKE_DONE },
	};
	CLEANUP(network_queues_close) struct network_queues queues = open_queues(3, true);
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(network_plug(&q, 3, mac, &queues, deadline_in_ms(SOON_MS), &err) == 0, "%s",
		  err.text);
	end_fake(&fake, &q);
}

Test(network_plug, a_refused_device_leaves_nothing)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "getfd" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"vhost\":false" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "device_add" },
		{ FAKE_SEND, REFUSED },
		{ FAKE_EXPECT, "\"execute\":\"netdev_del\"" },
		{ FAKE_SEND, FAKE_DONE },
	};
	static const struct fake_qemu_step netdev[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "getfd" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "netdev_add" },
		{ FAKE_SEND, REFUSED },
		{ FAKE_EXPECT, "\"execute\":\"closefd\"" },
		{ FAKE_SEND, FAKE_DONE },
	};
	CLEANUP(network_queues_close) struct network_queues queues = open_queues(1, false);
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(network_plug(&q, 0, mac, &queues, deadline_in_ms(SOON_MS), &err) == -EREMOTEIO);
	cr_expect_str_eq(err.text, "QEMU refused device_add: no");
	end_fake(&fake, &q);
	open_fake(&fake, &q, netdev, ARRAY_SIZE(netdev));
	cr_expect(network_plug(&q, 0, mac, &queues, deadline_in_ms(SOON_MS), &err) == -EREMOTEIO);
	end_fake(&fake, &q);
}

#define DELETED(device) \
	"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"" device "\"}}\r\n"

Test(network_plug, unplugged)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "device_del" },
		{ FAKE_SEND, DELETED("nic4") FAKE_DONE DELETED("nic5") },
		{ FAKE_EXPECT, "\"execute\":\"netdev_del\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "device_del" }, /* gone already */
		{ FAKE_SEND, REFUSED },
		{ FAKE_EXPECT, "\"execute\":\"netdev_del\"" },
		{ FAKE_SEND, REFUSED },
	};
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(network_unplug(&q, 5, deadline_in_ms(SOON_MS), &err) == 0, "%s", err.text);
	cr_expect(network_unplug(&q, 5, deadline_in_ms(SOON_MS), &err) == 0, "%s", err.text);
	end_fake(&fake, &q);
}

Test(network_plug, a_guest_that_does_not_let_go)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "device_del" },
		{ FAKE_SEND, FAKE_DONE DELETED("nic4") "{\"event\": \"DEVICE_DELETED\"}\r\n" },
		{ FAKE_EXPECT, "\"execute\":\"netdev_del\"" },
		{ FAKE_SEND, FAKE_DONE },
	};
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(network_unplug(&q, 5, deadline_in_ms(SHORT_MS), &err) == -ETIMEDOUT);
	cr_expect_str_eq(err.text, "the guest does not let go of device nic5");
	end_fake(&fake, &q);
}
