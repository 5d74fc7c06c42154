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
#include "common/privsep.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"
#include "kata-runtime/json.h"
#include "kata-runtime/network-routes.h"
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

static int show(int netns, const char *sid, bool routes, struct error *err)
{
	CLEANUP(freep) struct network *network = NULL;
	struct json_object *array;
	int r = network_look(netns, sid, &network, err);

	if (r < 0)
		return r;
	array = json_object_new_array();
	for (uint32_t i = 0; i < network->n_links && !routes; i++)
		json_object_array_add(array, make_link(&network->links[i]));
	for (uint32_t i = 0; i < network->n_routes && routes; i++)
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

/* Which interface is meant. */
struct wanted {
	char name[NETWORK_NAME_SIZE];
	uint8_t mac[6];
	bool has_mac;
};

/* Says it by the interface's alias; netmon does the work, and is waited for. */
static int change(const struct state *sandbox, int netns, const struct wanted *wanted, bool add,
		  struct error *err)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	int64_t deadline = deadline_in_ms(DONE_MS);
	int r;

	if (!process_alive(sandbox->netmon.pid, sandbox->netmon.start_ticks))
		return error_say(err, ESRCH,
				 "nobody follows the network of this container: it is not "
				 "started, or netmon.enable_netmon is false");
	r = network_set_apart(netns, wanted->name, wanted->has_mac ? wanted->mac : NULL, !add, err);
	if (r < 0)
		return r;
	while ((r = is_in_vm(netns, sandbox->sid, wanted->name, err)) == -EAGAIN ||
	       (r >= 0 && r != add)) {
		if (deadline_left_ms(deadline) == 0)
			return error_say(err, ETIMEDOUT,
					 "the VM %s interface %s; netmon's log tells why",
					 add ? "did not get" : "keeps", wanted->name);
		nanosleep(&pause, NULL);
	}
	return r < 0 ? r : 0;
}

static int parse_mac(const struct json_at *at, const char *text, struct wanted *ret,
		     struct error *err)
{
	unsigned m[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5],
		   &end) != 6 ||
	    text[end] != '\0')
		return json_error(at, err, "hwAddr: expected an address like 02:00:00:00:00:01");
	for (int i = 0; i < 6; i++)
		ret->mac[i] = (uint8_t)m[i];
	ret->has_mac = true;
	return 0;
}

/*
 * Kata's description of an interface, as list prints it. It is found by its name in the namespace,
 * and has what it has there.
 */
static int parse_interface(const struct json_at *at, struct wanted *ret, struct error *err)
{
	CLEANUP(freep) char *device = NULL;
	CLEANUP(freep) char *name = NULL;
	CLEANUP(freep) char *mac = NULL;
	int r = json_need_object(at, err);

	if (r < 0 || (r = json_get_string(at, "device", NETWORK_NAME_SIZE - 1, &device, err)) < 0 ||
	    (r = json_get_string(at, "name", NETWORK_NAME_SIZE - 1, &name, err)) < 0 ||
	    (r = json_get_string(at, "hwAddr", 32, &mac, err)) < 0)
		return r;
	if (device == NULL || device[0] == '\0')
		device = steal_ptr(&name);
	if (device == NULL || device[0] == '\0')
		return json_error(at, err, "a device or a name is needed");
	snprintf(ret->name, sizeof(ret->name), "%s", device);
	return mac == NULL || mac[0] == '\0' ? 0 : parse_mac(at, mac, ret, err);
}

/* "-" is standard input. */
static int read_document(const char *path, struct json_object **ret, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	size_t len;
	int r = str_eq(path, "-") ? json_read_fd(STDIN_FILENO, "standard input", &text, &len, err)
				  : json_read_file(path, &text, &len, err);

	return r < 0 ? r : json_parse(path, text, len, false, ret, err);
}

static int read_interface(const char *path, struct wanted *ret, struct error *err)
{
	CLEANUP(json_freep) struct json_object *object = NULL;
	struct json_at root;
	int r = read_document(path, &object, err);

	if (r < 0)
		return r;
	root = json_root(path, object);
	return parse_interface(&root, ret, err);
}

static int update_routes(const char *path, int netns, const char *sid, struct error *err)
{
	CLEANUP(freep) struct network_routes *routes = calloc(1, sizeof(*routes));
	CLEANUP(json_freep) struct json_object *object = NULL;
	struct json_at root;
	int r = routes == NULL ? error_set(err, ENOMEM, "routes")
			       : read_document(path, &object, err);

	if (r < 0)
		return r;
	root = json_root(path, object);
	r = network_routes_parse(&root, routes, err);
	return r < 0 ? r : network_set_routes(netns, sid, routes, err);
}

/* Where the network of the VM is: with a container of it, and with who follows it. */
static int open_netns(const struct store *store, const struct state *sandbox, const char *id,
		      struct error *err)
{
	CLEANUP(state_fini) struct state named = { 0 };
	struct process_ref places[3] = { [1] = sandbox->shim, [2] = sandbox->netmon };
	char sid[SID_SIZE];

	if (sid_check(id, NULL) < 0 && store_sid(store, id, sid, NULL) == 0 &&
	    store_read_state(store, sid, &named, NULL) == 0)
		places[0] = named.shim;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char path[64];
		int fd;

		if (!process_alive(places[i].pid, places[i].start_ticks))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/ns/net", places[i].pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? error_set(err, errno, "the container's network namespace") : fd;
	}
	return error_say(err, ESRCH, "container not running");
}

enum what { LIST, ROUTES, ADD, REMOVE, UPDATE };

static const struct verb {
	const char *name;
	enum what what;
	bool file; /* the last word is one, or "-" */
} verbs[] = {
	{ "list", LIST, false },
	{ "routes", ROUTES, false },
	{ "add", ADD, false },
	{ "remove", REMOVE, false },
	{ "list-ifaces", LIST, false },
	{ "list-routes", ROUTES, false }, /* Kata's names */
	{ "add-iface", ADD, true },
	{ "del-iface", REMOVE, true },
	{ "update-routes", UPDATE, true },
};

static int run(const struct cli *cli, const struct verb *verb, const struct cli_list *words,
	       struct error *err)
{
	CLEANUP(state_fini) struct state sandbox = { 0 };
	CLEANUP(fd_close) int netns = -1;
	const char *id = words->items[1];
	struct wanted wanted = { 0 };
	struct store store;
	char sid[SID_SIZE];
	int r = store_open(&store, cli->root, NULL, false, err);

	if (r == 0)
		r = container_find_sandbox(&store, id, sid, err);
	if (r == 0)
		r = store_read_state(&store, sid, &sandbox, err);
	if (r < 0)
		return r;
	netns = open_netns(&store, &sandbox, id, err);
	if (netns < 0)
		return netns;
	if (verb->what == LIST || verb->what == ROUTES)
		r = privsep_cut(PRIVSEP_RUNTIME_NETWORK_LOOK, true, err);
	if (r < 0)
		return r;
	if (verb->what == LIST || verb->what == ROUTES)
		return show(netns, sid, verb->what == ROUTES, err);
	if (verb->what == UPDATE)
		return update_routes(words->items[2], netns, sid, err);
	if (verb->file)
		r = read_interface(words->items[2], &wanted, err);
	else if (str_format(wanted.name, sizeof(wanted.name), "%s", words->items[2]) < 0)
		r = error_say(err, ENODEV, "there is no interface %s", words->items[2]);
	if (r == 0)
		r = change(&sandbox, netns, &wanted, verb->what == ADD, err);
	return r;
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (str_eq(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

int cmd_network(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	const struct verb *verb;
	int wanted, r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime network list|routes ID\n"
		       "       kata-runtime network add|remove ID INTERFACE\n"
		       "       kata-runtime kata-network list-ifaces|list-routes ID\n"
		       "       kata-runtime kata-network add-iface|del-iface|update-routes ID "
		       "FILE\n\n"
		       "ID is a container's or a sandbox's. FILE, or \"-\" for standard input, has "
		       "an\n"
		       "interface as list prints it.\n");
		return 0;
	}
	if (words.count < 1)
		return error_say(err, EINVAL, "network: list, routes, add or remove is needed");
	verb = find_verb(words.items[0]);
	if (verb == NULL)
		return error_say(err, EINVAL, "network: \"%s\" is not list, routes, add or remove",
				 words.items[0]);
	wanted = verb->what == LIST
	|| verb->what == ROUTES ? 2 : 3;
	if (words.count != wanted)
		return error_say(err, EINVAL, "network %s: a container id%s is needed",
				 words.items[0],
				 wanted == 2  ? ""
				 : verb->file ? " and a file"
					      : " and an interface");
	return run(cli, verb, &words, err);
}
