/* network: what of a container's network its VM has, and which interfaces it shall have. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"
#include "kata-runtime/network.h"

enum { DONE_MS = 20000, LOOK_MS = 50 };

static void add_text(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

static void add_number(struct json_object *o, const char *name, int64_t number)
{
	json_object_object_add(o, name, json_object_new_int64(number));
}

/* "" for none; with its network's bits unless prefix is negative. */
static void add_ip(struct json_object *o, const char *name, uint32_t family,
		   const struct network_ip *ip, int prefix)
{
	char text[INET6_ADDRSTRLEN] = "", whole[INET6_ADDRSTRLEN + 16];

	if (ip->len > 0)
		inet_ntop((int)family, ip->bytes, text, sizeof(text));
	snprintf(whole, sizeof(whole), "%s/%d", text, prefix);
	add_text(o, name, ip->len > 0 && prefix >= 0 ? whole : text);
}

static struct json_object *make_link(const struct network_link *link)
{
	struct json_object *o = json_object_new_object(), *addresses = json_object_new_array();
	const uint8_t *m = link->mac;
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	for (uint32_t i = 0; i < link->n_addresses; i++) {
		const struct network_address *a = &link->addresses[i];
		struct json_object *address = json_object_new_object();

		add_number(address, "family", a->family == AF_INET ? 0 : 1);
		add_ip(address, "address", a->family, &a->local, -1);
		add_number(address, "mask", a->prefix);
		json_object_array_add(addresses, address);
	}
	add_text(o, "device", link->name);
	add_text(o, "name", link->name);
	json_object_object_add(o, "IPAddresses", addresses);
	add_number(o, "mtu", link->mtu);
	add_text(o, "hwAddr", mac);
	json_object_object_add(o, "up", json_object_new_boolean(link->up));
	json_object_object_add(o, "inVM", json_object_new_boolean(link->slot >= 0));
	return o;
}

static struct json_object *make_route(const struct network_route *r)
{
	struct json_object *o = json_object_new_object();

	add_ip(o, "dest", r->family, &r->destination, (int)r->prefix);
	add_ip(o, "gateway", r->family, &r->gateway, -1);
	add_text(o, "device", r->device);
	add_ip(o, "source", r->family, &r->source, -1);
	add_number(o, "scope", r->scope);
	add_number(o, "family", r->family == AF_INET ? 0 : 1);
	return o;
}

static void print(struct json_object *array)
{
	printf("%s\n", json_object_to_json_string_ext(
			       array, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(array);
}

static int list(int netns, const char *sid, struct error *err)
{
	CLEANUP(freep) struct network *network = NULL;
	struct json_object *array;
	int r = network_look(netns, sid, &network, err);

	if (r < 0)
		return r;
	array = json_object_new_array();
	for (uint32_t i = 0; i < network->n_links; i++)
		json_object_array_add(array, make_link(&network->links[i]));
	print(array);
	return 0;
}

static int routes(int netns, const char *sid, struct error *err)
{
	CLEANUP(freep) struct network *network = NULL;
	struct json_object *array;
	int r = network_look(netns, sid, &network, err);

	if (r < 0)
		return r;
	array = json_object_new_array();
	for (uint32_t i = 0; i < network->n_routes; i++)
		json_object_array_add(array, make_route(&network->routes[i]));
	print(array);
	return 0;
}

static bool has_slot(const struct network *network, int32_t slot)
{
	for (uint32_t i = 0; i < network->n_links; i++)
		if (network->links[i].slot == slot)
			return true;
	return false;
}

/* Whether the VM has the interface now: 1, 0, -EAGAIN: something is still being changed. */
static int is_in_vm(int netns, const char *sid, const char *name, struct error *err)
{
	CLEANUP(freep) struct network *network = NULL;
	int r = network_look(netns, sid, &network, err);

	for (uint32_t i = 0; r == 0 && i < network->n_links; i++)
		if (str_eq(network->links[i].name, name) && network->links[i].slot >= 0)
			r = 1;
	/* A device without an interface is on its way out. */
	for (int32_t slot = 0; r == 0 && slot < LAUNCH_NET_MAX; slot++)
		if (network->taps[slot].index != 0 && !has_slot(network, slot))
			r = -EAGAIN;
	return r;
}

/* Says it by the interface's alias; netmon does the work, and is waited for. */
static int change(const struct state *state, int netns, const char *name, bool add,
		  struct error *err)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	int64_t deadline = deadline_in_ms(DONE_MS);
	int r;

	if (!process_alive(state->netmon.pid, state->netmon.start_ticks))
		return error_say(err, ESRCH,
				 "nobody follows the network of this container: it is not "
				 "started, or netmon.enable_netmon is false");
	r = network_set_apart(netns, name, !add, err);
	if (r < 0)
		return r;
	while ((r = is_in_vm(netns, state->sid, name, err)) == -EAGAIN || (r >= 0 && r != add)) {
		if (deadline_left_ms(deadline) == 0)
			return error_say(err, ETIMEDOUT,
					 "the VM %s interface %s; netmon's log tells why",
					 add ? "did not get" : "keeps", name);
		nanosleep(&pause, NULL);
	}
	return r < 0 ? r : 0;
}

static int run(const struct cli *cli, const struct cli_list *words, struct error *err)
{
	const char *what = words->items[0], *id = words->items[1];
	CLEANUP(state_fini) struct state state = { 0 };
	CLEANUP(fd_close) int netns = -1;
	struct store store;
	char path[64];
	int r = container_load(cli, id, &store, &state, err);

	if (r < 0)
		return r;
	if (container_status(&state) == STATUS_STOPPED)
		return error_say(err, ESRCH, "container not running");
	snprintf(path, sizeof(path), "/proc/%d/ns/net", state.shim.pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return error_set(err, errno, "the container's network namespace");
	if (str_eq(what, "list"))
		return list(netns, state.sid, err);
	if (str_eq(what, "routes"))
		return routes(netns, state.sid, err);
	return change(&state, netns, words->items[2], str_eq(what, "add"), err);
}

int cmd_network(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	int wanted, r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime network list|routes ID\n"
		       "       kata-runtime network add|remove ID INTERFACE\n");
		return 0;
	}
	if (words.count < 1)
		return error_say(err, EINVAL, "network: list, routes, add or remove is needed");
	if (str_eq(words.items[0], "list") || str_eq(words.items[0], "routes"))
		wanted = 2;
	else if (str_eq(words.items[0], "add") || str_eq(words.items[0], "remove"))
		wanted = 3;
	else
		return error_say(err, EINVAL, "network: \"%s\" is not list, routes, add or remove",
				 words.items[0]);
	if (words.count != wanted)
		return error_say(err, EINVAL, "network %s: a container id%s is needed",
				 words.items[0], wanted == 3 ? " and an interface" : "");
	return run(cli, &words, err);
}
