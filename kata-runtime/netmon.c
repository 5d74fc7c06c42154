/*
 * netmon: see netmon.h. netmon_start() runs in kata-runtime; all else in the process it starts,
 * which is the same program again, in the container's network namespace.
 *
 * It begins as root, opens what it will need, and keeps CAP_NET_ADMIN under a uid of its own: for
 * tap devices and their filters in this one namespace, since it cannot enter another. It reads what
 * the kernel says about the network, and QMP. What the agent answers is read by its child without
 * rights (decoder.c). Nothing is polled: the kernel's events and the container's end wake it.
 */
#include "kata-runtime/netmon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/launch.h"
#include "common/log.h"
#include "common/privsep.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/decoder.h"
#include "kata-runtime/logs.h"
#include "kata-runtime/netlink.h"
#include "kata-runtime/network-host.h"
#include "kata-runtime/network-plug.h"
#include "kata-runtime/network-sync.h"
#include "kata-runtime/network-tap.h"
#include "kata-runtime/spawn.h"
#include "kata-runtime/vm-plug.h"

enum {
	LOCK_MS = 10000,
	QMP_MS = 5000,    /* until QEMU has a device */
	UNPLUG_MS = 5000, /* until the guest has let go of one */
	AGENT_MS = 20000,
	QUIET_MS = 100,    /* changes come in groups: this long nothing further */
	LONGEST_MS = 1000, /* and at most this long */
	TRIES = 5,         /* of one change; in between a second, two, four ... */
};

struct netmon {
	int ends[2]; /* pidfds of a shim, -1 when it cannot be told any more, and of the monitor */
	char monitor[16]; /* its pid */
	uid_t shim_uid;
	int events; /* netlink, what the kernel tells by itself */
	struct netlink netlink;
	struct decoder decoder;
	struct network_sync sync;
};

/* --- what network-sync.c asks for ------------------------------------------------------------ */

static int open_qmp(struct qmp *qmp, int64_t deadline, struct error *err)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", NETMON_FD_QMP);
	return qmp_open(qmp, path, deadline, err);
}

static uint32_t on_vcpus(void *context)
{
	CLEANUP(qmp_close) struct qmp qmp = QMP_CLOSED;
	int64_t deadline = deadline_in_ms(QMP_MS);
	struct vm_plug plug;
	struct error err;
	int r = open_qmp(&qmp, deadline, &err);

	(void)context;
	if (r == 0)
		r = vm_plug_look(&qmp, deadline, &plug, &err);
	if (r < 0)
		log_warning("an interface gets one queue", KV_ERR(&err));
	return r < 0 ? 1 : plug.vcpus;
}

static int on_plug(void *context, uint32_t slot, const uint8_t mac[6],
		   struct network_queues *queues, struct error *err)
{
	CLEANUP(qmp_close) struct qmp qmp = QMP_CLOSED;
	int64_t deadline = deadline_in_ms(QMP_MS);
	int r = open_qmp(&qmp, deadline, err);

	(void)context;
	network_queues_open_vhosts(queues, NETWORK_VHOST);
	return r < 0 ? r : network_plug(&qmp, slot, mac, queues, deadline, err);
}

static int on_unplug(void *context, uint32_t slot, struct error *err)
{
	CLEANUP(qmp_close) struct qmp qmp = QMP_CLOSED;
	int64_t deadline = deadline_in_ms(UNPLUG_MS);
	int r = open_qmp(&qmp, deadline, err);

	(void)context;
	return r < 0 ? r : network_unplug(&qmp, slot, deadline, err);
}

static int on_tell(void *context, const struct network *network, struct error *err)
{
	struct netmon *netmon = context;
	struct msg_set_network message;
	int r = network_message(network, &message, err);

	if (r < 0)
		return r;
	r = decoder_request(&netmon->decoder, MSG_SET_NETWORK, &message, deadline_in_ms(AGENT_MS),
			    NULL, NULL, err);
	network_message_fini(&message);
	return r;
}

static const struct network_sync_ops ops = {
	.vcpus = on_vcpus,
	.plug = on_plug,
	.unplug = on_unplug,
	.tell = on_tell,
};

/* --- start of the process -------------------------------------------------------------------- */

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? value : "";
}

static int open_process(const char *text, struct error *err)
{
	uint64_t ticks;
	int pid;

	if (sscanf(text, "%d %" SCNu64, &pid, &ticks) != 2)
		return error_say(err, EINVAL, "\"%s\" is no process", text);
	return process_open(pid, ticks, err);
}

static int open_events(struct error *err)
{
	CLEANUP(fd_close)
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl groups = { .nl_family = AF_NETLINK,
				      .nl_groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR |
						   RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR |
						   RTMGRP_IPV6_ROUTE };

	if (fd < 0 || bind(fd, (struct sockaddr *)&groups, sizeof(groups)) < 0)
		return error_set(err, errno, "listen to the kernel's network events");
	return steal_fd(&fd);
}

/* The group that may open /dev/vhost-net, where there is one; what it is for others is theirs. */
static size_t find_groups(gid_t uid_base, gid_t groups[2])
{
	struct stat st;

	groups[0] = uid_base + UID_SHIM; /* of the proxy's socket */
	if (stat(NETWORK_VHOST, &st) < 0 || (st.st_mode & 0060) != 0060 || st.st_gid == 0)
		return 1;
	groups[1] = st.st_gid;
	return 2;
}

/* Only the row's capability is left, and cannot grow; verified, the filter as well. */
static int confine(uid_t uid_base, bool log, struct error *err)
{
	uid_t uid = uid_base + UID_NETMON;
	gid_t groups[2];
	int r = privsep_limit(PRIVSEP_NETMON, err);

	if (r == 0)
		r = privsep_drop_to(PRIVSEP_NETMON, uid, groups, find_groups(uid_base, groups),
				    err);
	return r < 0 ? r : privsep_finish(PRIVSEP_NETMON, uid, log, err);
}

static int prepare(struct netmon *m, const char *sid, struct error *err)
{
	bool log = str_eq(variable("KATA_SECCOMP"), "log");
	char path[32];
	uint64_t base;
	int r = privsep_begin(PRIVSEP_NETMON, err);

	if (r == 0)
		r = str_to_u64(variable("KATA_UID"), UINT32_MAX - UID_BLOCK, &base);
	if (r < 0)
		return r;
	m->ends[0] = open_process(variable("KATA_SHIM"), err);
	if (m->ends[0] >= 0)
		m->ends[1] = open_process(variable("KATA_MONITOR"), err);
	if (m->ends[0] < 0 || m->ends[1] < 0)
		return -err->num;
	snprintf(m->monitor, sizeof(m->monitor), "%.*s",
		 (int)strspn(variable("KATA_MONITOR"), "0123456789"), variable("KATA_MONITOR"));
	m->shim_uid = (uid_t)base + UID_SHIM;
	m->events = open_events(err);
	if (m->events < 0)
		return m->events;
	r = netlink_open(&m->netlink, err);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", NETMON_FD_PROXY);
	if (r == 0)
		r = decoder_open(&m->decoder, path, (uid_t)base + UID_DECODER, log,
				 deadline_in_ms(AGENT_MS), err);
	m->sync = (struct network_sync){ .ops = &ops, .context = m, .netlink = &m->netlink };
	m->sync.sid = sid;
	m->sync.host = network_host_open();
	return r < 0 ? r : confine((uid_t)base, log, err);
}

/* --- its life --------------------------------------------------------------------------------- */

/* Whether a message tells of a change; neighbours that come and go by themselves are none. */
static bool message_matters(const struct nlmsghdr *message)
{
	const struct ndmsg *body = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_type != RTM_NEWNEIGH && message->nlmsg_type != RTM_DELNEIGH)
		return true;
	return message->nlmsg_len < NLMSG_LENGTH(sizeof(*body)) ||
	       (body->ndm_state & NUD_PERMANENT) != 0;
}

/* Reads all events there are: whether one of them matters. Lost ones may. */
static bool take_events(int fd)
{
	_Alignas(struct nlmsghdr) char buffer[16384];
	bool matters = false;

	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return matters || errno == ENOBUFS;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			matters = matters || message_matters(message);
	}
}

static int sync_locked(struct netmon *m, struct error *err)
{
	int r = store_lock_take(NETMON_FD_LOCK, deadline_in_ms(LOCK_MS), err);

	if (r < 0)
		return r;
	r = network_sync_run(&m->sync, err);
	store_lock_leave(NETMON_FD_LOCK);
	return r;
}

/* When the next look is due after one that failed: INT64_MAX when it is given up. */
static int64_t try_again(unsigned failures, const struct error *err)
{
	log_warning("the VM does not have the network as it is", KV("failures", failures),
		    KV_ERR(err));
	return failures < TRIES ? deadline_in_ms(1000 << (failures - 1)) : INT64_MAX;
}

/* Whether /proc/PID/status is that of a process of the user that has not ended. */
static bool lives_as(const char *pid, uid_t uid)
{
	CLEANUP(fd_close) int fd = -1;
	char path[64], text[1024], state = 'Z', *p;
	unsigned found;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	p = strstr(text, "\nState:");
	if (p == NULL || sscanf(p, "\nState: %c", &state) != 1 || state == 'Z' || state == 'X')
		return false;
	p = strstr(text, "\nUid:");
	return p != NULL && sscanf(p, "\nUid: %u", &found) == 1 && found == uid;
}

/*
 * A shim has ended. The VM's network is that of all its containers: as long as another one has a
 * shim, all of which have one uid that is the VM's alone, there is something to follow.
 */
static bool find_other_shim(struct netmon *m)
{
	CLEANUP(dir_close) DIR *proc = opendir("/proc");
	struct dirent *entry;
	struct stat st;

	fd_close(&m->ends[0]);
	/*
	 * Mounted with hidepid, it does not show them: then until the VM ends, or delete ends us.
	 */
	if (proc == NULL || fstatat(dirfd(proc), m->monitor, &st, 0) < 0)
		return true;
	while (m->ends[0] < 0 && (entry = readdir(proc)) != NULL) {
		uint64_t pid;

		if (str_to_u64(entry->d_name, INT32_MAX, &pid) < 0 ||
		    !lives_as(entry->d_name, m->shim_uid))
			continue;
		m->ends[0] = pidfd_open((pid_t)pid, 0);
		/* Looked at again, now that the pid cannot change hands. */
		if (m->ends[0] >= 0 && !lives_as(entry->d_name, m->shim_uid))
			fd_close(&m->ends[0]);
	}
	return m->ends[0] >= 0;
}

/* Until the last container or the VM ends. */
static void follow(struct netmon *m)
{
	int64_t due = deadline_in_ms(0), latest = INT64_MAX; /* what came before we listened */
	unsigned failures = 0;
	struct error err;

	for (;;) {
		struct pollfd p[] = { { .fd = m->ends[0], .events = POLLIN },
				      { .fd = m->ends[1], .events = POLLIN },
				      { .fd = m->events, .events = POLLIN } };
		int left = due == INT64_MAX ? -1 : deadline_left_ms(due);
		int n = poll(p, ARRAY_SIZE(p), left);

		if ((n < 0 && errno != EINTR) || p[1].revents != 0 ||
		    (p[0].revents != 0 && !find_other_shim(m)))
			return;
		if (n > 0 && take_events(m->events)) {
			if (latest == INT64_MAX)
				latest = deadline_in_ms(LONGEST_MS);
			due = deadline_in_ms(QUIET_MS) < latest ? deadline_in_ms(QUIET_MS) : latest;
			failures = 0;
		}
		if (due == INT64_MAX || deadline_left_ms(due) > 0)
			continue;
		due = latest = INT64_MAX;
		if (sync_locked(m, &err) < 0)
			due = try_again(++failures, &err);
		else
			failures = 0;
	}
}

static struct netmon *netmon_new(void)
{
	struct netmon *m = calloc(1, sizeof(*m));

	if (m != NULL)
		m->decoder = (struct decoder)DECODER_NONE;
	return m;
}

static void netmon_free(struct netmon **m)
{
	if (*m == NULL)
		return;
	decoder_close(&(*m)->decoder);
	netlink_close(&(*m)->netlink);
	free(*m);
}

int netmon_main(const char *sid)
{
	CLEANUP(netmon_free) struct netmon *m = netmon_new();
	struct error err = { 0 };
	int r;

	if (m == NULL || getenv("KATA_UID") == NULL || fcntl(NETMON_FD_CONTROL, F_GETFD) < 0) {
		fprintf(stderr, NETMON_NAME " is started by kata-runtime start\n");
		return 2;
	}
	log_start("netmon", NETMON_FD_LOG,
		  str_eq(variable("KATA_DEBUG"), "1") ? LOG_DEBUG : LOG_INFO);
	log_context(sid, variable("KATA_CONTAINER"), NULL);
	prctl(PR_SET_NAME, NETMON_NAME, 0, 0, 0);
	r = prepare(m, sid, &err);
	/* Until it stands in state.json who we are nobody who cleans up would end us. */
	if (r == 0)
		r = fdpass_expect(NETMON_FD_CONTROL, MSG_DONE, NULL, deadline_in_ms(LOCK_MS), &err);
	/* The first look: the one who starts us has the lock and waits for it. */
	if (r == 0)
		r = network_sync_run(&m->sync, &err);
	if (r < 0) {
		log_error("the network cannot be followed", KV_ERR(&err));
		fdpass_send_error(NETMON_FD_CONTROL, &err);
		return 1;
	}
	if (fdpass_send(NETMON_FD_CONTROL, MSG_DONE, NULL, NULL, 0, deadline_in_ms(LOCK_MS), &err) <
	    0)
		return 1;
	close(NETMON_FD_CONTROL);
	if (str_eq(variable("KATA_FOLLOW"), "1"))
		follow(m);
	return 0;
}

/* --- in kata-runtime -------------------------------------------------------------------------- */

enum { VARIABLES = 7, VARIABLE_MAX = 256 };

static void make_environment(const struct state *state, const struct process_ref *shim,
			     const struct config *config, bool debug,
			     char text[VARIABLES][VARIABLE_MAX], char *envp[VARIABLES + 1])
{
	snprintf(text[0], VARIABLE_MAX, "KATA_CONTAINER=%s", state->id);
	snprintf(text[1], VARIABLE_MAX, "KATA_UID=%u", state->uid_base);
	snprintf(text[2], VARIABLE_MAX, "KATA_DEBUG=%d", debug || config->netmon.enable_debug);
	snprintf(text[3], VARIABLE_MAX, "KATA_SHIM=%d %" PRIu64, shim->pid, shim->start_ticks);
	snprintf(text[4], VARIABLE_MAX, "KATA_MONITOR=%d %" PRIu64, state->monitor.pid,
		 state->monitor.start_ticks);
	snprintf(text[5], VARIABLE_MAX, "KATA_FOLLOW=%d", config->netmon.enable_netmon);
	snprintf(text[6], VARIABLE_MAX, "KATA_SECCOMP=%s",
		 config->runtime.seccomp == SECCOMP_LOG ? "log" : "kill");
	for (int i = 0; i < VARIABLES; i++)
		envp[i] = text[i];
	envp[VARIABLES] = NULL;
}

/* A socket as a path only; owner: who may connect besides root, or 0 to leave that. */
static int open_socket(const struct store *store, const struct state *state, const char *name,
		       uid_t owner, struct error *err)
{
	char path[PATH_MAX];
	int fd, r = store_path(store, state->sid, name, path, err);

	if (r < 0)
		return r;
	if (owner != 0 && lchown(path, owner, owner) < 0)
		return error_set(err, errno, "give %s its owner", path);
	fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? error_set(err, errno, "open %s", path) : fd;
}

static int open_netns(const struct process_ref *shim, struct error *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", shim->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "network namespace of the shim") : fd;
}

static int run(const struct store *store, struct state *state, struct spawn *spawn,
	       struct error *err)
{
	CLEANUP(cgroup_fini) struct cgroup cgroup = { 0 };
	pid_t pid = spawn_run(spawn, err);
	int r;

	if (pid < 0)
		return pid;
	state->netmon.pid = pid;
	r = process_start_time(pid, &state->netmon.start_ticks, err);
	if (r == 0)
		r = cgroup_load(&state->cgroups, false, &cgroup, err);
	if (r == 0)
		r = cgroup_join(&cgroup, pid, err);
	return r < 0 ? r : store_write_state(store, state, err);
}

static void undo(struct state *state)
{
	if (state->netmon.pid <= 0)
		return;
	kill(state->netmon.pid, SIGKILL); /* our child, not reaped: the pid is still its own */
	while (waitpid(state->netmon.pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	state->netmon = (struct process_ref){ 0 };
}

int netmon_start(const struct store *store, const struct config *config, struct state *state,
		 const struct process_ref *shim, bool debug, int64_t deadline, struct error *err)
{
	char text[VARIABLES][VARIABLE_MAX], *envp[VARIABLES + 1];
	char *argv[] = { (char *)NETMON_NAME, state->sid, NULL };
	CLEANUP(fd_close) int log = logs_open(config, state->sid, "netmon", err);
	CLEANUP(fd_close) int lock = log < 0 ? log : store_lock_open(store, state->sid, err);
	CLEANUP(fd_close)
	int qmp =
		lock < 0 ? lock
			 : open_socket(store, state, "qmp.sock", state->uid_base + UID_NETMON, err);
	CLEANUP(fd_close)
	int proxy = qmp < 0 ? qmp : open_socket(store, state, "client/proxy.sock", 0, err);
	CLEANUP(fd_close) int netns = proxy < 0 ? proxy : open_netns(shim, err);
	CLEANUP(fd_close) int ours = -1;
	CLEANUP(fd_close) int theirs = -1;
	struct spawn spawn = { .path = "/proc/self/exe", .argv = argv, .envp = envp };
	int pair[2], r;

	if (netns < 0)
		return netns;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "socketpair");
	ours = pair[0];
	theirs = pair[1];
	state->netmon = (struct process_ref){ 0 }; /* one that was before has ended */
	make_environment(state, shim, config, debug, text, envp);
	spawn.netns = netns;
	spawn.pidns = -1;
	spawn.fds[0] = spawn.fds[1] = spawn.fds[2] = -1;
	spawn.fds[NETMON_FD_CONTROL] = theirs;
	spawn.fds[NETMON_FD_LOG] = log;
	spawn.fds[NETMON_FD_LOCK] = lock;
	spawn.fds[NETMON_FD_QMP] = qmp;
	spawn.fds[NETMON_FD_PROXY] = proxy;
	spawn.fd_count = NETMON_FD_PROXY + 1;
	r = run(store, state, &spawn, err);
	fd_close(&theirs);
	if (r == 0)
		r = fdpass_ask(ours, MSG_DONE, NULL, NULL, 0, MSG_DONE, deadline, err);
	if (r < 0)
		undo(state);
	return r < 0 ? error_prefix(err, "follow the network") : 0;
}
