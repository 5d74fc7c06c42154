/*
 * Kill points of a network: what joins interfaces to tap devices and parts them again, in the
 * network's child of kata-runtime and in netmon, is killed at one system call after the other;
 * whatever the point, what delete does then leaves nothing of ours, and all that is of others.
 *
 *	network-points            a line of TAP for each way
 *	network-points --do WAY   what is killed, in the namespace of its caller
 *
 * In a network namespace of its own; needs root and /dev/net/tun.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/network-host.h"
#include "kata-runtime/network-scan.h"
#include "kata-runtime/network-sync.h"
#include "kata-runtime/network-tap.h"
#include "tests/crash/traced.h"

#define SID "0123456789abcdef0123456789abcdef"

enum { POINTS_MAX = 2000 };

static bool sh(const char *command)
{
	return system(command) == 0; /* NOLINT(cert-env33-c) */
}

/* --- what is killed -------------------------------------------------------------------------- */

static int join_all(struct netlink *netlink, bool macvtap, struct error *err)
{
	CLEANUP(freep) struct network *network = calloc(1, sizeof(*network));
	CLEANUP(fd_close) int host = network_host_open();
	const struct network_join join = { .vcpus = 2, .macvtap = macvtap, .host = host };
	int r = network == NULL ? -ENOMEM : network_scan(netlink, SID, network, err);

	for (uint32_t i = 0; r == 0 && i < network->n_links; i++) {
		char name[NETWORK_NAME_SIZE];
		struct network_queues queues; /* its end closes them, as QEMU's does */

		network_queues_init(&queues);
		network_tap_name(name, SID, i);
		r = network_tap_join(netlink, &network->links[i], name, &join, &queues, err);
	}
	return r;
}

/* A VM that takes what it is given. */
static struct network_queues held[LAUNCH_NET_MAX];

static uint32_t on_vcpus(void *context)
{
	(void)context;
	return 1;
}

static int on_plug(void *context, uint32_t slot, const uint8_t mac[6],
		   struct network_queues *queues, struct error *err)
{
	(void)context;
	(void)mac;
	(void)err;
	held[slot] = *queues;
	network_queues_init(queues);
	return 0;
}

static int on_unplug(void *context, uint32_t slot, struct error *err)
{
	(void)context;
	(void)err;
	network_queues_close(&held[slot]);
	return 0;
}

static int on_tell(void *context, const struct network *network, struct error *err)
{
	(void)context;
	(void)network;
	(void)err;
	return 0;
}

/* Interfaces come, and go again one after the other. */
static int follow(struct netlink *netlink, struct error *err)
{
	static const struct network_sync_ops ops = { on_vcpus, on_plug, on_unplug, on_tell };
	CLEANUP(freep) struct network_sync *sync = calloc(1, sizeof(*sync));
	struct error ignored;
	int r;

	if (sync == NULL)
		return error_set(err, ENOMEM, "sync");
	for (int i = 0; i < LAUNCH_NET_MAX; i++)
		network_queues_init(&held[i]);
	*sync = (struct network_sync){ .ops = &ops, .netlink = netlink, .sid = SID };
	sync->host = network_host_open();
	r = network_sync_run(sync, err);
	if (r == 0 && !sh("ip link set v0 alias '" NETWORK_APART "'"))
		r = error_say(&ignored, EIO, "ip");
	if (r == 0)
		r = network_sync_run(sync, err);
	if (r == 0 && !sh("ip link set v1 alias '" NETWORK_APART "'"))
		r = error_say(&ignored, EIO, "ip");
	return r < 0 ? r : network_sync_run(sync, err);
}

static int do_way(const char *way)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct error err = { 0 };
	int r = netlink_open(&netlink, &err);

	if (r == 0)
		r = str_eq(way, "follow") ? follow(&netlink, &err)
					  : join_all(&netlink, str_eq(way, "macvtap"), &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	return r < 0;
}

/* --- who kills ------------------------------------------------------------------------------- */

/* As delete does it. */
static const char *clean(void)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	static struct error err;

	if (netlink_open(&netlink, &err) < 0 || network_tap_clean(&netlink, SID, &err) < 0)
		return err.text;
	/* A child that the killed one had just made has its taps too, until its exec is over. */
	if (!sh("for i in $(seq 100); do ip -o link | grep -q ': kt' || exit 0; sleep 0.02; done; "
		"exit 1"))
		return "a device is left";
	if (!sh("test -z \"$(tc filter show dev v0 ingress; tc filter show dev v1 ingress)\""))
		return "a filter is left";
	if (!sh("! tc qdisc show dev v0 | grep -q ingress"))
		return "a qdisc is left";
	if (!sh("tc qdisc show dev v1 | grep -q clsact"))
		return "a qdisc of somebody else is gone";
	return sh("ip link set v0 alias '' && ip link set v1 alias ''") ? NULL : "ip fails";
}

static bool try_way(char *way, unsigned *ret_points)
{
	char *argv[] = { (char *)"/proc/self/exe", (char *)"--do", way, NULL };
	struct traced t = { .set = TRACED_EFFECTS, .stdout_fd = 2 };

	for (t.point = 1; t.point <= POINTS_MAX; t.point++) {
		const char *why;

		if (!traced_run(&t, argv)) {
			printf("# it cannot be traced\n");
			return false;
		}
		why = clean();
		if (!t.reached && (!WIFEXITED(t.status) || WEXITSTATUS(t.status) != 0))
			why = "it fails by itself";
		*ret_points = t.point - 1;
		if (why != NULL) {
			printf("# killed at call %u (number %ld): %s\n", t.point, t.call, why);
			return false;
		}
		if (!t.reached)
			return true;
	}
	printf("# it does not end\n");
	return false;
}

int main(int argc, char **argv)
{
	static const char *const ways[] = { "filters", "follow", "macvtap" };
	int failures = 0;

	if (argc == 3 && str_eq(argv[1], "--do"))
		return do_way(argv[2]);
	if (unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
		printf("1..0 # skip no right to make a network namespace, or no /dev/net/tun\n");
		return 0;
	}
	/* v1 has a qdisc of somebody else; the ends of both are a bridge's, which is set apart. */
	if (!sh("ip link add b0 type bridge || exit; for i in 0 1; do "
		"ip link add v$i type veth peer p$i && ip link set p$i master b0 up && "
		"ip link set v$i up || exit; done; tc qdisc add dev v1 clsact && "
		"ip link set b0 alias '" NETWORK_APART "'")) {
		printf("Bail out! ip fails\n");
		return 1;
	}
	printf("1..%zu\n", ARRAY_SIZE(ways));
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		unsigned points = 0;
		bool good;

		if (str_eq(ways[i], "macvtap") &&
		    !sh("ip link add link v0 name m0 type macvtap 2>/dev/null && ip link del m0")) {
			printf("ok %zu - macvtap # skip this kernel has none\n", i + 1);
			continue;
		}
		good = try_way((char *)ways[i], &points);
		printf("%s %zu - %s: killed at %u calls\n", good ? "ok" : "not ok", i + 1, ways[i],
		       points);
		fflush(stdout);
		failures += !good;
	}
	return failures > 0;
}
