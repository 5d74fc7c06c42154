/* kata-runtime/network-filter.c: in a real namespace, with what others have put there. */
#include "kata-runtime/network-filter.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>

#include "common/cleanup.h"
#include "kata-runtime/network-host.h"
#include "tests/unit/netns.h"

static int32_t index_of(const char *name)
{
	return (int32_t)if_nametoindex(name);
}

static struct netlink begin(void)
{
	struct netlink netlink = NETLINK_NONE;
	struct error err;

	cr_assert(sh("ip link add b0 type bridge && ip link add b1 type bridge"));
	cr_assert(netlink_open(&netlink, &err) == 0);
	return netlink;
}

static bool has_ingress(const char *name)
{
	return sh("tc qdisc show dev %s | grep -q ingress", name);
}

Test(network_filter, added_and_removed)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct error err = { 0 };
	int32_t b0, b1;

	NETNS_OR_SKIP();
	netlink = begin();
	b0 = index_of("b0");
	b1 = index_of("b1");
	cr_expect(network_filter_remove(&netlink, b0, &err) == -ENOENT);
	cr_assert(network_filter_add(&netlink, b0, b1, &err) == 0, "%s", err.text);
	cr_expect(sh("tc filter show dev b0 ingress | grep -q 'Redirect to device b1'"));
	cr_expect(network_filter_remove(&netlink, b0, &err) == 0, "%s", err.text);
	cr_expect(!has_ingress("b0"));
	cr_expect(network_filter_remove(&netlink, b0, &err) == -ENOENT);
	cr_assert(sh("ip link del b0"));
	cr_expect(network_filter_remove(&netlink, b0, &err) == -ENOENT);
}

Test(network_filter, what_a_killed_one_has_left)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct error err = { 0 };
	int32_t b0, b1;

	NETNS_OR_SKIP();
	netlink = begin();
	b0 = index_of("b0");
	b1 = index_of("b1");
	cr_expect(network_filter_add(&netlink, b0, b1, &err) == 0, "%s", err.text);
	/* One to a device that is gone. */
	cr_assert(sh("ip link del b1 && ip link add b1 type bridge"));
	b1 = index_of("b1");
	cr_expect(network_filter_add(&netlink, b0, b1, &err) == 0, "%s", err.text);
	cr_expect(sh("tc filter show dev b0 ingress | grep -q 'Redirect to device b1'"));
	/* A target that does not exist. */
	cr_expect(network_filter_remove(&netlink, b0, &err) == 0, "%s", err.text);
	cr_expect(network_filter_add(&netlink, b0, 9999, &err) == -ENODEV, "%s", err.text);
	cr_expect(!has_ingress("b0"));
}

Test(network_filter, those_of_others_stay)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct error err = { 0 };
	int32_t b0, b1;

	NETNS_OR_SKIP();
	netlink = begin();
	b0 = index_of("b0");
	b1 = index_of("b1");
	cr_assert(network_filter_add(&netlink, b0, b1, &err) == 0, "%s", err.text);
	cr_assert(sh("tc filter add dev b0 ingress protocol ip prio 7 u32 match u8 0 0 flowid :1"));
	cr_expect(network_filter_remove(&netlink, b0, &err) == 0, "%s", err.text);
	cr_expect(sh("tc filter show dev b0 ingress | grep -q 'pref 7'"));
	cr_expect(sh("! tc filter show dev b0 ingress | grep -q mirred"));
	cr_expect(network_filter_remove(&netlink, b0, &err) == -ENOENT);
	cr_expect(network_filter_add(&netlink, b0, b1, &err) == -EEXIST);
	cr_expect_str_eq(err.text, "it has an ingress qdisc of somebody else already");
	cr_expect(sh("tc filter show dev b0 ingress | grep -q 'pref 7'"));
}

/* An empty qdisc of somebody else's is used, and is theirs as before. */
Test(network_filter, qdiscs_of_others_stay)
{
	static const char *const kinds[] = { "ingress", "clsact" };
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct error err = { 0 };
	int32_t b0, b1;

	NETNS_OR_SKIP();
	netlink = begin();
	b0 = index_of("b0");
	for (size_t i = 0; i < 2; i++) {
		b1 = index_of("b1");
		cr_assert(sh("tc qdisc add dev b0 %s", kinds[i]));
		cr_expect(network_filter_remove(&netlink, b0, &err) == -ENOENT);
		cr_expect(network_filter_add(&netlink, b0, b1, &err) == 0, "%s", err.text);
		cr_expect(sh("tc filter show dev b0 ingress | grep -q 'Redirect to device b1'"));
		/* One of ours to a device that is gone gives way. */
		cr_assert(sh("ip link del b1 && ip link add b1 type bridge"));
		b1 = index_of("b1");
		cr_expect(network_filter_add(&netlink, b0, b1, &err) == 0, "%s", err.text);
		cr_expect(sh("tc filter show dev b0 ingress | grep -q 'Redirect to device b1'"));
		cr_expect(network_filter_remove(&netlink, b0, &err) == 0, "%s", err.text);
		cr_expect(sh("! tc filter show dev b0 ingress | grep -q mirred"));
		cr_expect(sh("tc qdisc show dev b0 | grep -q %s", kinds[i]));
		cr_expect(network_filter_add(&netlink, b0, 9999, &err) == -ENODEV);
		cr_expect(sh("tc qdisc show dev b0 | grep -q %s", kinds[i]));
		cr_assert(sh("tc qdisc del dev b0 %s", kinds[i]));
	}
}

/*
 * What the host keeps for itself stands before the rest and goes with it, from others' qdiscs too.
 */
Test(network_filter, kept_for_the_host)
{
	static const char *const kinds[] = { NULL, "clsact" };
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	CLEANUP(fd_close) int program = -1;
	struct error err = { 0 };
	int32_t b0, b1;

	NETNS_OR_SKIP();
	program = network_host_open();
	if (program < 0)
		cr_skip_test("no right to load a BPF program");
	netlink = begin();
	b0 = index_of("b0");
	b1 = index_of("b1");
	for (size_t i = 0; i < 2; i++) {
		if (kinds[i] != NULL)
			cr_assert(sh("tc qdisc add dev b0 %s", kinds[i]));
		cr_assert(network_filter_add(&netlink, b0, b1, &err) == 0, "%s", err.text);
		cr_assert(network_filter_keep(&netlink, b0, b1, program, &err) == 0, "%s",
			  err.text);
		cr_expect(sh("tc filter show dev b0 ingress | grep -q 'bpf.*direct-action'"));
		cr_expect(sh("tc filter show dev b0 ingress | grep -c 'Mirror to device b1' | "
			     "grep -qx 2"));
		cr_expect(network_filter_remove(&netlink, b0, &err) == 0, "%s", err.text);
		cr_expect(sh("test -z \"$(tc filter show dev b0 ingress)\""));
		cr_expect(kinds[i] == NULL ? !has_ingress("b0")
					   : sh("tc qdisc show dev b0 | grep -q clsact"));
	}
}

Test(network_filter, list)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct network_filters filters;
	struct error err = { 0 };

	NETNS_OR_SKIP();
	netlink = begin();
	cr_assert(network_filter_list(&netlink, &filters, &err) == 0, "%s", err.text);
	cr_expect(filters.n == 0);
	cr_assert(sh("for i in 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do "
		     "ip link add b$i type bridge; tc qdisc add dev b$i ingress; done"));
	cr_assert(network_filter_list(&netlink, &filters, &err) == 0, "%s", err.text);
	cr_expect(filters.n == 0, "empty ones are nobody's");
	cr_assert(network_filter_add(&netlink, index_of("b1"), index_of("b0"), &err) == 0);
	cr_assert(network_filter_add(&netlink, index_of("b7"), index_of("b0"), &err) == 0);
	cr_assert(network_filter_list(&netlink, &filters, &err) == 0, "%s", err.text);
	cr_expect(filters.n == 2 && filters.devices[0] == index_of("b1") &&
		  filters.devices[1] == index_of("b7"));
}
