/* kata-runtime/network-tap.c: names and aliases, and tap devices in a real namespace. */
#include "kata-runtime/network-tap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/network-scan.h"
#include "tests/unit/netns.h"

#define SID "0123456789abcdef0123456789abcdef"

/* With one queue, and nothing for the host. */
static int join(struct netlink *netlink, const struct network_link *link, const char *tap,
		struct network_queues *queues, struct error *err)
{
	const struct network_join plain = { .vcpus = 1, .host = -1 };

	network_queues_init(queues);
	return network_tap_join(netlink, link, tap, &plain, queues, err);
}

Test(network_tap, names)
{
	char name[NETWORK_NAME_SIZE];
	uint32_t slot = 0;

	network_tap_name(name, SID, 11);
	cr_expect_str_eq(name, "kt0123456789abb");
	cr_expect(network_tap_slot(name, SID, &slot) && slot == 11);
	cr_expect(network_tap_slot(name, "f" SID, &slot) && slot == UINT32_MAX);
	cr_expect(network_tap_slot(name, "", &slot) && slot == UINT32_MAX);
	cr_expect(!network_tap_slot("kt0123456789ab", SID, &slot));
	cr_expect(!network_tap_slot("kt0123456789abg", SID, &slot));
	cr_expect(!network_tap_slot("eth0", SID, &slot) && !network_tap_slot("", SID, &slot));
}

Test(network_tap, aliases)
{
	static const char *const bad[] = {
		"",
		"kata",
		"kata 7",
		"kata x 02:00:00:00:00:01",
		"kata 0 02:00:00:00:00:01",
		"kata -3 02:00:00:00:00:01",
		"kata 7 02:00:00:00:00",
		"kata 7 02:00:00:00:00:01 more",
		"other 7 02:00:00:00:00:01",
	};
	uint8_t mac[6];
	int32_t target;

	network_tap_parse_alias("kata 7 02:00:00:00:00:ff", &target, mac);
	cr_expect(target == 7 && mac[0] == 2 && mac[5] == 0xff);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		network_tap_parse_alias(bad[i], &target, mac);
		cr_expect(target == 0, "%s", bad[i]);
	}
}

static struct network *scan(struct netlink *netlink)
{
	struct network *network = calloc(1, sizeof(*network));
	struct error err;

	cr_assert(network_scan(netlink, SID, network, &err) == 0, "%s", err.text);
	return network;
}

Test(network_tap, joined_and_parted)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	CLEANUP(freep) struct network *before = NULL;
	CLEANUP(freep) struct network *joined = NULL;
	CLEANUP(freep) struct network *after = NULL;
	struct network_queues queues, more;
	struct error err = { 0 };

	NETNS_OR_SKIP();
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("no /dev/net/tun");
	cr_assert(sh("ip link add eth0 mtu 1400 type veth peer p0 && ip link set eth0 up"));
	cr_assert(sh("ip link add br0 type bridge && ip link set p0 master br0"));
	cr_assert(netlink_open(&netlink, &err) == 0);
	before = scan(&netlink);
	cr_assert(before->n_links == 2);
	cr_assert(join(&netlink, &before->links[0], "kt0123456789ab3", &queues, &err) == 0, "%s",
		  err.text);
	cr_expect(queues.n == 1);
	joined = scan(&netlink);
	cr_expect(joined->links[0].slot == 3 && joined->links[1].slot == -1);
	cr_expect(joined->taps[3].index != 0 && joined->taps[3].mtu == before->links[0].mtu);
	cr_expect(network_tap_set_mtu(&netlink, joined->taps[3].index, 1280, &err) == 0);
	cr_expect(sh("ip link show kt0123456789ab3 | grep -q 'mtu 1280'"));
	cr_expect(sh("tc filter show dev kt0123456789ab3 ingress | grep -q mirred"));
	cr_expect(sh("! ip -6 addr show dev kt0123456789ab3 | grep -q inet6"));

	/* Another one would take its frames from it. */
	network_queues_init(&more);
	cr_expect(join(&netlink, &before->links[0], "kt0123456789ab4", &more, &err) == -EEXIST);
	cr_expect(more.n == 0 && more.taps[0] == -1);
	cr_expect(strstr(err.text, "another VM has it") != NULL);
	cr_expect(network_tap_part(&netlink, before->links[0].index, &err) == 0, "%s", err.text);
	cr_expect(network_tap_part(&netlink, before->links[0].index, &err) == -ENOENT);
	cr_expect(sh("! tc qdisc show dev %s | grep -q ingress", before->links[0].name));
	network_queues_close(&queues);
	after = scan(&netlink);
	cr_expect(after->taps[3].index == 0 && after->links[0].slot == -1);
}

Test(network_tap, an_address_that_was_changed_makes_it_another_one)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	CLEANUP(freep) struct network *before = NULL;
	CLEANUP(freep) struct network *after = NULL;
	struct network_queues queues;
	struct error err = { 0 };

	NETNS_OR_SKIP();
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("no /dev/net/tun");
	cr_assert(sh("ip link add br7 address 02:00:00:00:00:01 type bridge"));
	cr_assert(netlink_open(&netlink, &err) == 0);
	before = scan(&netlink);
	cr_assert(join(&netlink, &before->links[0], "kt0123456789ab0", &queues, &err) == 0, "%s",
		  err.text);
	cr_assert(sh("ip link set br7 address 02:00:00:00:00:02"));
	after = scan(&netlink);
	cr_expect(after->n_links == 1 && after->links[0].slot == -1 && after->taps[0].index != 0);
	network_queues_close(&queues);
}

/* A queue for each processor, up to the most there are, and all of them or none with vhost-net. */
Test(network_tap, queues)
{
	static const struct {
		uint32_t vcpus, n;
	} cases[] = { { 1, 1 }, { 2, 2 }, { LAUNCH_QUEUES_MAX + 9, LAUNCH_QUEUES_MAX } };
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	CLEANUP(freep) struct network *network = NULL;
	struct error err = { 0 };

	NETNS_OR_SKIP();
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("no /dev/net/tun");
	cr_assert(sh("ip link add br7 address 02:00:00:00:00:01 type bridge"));
	cr_assert(netlink_open(&netlink, &err) == 0);
	network = scan(&netlink);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct network_join join = { .vcpus = cases[i].vcpus, .host = -1 };
		struct network_queues queues;

		network_queues_init(&queues);
		cr_assert(network_tap_join(&netlink, &network->links[0], "kt0123456789ab3", &join,
					   &queues, &err) == 0,
			  "%s", err.text);
		cr_expect(queues.n == cases[i].n, "%u", queues.n);
		cr_expect(sh("ip -d link show kt0123456789ab3 | grep -q '%s'",
			     cases[i].n > 1 ? "multi_queue" : "tun type tap"));
		network_queues_open_vhosts(&queues, "/nowhere");
		cr_expect(queues.vhosts[0] == -1);
		network_queues_open_vhosts(&queues, "/dev/null");
		for (uint32_t j = 0; j < LAUNCH_QUEUES_MAX; j++)
			cr_expect((queues.vhosts[j] >= 0) == (j < cases[i].n));
		network_queues_close(&queues);
		cr_expect(queues.n == 0 && queues.taps[0] == -1 && queues.vhosts[0] == -1);
		cr_expect(sh("! ip link show kt0123456789ab3 2>&1 | grep -q tap"));
	}
}

/* Whatever becomes of an interface once it is joined, clean finds it, and nobody else's. */
Test(network_tap, cleaned)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	CLEANUP(freep) struct network *network = NULL;
	struct network_queues queues[4];
	struct error err = { 0 };

	NETNS_OR_SKIP();
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("no /dev/net/tun");
	cr_assert(sh("for i in 0 1 2 3; do ip link add b$i address 02:00:00:00:00:0$i "
		     "type bridge; done"));
	cr_assert(netlink_open(&netlink, &err) == 0);
	network = scan(&netlink);
	for (uint32_t i = 0; i < 4; i++) {
		char name[NETWORK_NAME_SIZE];

		network_tap_name(name, i < 3 ? SID : "f" SID, i);
		cr_assert(join(&netlink, &network->links[i], name, &queues[i], &err) == 0, "%s",
			  err.text);
	}
	for (int i = 0; i < 3; i++)
		network_queues_close(&queues[i]);
	/* Set apart; of another one's address; beside more than a VM takes. */
	cr_assert(sh("ip link set b0 alias '" NETWORK_APART "'"));
	cr_assert(sh("ip link set b1 address 02:00:00:00:00:02"));
	cr_assert(sh("for i in 4 5 6 7 8 9; do ip link add b$i type bridge; done"));
	/* Others' qdiscs that do nothing, on what was never joined. */
	cr_assert(sh("tc qdisc add dev b4 ingress && tc qdisc add dev b6 clsact"));
	cr_assert(sh("tc qdisc add dev b5 ingress && "
		     "tc filter add dev b5 ingress prio 1 u32 match u8 0 0 flowid :1"));
	cr_expect(network_tap_clean(&netlink, SID, &err) == 0, "%s", err.text);
	cr_expect(sh("! for i in 0 1 2; do tc qdisc show dev b$i; done | grep -q ingress"));
	cr_expect(sh("tc qdisc show dev b4 | grep -q ingress"), "somebody else's");
	cr_expect(sh("tc qdisc show dev b6 | grep -q clsact"), "somebody else's");
	cr_expect(sh("tc filter show dev b3 ingress | grep -q mirred"), "another VM's");
	cr_expect(sh("tc filter show dev b5 ingress | grep -q 'pref 1 '"), "somebody else's");
	cr_expect(network_tap_clean(&netlink, "f" SID, &err) == 0, "%s", err.text);
	cr_expect(sh("! tc qdisc show dev b3 | grep -q ingress"));
	network_queues_close(&queues[3]);
}

/* On an interface that is up; the others have filters. It stays until it is removed. */
Test(network_tap, macvtap)
{
	const struct network_join join = { .vcpus = 2, .host = -1, .macvtap = true };
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	CLEANUP(freep) struct network *network = NULL;
	CLEANUP(freep) struct network *joined = NULL;
	struct error err = { 0 };

	NETNS_OR_SKIP();
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("no /dev/net/tun");
	cr_assert(sh("for i in 0 1; do ip link add b$i address 02:00:00:00:00:0$i type bridge; "
		     "done; ip link set b0 up"));
	if (!sh("ip link add link b0 name m0 type macvtap && ip link del m0"))
		cr_skip_test("this kernel has no macvtap devices");
	cr_assert(netlink_open(&netlink, &err) == 0);
	network = scan(&netlink);
	for (uint32_t i = 0; i < 2; i++) {
		char name[NETWORK_NAME_SIZE];
		struct network_queues queues;

		network_queues_init(&queues);
		network_tap_name(name, SID, i);
		cr_assert(network_tap_join(&netlink, &network->links[i], name, &join, &queues,
					   &err) == 0,
			  "%s", err.text);
		cr_expect(queues.n == 2);
		cr_expect(sh("ip -d link show %s | grep -q '%s'", name,
			     i == 0 ? "macvtap mode passthru" : "tun type tap"));
		cr_expect(sh("ip -d link show %s | grep -q ,UP", name));
		if (i == 0) {
			cr_expect(sh("ip link show %s | grep -q 02:00:00:00:00:00", name));
			/* Nobody else gets it. */
			network_queues_close(&queues);
			cr_expect(network_tap_join(&netlink, &network->links[0], "kt0123456789ab7",
						   &join, &queues, &err) == -EEXIST,
				  "%s", err.text);
		}
		joined = joined == NULL ? scan(&netlink) : joined;
		network_queues_close(&queues);
	}
	cr_expect(joined->n_links == 2 && joined->links[0].slot == 0 && joined->taps[0].macvtap &&
		  joined->taps[0].target == joined->links[0].index);
	cr_expect(sh("ip link show kt0123456789ab0 >/dev/null"), "it stays");
	cr_expect(network_tap_clean(&netlink, "f" SID, &err) == 0, "%s", err.text);
	cr_expect(sh("ip link show kt0123456789ab0 >/dev/null"), "another VM's");
	cr_expect(network_tap_clean(&netlink, SID, &err) == 0, "%s", err.text);
	cr_expect(sh("! ip link show kt0123456789ab0 2>/dev/null"));
	cr_expect(network_tap_remove(&netlink, &joined->taps[0], &err) == -ENODEV);
}
