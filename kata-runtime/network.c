/*
 * A container's network: see network.h. The child_* functions run in a forked child that has
 * entered the container's network namespace; kata-runtime itself never leaves its own.
 */
#include "kata-runtime/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/network-host.h"
#include "kata-runtime/network-routes.h"
#include "kata-runtime/network-scan.h"
#include "kata-runtime/network-tap.h"

enum { CHILD_MS = 20000 };

/* Child to parent; with success the network follows, then a descriptor for each link. */
struct answer {
	int32_t errnum;
	char text[ERROR_TEXT_MAX];
};

void network_taps_init(struct network_taps *taps)
{
	for (int i = 0; i < LAUNCH_NET_MAX; i++)
		network_queues_init(&taps->of[i]);
}

void network_taps_close(struct network_taps *taps)
{
	for (int i = 0; i < LAUNCH_NET_MAX; i++)
		network_queues_close(&taps->of[i]);
}

/* --- the child ------------------------------------------------------------------------------ */

enum task_kind { TASK_JOIN, TASK_CLEAN, TASK_LOOK, TASK_APART, TASK_ROUTES };

struct task {
	enum task_kind kind;
	const char *sid;
	struct network_join join; /* TASK_JOIN */
	/* TASK_APART: */
	const char *name;
	const uint8_t *mac;
	bool apart;
	const struct network_routes *routes; /* TASK_ROUTES */
};

static int child_join(struct netlink *netlink, const struct task *task, struct network *network,
		      struct network_taps *taps, struct error *err)
{
	CLEANUP(fd_close) int host = network_host_open();
	struct network_join join = task->join;

	join.host = host;
	for (uint32_t i = 0; i < network->n_links; i++) {
		char name[NETWORK_NAME_SIZE];
		int r;

		network_tap_name(name, task->sid, i);
		r = network_tap_join(netlink, &network->links[i], name, &join, &taps->of[i], err);
		if (r < 0)
			return r;
		network->links[i].slot = (int32_t)i;
	}
	return 0;
}

static int child_write(int fd, const void *data, size_t len)
{
	for (const char *p = data; len > 0;) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool child_has_mac(const char *name, const uint8_t *mac)
{
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &request) == 0 &&
	       memcmp(request.ifr_hwaddr.sa_data, mac, 6) == 0;
}

static int child_set_apart(struct netlink *netlink, const char *name, const uint8_t *mac,
			   bool apart, struct error *err)
{
	struct netlink_request request;
	struct nlmsghdr *header = netlink_begin(&request, RTM_NEWLINK, 0);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	body->ifi_index = (int)if_nametoindex(name);
	if (body->ifi_index == 0)
		return error_say(err, ENODEV, "there is no interface %s", name);
	if (mac != NULL && !child_has_mac(name, mac))
		return error_say(err, ENODEV, "interface %s has another address", name);
	mnl_attr_put_str(header, IFLA_IFALIAS, apart ? NETWORK_APART : "");
	return netlink_ask(netlink, header, err);
}

static int child_work(struct netlink *netlink, const struct task *task, struct network *network,
		      struct network_taps *taps, struct error *err)
{
	int r;

	if (task->kind == TASK_APART)
		return child_set_apart(netlink, task->name, task->mac, task->apart, err);
	if (task->kind == TASK_CLEAN)
		return network_tap_clean(netlink, task->sid, err);
	r = network_scan(netlink, task->sid, network, err);
	if (r == 0 && task->kind == TASK_JOIN)
		r = child_join(netlink, task, network, taps, err);
	if (r == 0 && task->kind == TASK_ROUTES)
		r = network_routes_replace(netlink, network, task->routes, err);
	return r;
}

static int child_send_queues(int fd, const struct network_queues *queues)
{
	int r = child_write(fd, &queues->n, sizeof(queues->n));

	for (uint32_t i = 0; i < queues->n && r == 0; i++)
		r = fdpass_send_one(fd, queues->taps[i], "t", deadline_in_ms(CHILD_MS), NULL);
	return r;
}

static noreturn void child_main(int fd, int netns, const struct task *task)
{
	bool tells = task->kind == TASK_JOIN || task->kind == TASK_LOOK;
	struct network *network = calloc(1, sizeof(*network));
	struct netlink netlink = NETLINK_NONE;
	struct answer answer = { 0 };
	struct error err = { 0 };
	struct network_taps taps;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	network_taps_init(&taps);
	if (network == NULL)
		_exit(1);
	if (setns(netns, CLONE_NEWNET) < 0)
		r = error_set(&err, errno, "enter the network namespace");
	else
		r = netlink_open(&netlink, &err);
	if (r == 0)
		r = child_work(&netlink, task, network, &taps, &err);
	answer.errnum = -r;
	memcpy(answer.text, err.text, sizeof(answer.text));
	r = child_write(fd, &answer, sizeof(answer));
	if (r == 0 && answer.errnum == 0 && tells) {
		r = child_write(fd, network, sizeof(*network));
		for (uint32_t i = 0; i < network->n_links && r == 0 && task->kind == TASK_JOIN; i++)
			r = child_send_queues(fd, &taps.of[i]);
	}
	_exit(r < 0);
}

/* --- the parent ----------------------------------------------------------------------------- */

static int read_all(int fd, void *data, size_t len, struct error *err)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = recv(fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return error_set(err, ETIMEDOUT, "wait for the network's process");
		if (n <= 0)
			return error_say(err, EIO, "the network's process ended early");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int start_child(int netns, const struct task *task, pid_t *ret_pid, struct error *err)
{
	struct timeval patience = { .tv_sec = CHILD_MS / 1000 };
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "socketpair");
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		child_main(pair[1], netns, task);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return error_set(err, errno, "fork");
	}
	*ret_pid = pid;
	return pair[0];
}

static int read_answer(int fd, struct error *err)
{
	struct answer answer;
	int r = read_all(fd, &answer, sizeof(answer), err);

	if (r < 0)
		return r;
	answer.text[sizeof(answer.text) - 1] = '\0';
	return answer.errnum != 0 ? error_say(err, answer.errnum, "%s", answer.text) : 0;
}

static int receive_queues(int fd, struct network_queues *queues, struct error *err)
{
	uint32_t n;
	int r = read_all(fd, &n, sizeof(n), err);
	char byte;

	if (r == 0 && n > LAUNCH_QUEUES_MAX)
		return error_say(err, EBADMSG, "%u queues of an interface", n);
	while (r == 0 && queues->n < n) {
		int tap = fdpass_receive_one(fd, &byte, 1, deadline_in_ms(CHILD_MS), err);

		if (tap < 0)
			return tap;
		queues->taps[queues->n++] = tap;
	}
	return r;
}

static int receive(int fd, struct network *network, struct network_taps *taps, struct error *err)
{
	int r = read_answer(fd, err);

	if (r == 0)
		r = read_all(fd, network, sizeof(*network), err);
	for (uint32_t i = 0; r == 0 && i < network->n_links; i++)
		r = receive_queues(fd, &taps->of[i], err);
	return r;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL); /* it has said all it had to say; not reaped, so it is ours */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

int network_attach(int netns, const char *sid, uint32_t vcpus, bool macvtap,
		   struct network **ret_network, struct network_taps *ret_taps, struct error *err)
{
	CLEANUP(freep) struct network *network = malloc(sizeof(*network));
	const struct task task = { .kind = TASK_JOIN,
				   .sid = sid,
				   .join = { .vcpus = vcpus, .macvtap = macvtap } };
	CLEANUP(fd_close) int fd = -1;
	pid_t pid;
	int r;

	network_taps_init(ret_taps);
	if (network == NULL)
		return error_set(err, ENOMEM, "network");
	fd = start_child(netns, &task, &pid, err);
	if (fd < 0)
		return fd;
	r = receive(fd, network, ret_taps, err);
	end_child(pid);
	if (r < 0) {
		network_taps_close(ret_taps);
		return error_prefix(err, "network");
	}
	for (uint32_t i = 0; i < network->n_links; i++)
		network_queues_open_vhosts(&ret_taps->of[i], NETWORK_VHOST);
	*ret_network = steal_ptr(&network);
	return 0;
}

/* A task without an answer but its success. */
static int run_task(int netns, const struct task *task, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	pid_t pid;
	int r;

	fd = start_child(netns, task, &pid, err);
	if (fd < 0)
		return fd;
	r = read_answer(fd, err);
	end_child(pid);
	return r;
}

int network_clean(const char *netns_path, const char *sid, struct error *err)
{
	CLEANUP(fd_close) int netns = open(netns_path, O_RDONLY | O_CLOEXEC);
	struct statfs fs;

	if (netns < 0 && errno != ENOENT && errno != ENOTDIR && errno != ESRCH)
		return error_set(err, errno, "network namespace %s", netns_path);
	if (netns < 0 || (fstatfs(netns, &fs) == 0 && fs.f_type != NSFS_MAGIC))
		return 0; /* gone, and our filters with it */
	return run_task(netns, &(struct task){ .kind = TASK_CLEAN, .sid = sid }, err);
}

int network_set_apart(int netns, const char *name, const uint8_t *mac, bool apart,
		      struct error *err)
{
	const struct task task = { .kind = TASK_APART, .name = name, .mac = mac, .apart = apart };

	return run_task(netns, &task, err);
}

int network_set_routes(int netns, const char *sid, const struct network_routes *routes,
		       struct error *err)
{
	return run_task(netns, &(struct task){ .kind = TASK_ROUTES, .sid = sid, .routes = routes },
			err);
}

int network_look(int netns, const char *sid, struct network **ret_network, struct error *err)
{
	CLEANUP(freep) struct network *network = malloc(sizeof(*network));
	CLEANUP(fd_close) int fd = -1;
	pid_t pid;
	int r;

	if (network == NULL)
		return error_set(err, ENOMEM, "network");
	fd = start_child(netns, &(struct task){ .kind = TASK_LOOK, .sid = sid }, &pid, err);
	if (fd < 0)
		return fd;
	r = read_answer(fd, err);
	if (r == 0)
		r = read_all(fd, network, sizeof(*network), err);
	end_child(pid);
	if (r == 0)
		*ret_network = steal_ptr(&network);
	return r;
}

/* --- the message ---------------------------------------------------------------------------- */

static struct wire_bin bin_of(const struct network_ip *ip)
{
	return (struct wire_bin){ .data = ip->len > 0 ? (uint8_t *)ip->bytes : NULL,
				  .len = ip->len };
}

static struct msg_address make_address(const struct network_address *a)
{
	return (struct msg_address){ .family = a->family,
				     .local = bin_of(&a->local),
				     .peer = bin_of(&a->peer),
				     .broadcast = bin_of(&a->broadcast),
				     .prefix = a->prefix,
				     .scope = a->scope,
				     .flags = a->flags,
				     .limited = a->valid_s != UINT32_MAX ||
						a->preferred_s != UINT32_MAX,
				     .valid_s = a->valid_s,
				     .preferred_s = a->preferred_s,
				     .label = (char *)a->label };
}

static int make_interface(const struct network_link *link, struct msg_interface *ret)
{
	*ret = (struct msg_interface){ .name = (char *)link->name,
				       .mac = { (uint8_t *)link->mac, sizeof(link->mac) },
				       .mtu = link->mtu,
				       .up = link->up,
				       .noarp = link->noarp,
				       .no_ipv6 = link->no_ipv6,
				       .no_link_local = link->no_link_local };
	ret->addresses = calloc(link->n_addresses + 1UL, sizeof(*ret->addresses));
	if (ret->addresses == NULL)
		return -ENOMEM;
	for (; ret->n_addresses < link->n_addresses; ret->n_addresses++)
		ret->addresses[ret->n_addresses] = make_address(&link->addresses[ret->n_addresses]);
	return 0;
}

static int make_route(const struct network_route *r, struct msg_route *ret)
{
	*ret = (struct msg_route){ .family = r->family,
				   .destination = bin_of(&r->destination),
				   .prefix = r->prefix,
				   .gateway = bin_of(&r->gateway),
				   .device = (char *)r->device,
				   .source = bin_of(&r->source),
				   .type = r->type,
				   .scope = r->scope,
				   .protocol = r->protocol,
				   .flags = r->flags,
				   .metric = r->metric };
	ret->properties = calloc(NETWORK_METRICS_MAX, sizeof(*ret->properties));
	if (ret->properties == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < NETWORK_METRICS_MAX; i++)
		if (r->metrics[i] != 0)
			ret->properties[ret->n_properties++] =
				(struct msg_route_metric){ .kind = i, .value = r->metrics[i] };
	return 0;
}

static struct msg_neighbour make_neighbour(const struct network_neighbour *n)
{
	return (struct msg_neighbour){ .family = n->family,
				       .address = bin_of(&n->address),
				       .mac = { (uint8_t *)n->mac, sizeof(n->mac) },
				       .device = (char *)n->device };
}

/* What belongs to an interface that the VM does not have cannot be set there. */
static bool has_device(const struct network *network, const char *name)
{
	for (uint32_t i = 0; i < network->n_links; i++)
		if (str_eq(network->links[i].name, name))
			return network->links[i].slot >= 0;
	return name[0] == '\0';
}

int network_message(const struct network *network, struct msg_set_network *ret, struct error *err)
{
	struct msg_set_network m = { 0 };
	int r = 0;

	m.interfaces = calloc(network->n_links + 1UL, sizeof(*m.interfaces));
	m.routes = calloc(network->n_routes + 1UL, sizeof(*m.routes));
	m.neighbours = calloc(network->n_neighbours + 1UL, sizeof(*m.neighbours));
	if (m.interfaces == NULL || m.routes == NULL || m.neighbours == NULL)
		r = -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < network->n_links; i++)
		if (network->links[i].slot >= 0)
			r = make_interface(&network->links[i], &m.interfaces[m.n_interfaces++]);
	for (uint32_t i = 0; r == 0 && i < network->n_routes; i++)
		if (has_device(network, network->routes[i].device))
			r = make_route(&network->routes[i], &m.routes[m.n_routes++]);
	for (uint32_t i = 0; r == 0 && i < network->n_neighbours; i++)
		if (has_device(network, network->neighbours[i].device))
			m.neighbours[m.n_neighbours++] = make_neighbour(&network->neighbours[i]);
	if (r < 0) {
		network_message_fini(&m);
		return error_set(err, ENOMEM, "network");
	}
	*ret = m;
	return 0;
}

void network_message_fini(struct msg_set_network *message)
{
	for (uint32_t i = 0; i < message->n_interfaces; i++)
		free(message->interfaces[i].addresses);
	for (uint32_t i = 0; i < message->n_routes; i++)
		free(message->routes[i].properties);
	free(message->interfaces);
	free(message->routes);
	free(message->neighbours);
	*message = (struct msg_set_network){ 0 };
}
