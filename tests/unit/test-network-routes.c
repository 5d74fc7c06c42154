/* kata-runtime/network-routes.c: what is no list of routes, and routes of a real namespace. */
#include "kata-runtime/network-routes.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/network-scan.h"
#include "tests/unit/netns.h"

static int parse(const char *text, struct network_routes *routes, struct error *err)
{
	CLEANUP(json_freep) struct json_object *object = NULL;
	struct json_at root;

	cr_assert(json_parse("f", text, strlen(text), false, &object, err) == 0, "%s", err->text);
	root = json_root("f", object);
	return network_routes_parse(&root, routes, err);
}

Test(network_routes, bad_lists)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "{}", "expected a list" },
		{ "[ 7 ]", "f: [0]: expected an object" },
		{ "[ { \"dest\": \"10.0.0.0/33\" } ]", "\"33\" is no length of a network" },
		{ "[ { \"dest\": \"10.0.0.1/24\" } ]", "bits beyond its network's are set" },
		{ "[ { \"dest\": \"fd00::1/64\" } ]", "bits beyond its network's are set" },
		{ "[ { \"dest\": \"somewhere\" } ]", "dest: expected an address" },
		{ "[ { \"gateway\": \"10.0.0\" } ]", "gateway: expected an address" },
		{ "[ { \"source\": \"x\" } ]", "source: expected an address" },
		{ "[ { \"dest\": \"10.0.0.0/8\", \"gateway\": \"fd00::1\" } ]",
		  "addresses of both families" },
		{ "[ { \"dest\": \"10.0.0.0/8\", \"family\": 1 } ]", "addresses of both families" },
		{ "[ { \"family\": 2 } ]", "family" },
		{ "[ { \"scope\": 256 } ]", "scope" },
		{ "[ { \"device\": \"longer-than-a-name\" } ]", "device" },
	};
	CLEANUP(freep) struct network_routes *routes = calloc(1, sizeof(*routes));

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };

		cr_expect(parse(cases[i].text, routes, &err) == -EINVAL, "%s", cases[i].text);
		cr_expect(strstr(err.text, cases[i].why) != NULL, "%s: %s", cases[i].text,
			  err.text);
	}
}

static int replace(struct netlink *netlink, const char *text, struct error *err)
{
	CLEANUP(freep) struct network_routes *routes = calloc(1, sizeof(*routes));
	CLEANUP(freep) struct network *network = calloc(1, sizeof(*network));

	cr_assert(parse(text, routes, err) == 0, "%s", err->text);
	cr_assert(network_scan(netlink, "", network, err) == 0, "%s", err->text);
	return network_routes_replace(netlink, network, routes, err);
}

static bool has_route(const char *family, const char *pattern)
{
	return sh("ip %s route | grep -q '%s'", family, pattern);
}

Test(network_routes, replaced)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct error err = { 0 };

	NETNS_OR_SKIP();
	cr_assert(sh("ip link add b0 type bridge && ip addr add 10.1.0.2/24 dev b0 && "
		     "ip addr add fd01::2/64 dev b0 nodad && ip link set b0 up && "
		     "ip route add default via 10.1.0.1 && "
		     "ip route add 10.7.0.0/16 via 10.1.0.1 mtu 1300 metric 9 && "
		     "ip route add blackhole 10.8.0.0/16 && ip -6 route add default via fd01::1"));
	cr_assert(netlink_open(&netlink, &err) == 0);

	/* Another gateway of the same destination, a further one, and one that is kept as it is. */
	cr_expect(
		replace(&netlink,
			"[ { \"dest\": \"\", \"gateway\": \"10.1.0.9\", \"device\": \"b0\" },"
			"{ \"dest\": \"10.7.0.0/16\", \"gateway\": \"10.1.0.1\","
			"  \"device\": \"b0\", \"family\": 0 },"
			"{ \"dest\": \"10.9.0.0/16\", \"device\": \"b0\" },"
			"{ \"dest\": \"10.9.0.0/16\", \"device\": \"b0\" },"
			"{ \"dest\": \"fd09::/64\", \"gateway\": \"fd01::3\", \"device\": \"b0\" },"
			"{ \"dest\": \"10.10.0.0/16\", \"gateway\": \"10.9.0.1\", \"flags\": 4,"
			"  \"device\": \"b0\" } ]",
			&err) == 0,
		"%s", err.text);
	cr_expect(has_route("-4", "default via 10.1.0.9"));
	cr_expect(!has_route("-4", "default via 10.1.0.1"));
	cr_expect(has_route("-4", "10.7.0.0/16 via 10.1.0.1.*metric 9 mtu 1300"));
	cr_expect(has_route("-4", "10.9.0.0/16 .*scope link"));
	cr_expect(has_route("-4", "10.10.0.0/16 via 10.9.0.1.*onlink"));
	cr_expect(has_route("-4", "blackhole 10.8.0.0/16"));
	cr_expect(has_route("-4", "10.1.0.0/24 .*proto kernel"));
	cr_expect(has_route("-6", "fd09::/64 via fd01::3"));
	cr_expect(!has_route("-6", "default"));

	/* What the kernel does not take, after it took others, changes nothing. */
	cr_assert(sh("ip route > /tmp/test-network-routes.%d", getpid()));
	cr_expect(replace(&netlink,
			  "[ { \"dest\": \"10.11.0.0/16\", \"device\": \"b0\" },"
			  "{ \"dest\": \"10.12.0.0/16\", \"gateway\": \"192.0.2.1\","
			  "  \"device\": \"b0\" } ]",
			  &err) == -ENETUNREACH,
		  "%s", err.text);
	cr_expect(strstr(err.text, "route 1 of the list") != NULL, "%s", err.text);
	cr_expect(replace(&netlink,
			  "[ { \"device\": \"b0\" }, { \"dest\": \"10.13.0.0/16\","
			  "\"device\": \"b7\" } ]",
			  &err) == -ENODEV);
	cr_expect_str_eq(err.text, "route 1 of the list: there is no interface \"b7\"");
	cr_expect(sh(
		"ip route | diff - /tmp/test-network-routes.%d && rm /tmp/test-network-routes.%d",
		getpid(), getpid()));
	cr_expect(has_route("-6", "fd09::/64 via fd01::3"));

	/* None at all: what the kernel made by itself stays. */
	cr_expect(replace(&netlink, "[]", &err) == 0, "%s", err.text);
	cr_expect(!has_route("-4", "via") && has_route("-4", "proto kernel"));
	cr_expect(!has_route("-6", "via") && has_route("-6", "proto kernel"));
}
