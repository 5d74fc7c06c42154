/* kata-runtime/network-sync.c: a real namespace, and a VM that only writes down what is asked. */
#include "kata-runtime/network-sync.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-runtime/network-tap.h"
#include "tests/unit/netns.h"

#define SID "0123456789abcdef0123456789abcdef"

/* Keeps the descriptors, as QEMU does. */
struct vm {
	struct network_queues taps[LAUNCH_NET_MAX];
	uint32_t vcpus;
	int plugs, unplugs, tells;
	uint32_t told_links;
	int refuse;            /* errno of the next calls */
	const char *meanwhile; /* done while a device is unplugged */
};

static uint32_t on_vcpus(void *context)
{
	struct vm *vm = context;

	return vm->vcpus;
}

static int on_plug(void *context, uint32_t slot, const uint8_t mac[6],
		   struct network_queues *queues, struct error *err)
{
	struct vm *vm = context;

	(void)mac;
	vm->plugs++;
	if (vm->refuse != 0)
		return error_set(err, vm->refuse, "plug");
	cr_expect(queues->n == vm->vcpus);
	vm->taps[slot] = *queues;
	network_queues_init(queues);
	return 0;
}

static int on_unplug(void *context, uint32_t slot, struct error *err)
{
	struct vm *vm = context;

	if (vm->meanwhile != NULL)
		cr_assert(sh("%s", vm->meanwhile));

	(void)err;
	vm->unplugs++;
	network_queues_close(&vm->taps[slot]);
	return 0;
}

static int on_tell(void *context, const struct network *network, struct error *err)
{
	struct vm *vm = context;

	(void)err;
	vm->tells++;
	vm->told_links = 0;
	for (uint32_t i = 0; i < network->n_links; i++)
		vm->told_links += network->links[i].slot >= 0;
	return 0;
}

static const struct network_sync_ops ops = { on_vcpus, on_plug, on_unplug, on_tell };

static void expect(struct network_sync *sync, struct vm *vm, int plugs, int unplugs, int tells,
		   uint32_t links)
{
	struct error err = { 0 };
	int before[] = { vm->plugs, vm->unplugs, vm->tells };

	cr_assert(network_sync_run(sync, &err) == 0, "%s", err.text);
	cr_expect(vm->plugs - before[0] == plugs, "plugs %d", vm->plugs - before[0]);
	cr_expect(vm->unplugs - before[1] == unplugs, "unplugs %d", vm->unplugs - before[1]);
	cr_expect(vm->tells - before[2] == tells, "tells %d", vm->tells - before[2]);
	cr_expect(vm->told_links == links, "links %u", vm->told_links);
}

Test(network_sync, follows)
{
	CLEANUP(freep) struct network_sync *sync = calloc(1, sizeof(*sync));
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct vm vm = { .vcpus = 1 };
	struct error err = { 0 };

	NETNS_OR_SKIP();
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("no /dev/net/tun");
	cr_assert(netlink_open(&netlink, &err) == 0);
	*sync = (struct network_sync){
		.ops = &ops, .context = &vm, .netlink = &netlink, .sid = SID, .host = -1
	};
	expect(sync, &vm, 0, 0, 0, 0);
	/* Names that sort before those of bridges, so that slots are known; all without IPv6. */
	cr_assert(sh("ip link add b0 address 02:00:00:00:00:01 type bridge"));
	expect(sync, &vm, 1, 0, 1, 1);
	expect(sync, &vm, 0, 0, 0, 1); /* nothing has changed */
	cr_assert(sh(
		"ip link set b0 up && ip addr add 10.0.0.1/24 dev b0 && ip link set b0 mtu 1400"));
	expect(sync, &vm, 0, 0, 1, 1);
	cr_expect(sh("ip link show kt0123456789ab0 | grep -q 'mtu 1400'"));
	vm.vcpus = 2;
	cr_assert(sh("ip link add b1 type bridge"));
	expect(sync, &vm, 1, 0, 1, 2);
	vm.vcpus = 1;
	cr_assert(sh("ip link del b0"));
	expect(sync, &vm, 0, 1, 1, 1);
	/* Another one of the same name and address is another one. */
	cr_assert(sh("ip link add b0 address 02:00:00:00:00:01 type bridge && ip link del b1"));
	expect(sync, &vm, 1, 1, 1, 1);
	cr_assert(sh("ip link set b0 address 02:00:00:00:00:07"));
	expect(sync, &vm, 1, 1, 1, 1);

	/* What comes while another one goes is joined the next time. */
	vm.meanwhile = "ip link add b3 type bridge";
	cr_assert(sh("ip link del b0"));
	expect(sync, &vm, 0, 1, 1, 0);
	vm.meanwhile = NULL;
	expect(sync, &vm, 1, 0, 1, 1);
	/* What goes meanwhile, as well. */
	cr_assert(sh("ip link add b4 type bridge"));
	expect(sync, &vm, 1, 0, 1, 2);
	vm.meanwhile = "ip link del b3";
	cr_assert(sh("ip link del b4"));
	expect(sync, &vm, 0, 1, 1, 0);
	vm.meanwhile = NULL;
	expect(sync, &vm, 0, 1, 1, 0);
	cr_assert(sh("ip link add b3 type bridge"));
	expect(sync, &vm, 1, 0, 1, 1);

	/* What the VM does not take is told, leaves nothing behind, and is tried again. */
	vm.refuse = EREMOTEIO;
	cr_assert(sh("ip link add b2 type bridge"));
	cr_expect(network_sync_run(sync, &err) == -EREMOTEIO);
	cr_expect_str_eq(err.text, "interface b2: plug: Remote I/O error");
	cr_expect(vm.told_links == 1);
	cr_expect(sh("! tc qdisc show dev b2 | grep -q ingress"));
	vm.refuse = 0;
	sync->told = false;
	expect(sync, &vm, 1, 0, 1, 2);
}
