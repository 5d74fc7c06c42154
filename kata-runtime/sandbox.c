/* A sandbox's processes from the outside: see sandbox.h. Runs in kata-runtime as root. */
#include "kata-runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/connect.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/launch.h"
#include "common/log.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/accel.h"
#include "kata-runtime/agent-link.h"
#include "kata-runtime/cause.h"
#include "kata-runtime/logs.h"
#include "kata-runtime/qemu-args.h"
#include "kata-runtime/spawn.h"
#include "kata-runtime/systemd.h"
#include "kata-runtime/tsc.h"
#include "kata-runtime/virtiofsd-args.h"
#include "kata-runtime/virtiofsd-probe.h"

/*
 * In s/SID, and below the base: there links have the names of the units' instances, and root is an
 * empty one, in which systemd makes what it mounts on.
 */
#define UNIT_DIR "unit"

enum { ORDERLY_MS = 500, UNIT_NAME_SIZE = SID_SIZE + 32 };

/* The descriptors of LAUNCH while they are collected. */
struct cargo {
	int fds[FDPASS_MAX];
	char net_names[2 * LAUNCH_NET_FDS][16];
	struct msg_launch_fd names[FDPASS_MAX];
	uint32_t count;
};

static void cargo_fini(struct cargo *cargo)
{
	for (uint32_t i = 0; i < cargo->count; i++)
		close(cargo->fds[i]);
	cargo->count = 0;
}

/* Takes fd, which may be a negative errno that is passed on. */
static int cargo_add(struct cargo *cargo, const char *name, int fd)
{
	if (fd < 0)
		return fd;
	cargo->fds[cargo->count] = fd;
	cargo->names[cargo->count++].name = (char *)name;
	return 0;
}

static int cargo_open(struct cargo *cargo, const char *name, const char *what, const char *path,
		      int flags, struct error *err)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return error_set(err, errno, "%s %s", what, path);
	return cargo_add(cargo, name, fd);
}

static int cargo_log(struct cargo *cargo, const struct sandbox *s, const char *name,
		     const char *component, struct error *err)
{
	return cargo_add(cargo, name, logs_open(s->config, s->state->sid, component, err));
}

/* A listening socket at s/SID/NAME with the owner and mode given. */
static int make_socket(const struct sandbox *s, const char *name, uid_t uid, gid_t gid, mode_t mode,
		       struct error *err)
{
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[PATH_MAX];
	int r;

	if (fd < 0)
		return error_set(err, errno, "socket");
	r = store_path(s->store, s->state->sid, name, path, err);
	if (r < 0)
		return r;
	if (str_format(address.sun_path, sizeof(address.sun_path), "%s", path) < 0)
		return error_say(err, ENAMETOOLONG, "socket %s: the path is over %zu bytes", path,
				 sizeof(address.sun_path) - 1);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
		return error_set(err, errno, "listen at %s", path);
	if (chown(path, uid, gid) < 0 || chmod(path, mode) < 0)
		return error_set(err, errno, "give %s its owner", path);
	return steal_fd(&fd);
}

/* s/SID/NAME, where those get who may not into the one above it. */
static int make_dir(const struct sandbox *s, const char *name, struct error *err)
{
	char path[PATH_MAX];
	int r = store_path(s->store, s->state->sid, name, path, err);

	if (r < 0)
		return r;
	if (mkdir(path, 0711) < 0 && errno != EEXIST)
		return error_set(err, errno, "make %s", path);
	return 0;
}

/* The link by which a unit that knows its instance finds s/SID/unit. */
static int instance_path(const struct store *store, const char *sid, char *path, struct error *err)
{
	return str_format(path, PATH_MAX, "%s/" UNIT_DIR "/%.*s", store->base, SANDBOX_INSTANCE_LEN,
			  sid) < 0
		       ? error_set(err, ENAMETOOLONG, "%s", store->base)
		       : 0;
}

static int make_unit_link(const struct sandbox *s, struct error *err)
{
	static const char *const dirs[] = { UNIT_DIR, UNIT_DIR "/root" }; /* in this order */
	char dir[PATH_MAX], link[PATH_MAX], to[SID_SIZE + 16];
	ssize_t n;
	int r = instance_path(s->store, s->state->sid, link, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		str_format(dir, sizeof(dir), "%s/%s", s->store->base, dirs[i]);
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return error_set(err, errno, "make %s", dir);
	}
	str_format(to, sizeof(to), "../s/%s/" UNIT_DIR, s->state->sid);
	/* One that leads elsewhere is of a sandbox that begins with the same digits. */
	n = symlink(to, link) == 0 ? 0 : readlink(link, dir, sizeof(dir) - 1);
	if (n < 0)
		return error_set(err, errno, "make %s", link);
	dir[n] = '\0';
	return n == 0 || str_eq(dir, to) ? 0 : error_set(err, EEXIST, "make %s", link);
}

/* Where the worker's unit finds the monitor: its user is known to systemd only. */
static int add_unit(const struct sandbox *s, struct cargo *cargo, struct error *err)
{
	int r;

	if (s->config->proxy.launcher != LAUNCHER_SYSTEMD)
		return 0;
	if (!systemd_is_here(SYSTEMD_SOCKET))
		return error_say(err, ENOTSUP, "proxy.launcher is \"systemd\", which is not there");
	r = make_dir(s, UNIT_DIR, err);
	if (r == 0)
		r = make_unit_link(s, err);
	return r < 0 ? r
		     : cargo_add(cargo, LAUNCH_UNIT,
				 make_socket(s, UNIT_DIR "/launch.sock", 0, 0, 0666, err));
}

static int make_cause(const struct sandbox *s, struct error *err)
{
	char path[PATH_MAX];
	int fd, r = store_path(s->store, s->state->sid, "cause", path, err);

	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? error_set(err, errno, "make %s", path) : fd;
}

/* Without it the host's kernel is not blamed. */
static int add_oom(const struct sandbox *s, struct cargo *cargo)
{
	CLEANUP(cgroup_fini) struct cgroup cgroup = { 0 };
	int fd = -1;

	if (cgroup_load(&s->state->cgroups, false, &cgroup, NULL) == 0)
		fd = cgroup_open_oom(&cgroup);
	return fd < 0 ? 0 : cargo_add(cargo, LAUNCH_OOM, fd);
}

static int collect_sockets(struct sandbox *s, struct cargo *cargo, struct error *err)
{
	uid_t base = s->state->uid_base;
	int r = make_dir(s, "client", err);

	if (r == 0)
		r = cargo_add(cargo, LAUNCH_QMP, make_socket(s, "qmp.sock", 0, 0, 0600, err));
	if (r == 0)
		r = cargo_add(cargo, LAUNCH_CLIENTS,
			      make_socket(s, "client/proxy.sock", base + UID_PROXY, base + UID_SHIM,
					  0660, err));
	if (r == 0)
		r = cargo_add(cargo, LAUNCH_MONITOR,
			      make_socket(s, "monitor.sock", 0, 0, 0600, err));
	if (r == 0)
		r = add_unit(s, cargo, err);
	if (r == 0)
		r = cargo_add(cargo, LAUNCH_SLOT, steal_fd(&s->slot));
	if (r == 0)
		r = cargo_add(cargo, LAUNCH_CAUSE, make_cause(s, err));
	if (r == 0)
		r = add_oom(s, cargo);
	return r;
}

static int collect_net(struct cargo *cargo, const char *what, uint32_t i, char *name, int fd,
		       struct error *err)
{
	int copy;

	if (fd < 0)
		return 0;
	snprintf(name, sizeof(cargo->net_names[0]), "%s%u", what, i);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return copy < 0 ? error_set(err, errno, "copy a descriptor") : cargo_add(cargo, name, copy);
}

static int collect_nets(const struct sandbox *s, struct cargo *cargo, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < LAUNCH_NET_FDS && r == 0; i++) {
		const struct network_queues *queues = &s->taps->of[i / LAUNCH_QUEUES_MAX];

		r = collect_net(cargo, LAUNCH_NET, i, cargo->net_names[2 * i],
				queues->taps[i % LAUNCH_QUEUES_MAX], err);
		if (r == 0)
			r = collect_net(cargo, LAUNCH_VHOST, i, cargo->net_names[2 * i + 1],
					queues->vhosts[i % LAUNCH_QUEUES_MAX], err);
	}
	return r;
}

static int collect(struct sandbox *s, struct cargo *cargo, struct error *err)
{
	const struct config *c = s->config;
	int r;

	r = cargo_open(cargo, LAUNCH_QEMU, "hypervisor.path: QEMU", c->hypervisor.path, O_PATH,
		       err);
	if (r == 0)
		r = cargo_open(cargo, LAUNCH_VIRTIOFSD, "hypervisor.virtio_fs_daemon: virtiofsd",
			       c->hypervisor.virtio_fs_daemon, O_PATH, err);
	if (r == 0)
		r = cargo_open(cargo, LAUNCH_KERNEL, "hypervisor.kernel: guest kernel",
			       c->hypervisor.kernel, O_RDONLY, err);
	if (r == 0)
		r = cargo_open(cargo, LAUNCH_INITRD, "hypervisor.initrd: guest image",
			       c->hypervisor.initrd, O_RDONLY, err);
	if (r == 0)
		r = cargo_log(cargo, s, LAUNCH_LOG_AGENT, "agent", err);
	if (r == 0)
		r = cargo_log(cargo, s, LAUNCH_LOG_CONSOLE, "console", err);
	if (r == 0)
		r = cargo_log(cargo, s, LAUNCH_LOG_QEMU, "qemu", err);
	if (r == 0)
		r = cargo_log(cargo, s, LAUNCH_LOG_VIRTIOFSD, "virtiofsd", err);
	if (r == 0)
		r = collect_nets(s, cargo, err);
	return r < 0 ? r : collect_sockets(s, cargo, err);
}

static int choose_accelerator(const struct sandbox *s, enum accel *ret_accel, gid_t *ret_kvm_gid,
			      struct error *err)
{
	static const char *const names[] = {
		[ACCELERATOR_AUTO] = "auto", [ACCELERATOR_KVM] = "kvm", [ACCELERATOR_TCG] = "tcg"
	};
	struct accel_result result;
	struct stat st;
	int r = accel_choose(names[s->config->hypervisor.accelerator], &result, err);

	if (r < 0)
		return r;
	if (result.fallback)
		log_warning("the VM runs without KVM, slowly", KV_S("reason", result.reason));
	*ret_accel = result.accel;
	*ret_kvm_gid = 0;
	if (result.accel == ACCEL_KVM) {
		if (stat("/dev/kvm", &st) < 0)
			return error_set(err, errno, "/dev/kvm");
		*ret_kvm_gid = st.st_gid;
	}
	return 0;
}

/* Chooses the agent's link and notes it down for whoever asks for the state. */
static int choose_link(const struct sandbox *s, struct agent_link *ret, struct cargo *cargo,
		       struct error *err)
{
	int r = agent_link_choose(s->config->hypervisor.agent_link, s->state->sid, NULL, ret, err);

	if (r == 0 && ret->link == LAUNCH_LINK_VHOST_VSOCK)
		r = cargo_add(cargo, LAUNCH_VSOCK, steal_fd(&ret->vsock.device));
	if (r == 0 && ret->link == LAUNCH_LINK_VHOST_VSOCK)
		r = cargo_add(cargo, LAUNCH_VSOCK_LISTENING, steal_fd(&ret->vsock.listening));
	if (r < 0)
		return r;
	log_debug("the agent's link", KV_S("link", agent_link_name(ret->link)),
		  KV_S("reason", ret->reason));
	return state_set_agent_link(s->state, agent_link_name(ret->link), ret->reason, err);
}

static int make_qemu_args(const struct sandbox *s, const struct agent_link *link,
			  struct msg_launch *launch, struct argv *argv, struct error *err)
{
	const struct config *c = s->config;
	struct qemu_net nets[LAUNCH_NET_MAX];
	struct qemu_config qemu = { .program = c->hypervisor.path,
				    .sandbox = s->state->sid,
				    .vcpus = s->size.vcpus,
				    .max_vcpus = s->size.vcpus + s->more.vcpus,
				    .memory_mib = s->size.memory_mib,
				    .plug_memory_mib = s->more.memory_mib,
				    .kernel_params = c->hypervisor.kernel_params,
				    .nets = nets,
				    .n_nets = s->network->n_links,
				    .share = true,
				    .debug = s->debug || c->hypervisor.enable_debug };
	int r = choose_accelerator(s, &qemu.accel, &launch->kvm_gid, err);

	if (r == 0 && qemu.accel == ACCEL_TCG)
		qemu.tsc_khz = tsc_measure_khz();
	launch->link = qemu.link = link->link;
	launch->cid = qemu.cid = link->vsock.cid;
	for (uint32_t i = 0; i < s->network->n_links; i++) {
		memcpy(nets[i].mac, s->network->links[i].mac, sizeof(nets[i].mac));
		nets[i].queues = s->taps->of[i].n;
		nets[i].vhost = s->taps->of[i].vhosts[0] >= 0;
	}
	if (r == 0)
		r = qemu_args_make(&qemu, argv, err);
	launch->qemu_args = (struct wire_strings){ argv->items, argv->count };
	return r;
}

static int make_virtiofsd_args(const struct sandbox *s, struct msg_launch *launch,
			       struct argv *argv, struct error *err)
{
	static const char *const caches[] = { [VIRTIO_FS_CACHE_NONE] = "none",
					      [VIRTIO_FS_CACHE_AUTO] = "auto",
					      [VIRTIO_FS_CACHE_ALWAYS] = "always" };
	struct virtiofsd_config virtiofsd = {
		.program = s->config->hypervisor.virtio_fs_daemon,
		.source = LAUNCH_SHARE,
		.cache = caches[s->config->hypervisor.virtio_fs_cache],
		.debug = s->config->hypervisor.enable_debug,
	};
	char cache[PATH_MAX];
	int r = str_format(cache, sizeof(cache), "%s/virtiofsd", s->store->base);

	if (r < 0)
		return error_set(err, ENAMETOOLONG, "%s", s->store->base);
	r = virtiofsd_probe_cached(cache, virtiofsd.program, &virtiofsd.kind, err);
	if (r == 0)
		r = virtiofsd_args_make(&virtiofsd, argv, err);
	launch->virtiofsd_args = (struct wire_strings){ argv->items, argv->count };
	return r;
}

/* Starts kata-proxy as pid 1 of a pid namespace, in the container's cgroups. */
static int start_monitor(struct sandbox *s, struct error *err)
{
	CLEANUP(fd_close) int theirs = -1;
	CLEANUP(fd_close) int log = logs_open(s->config, s->state->sid, "proxy", err);
	char *argv[] = { (char *)"kata-proxy", (char *)"monitor", s->state->sid, NULL };
	char *envp[] = { NULL };
	struct spawn spawn = { .path = s->config->proxy.path,
			       .argv = argv,
			       .envp = envp,
			       .namespaces = CLONE_NEWPID,
			       .netns = -1,
			       .pidns = -1 };
	int pair[2], r;
	pid_t pid;

	if (log < 0)
		return log;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "socketpair");
	s->control = pair[0];
	theirs = pair[1];
	spawn.fds[0] = spawn.fds[1] = spawn.fds[2] = -1;
	spawn.fds[START_FD_CONTROL] = theirs;
	spawn.fds[START_FD_LOG] = log;
	spawn.fd_count = START_FD_LOG + 1;
	pid = spawn_run(&spawn, err);
	if (pid < 0)
		return pid;
	s->state->monitor.pid = pid;
	r = process_start_time(pid, &s->state->monitor.start_ticks, err);
	if (r == 0 && s->cgroup != NULL)
		r = cgroup_join(s->cgroup, pid, err);
	return r < 0 ? r : store_write_state(s->store, s->state, err);
}

static int launch(struct sandbox *s, struct msg_launch *message, struct cargo *cargo,
		  int64_t deadline, struct error *err)
{
	int r;

	message->sandbox = s->state->sid;
	message->uid_base = s->state->uid_base;
	message->debug = s->debug || s->config->proxy.enable_debug;
	message->guest_debug =
		s->debug || s->config->agent.enable_debug || s->config->hypervisor.enable_debug;
	message->worker_crashes = s->config->proxy.worker_crashes;
	message->share_mknod = s->config->hypervisor.shared_fs == SHARED_FS_VIRTIO_FS_MKNOD;
	if (message->share_mknod)
		log_warning("hypervisor.shared_fs is \"virtio-fs-mknod\": virtiofsd has rights on "
			    "the host");
	message->seccomp_log = s->config->runtime.seccomp == SECCOMP_LOG;
	if (message->seccomp_log)
		log_warning("runtime.seccomp is \"log\": system call filters of this VM forbid "
			    "nothing");
	message->fds = cargo->names;
	message->n_fds = cargo->count;
	r = fdpass_ask(s->control, MSG_LAUNCH, message, cargo->fds, cargo->count, MSG_LAUNCHED,
		       deadline, err);
	return r < 0 ? error_prefix(err, "start the VM") : 0;
}

static void unit_name(const char *sid, char *name, size_t size)
{
	snprintf(name, size, "kata-proxy@%.*s.service", SANDBOX_INSTANCE_LEN, sid);
}

/* The worker, where systemd is to keep it; the monitor waits for that unit. */
static int start_unit(const struct sandbox *s, int64_t deadline, struct error *err)
{
	char unit[UNIT_NAME_SIZE];

	if (s->config->proxy.launcher != LAUNCHER_SYSTEMD)
		return 0;
	unit_name(s->state->sid, unit, sizeof(unit));
	return systemd_start_unit(SYSTEMD_SOCKET, unit, deadline, err);
}

int sandbox_stop_unit(const struct store *store, const char *sid, int64_t deadline,
		      struct error *err)
{
	char unit[UNIT_NAME_SIZE], path[PATH_MAX];
	int r;

	if (store_path(store, sid, UNIT_DIR, path, NULL) < 0 || access(path, F_OK) < 0)
		return 0;
	unit_name(sid, unit, sizeof(unit));
	r = systemd_stop_unit(SYSTEMD_SOCKET, unit, deadline, err);
	if (instance_path(store, sid, path, NULL) == 0)
		unlink(path);
	return r;
}

int sandbox_start(struct sandbox *s, int64_t deadline, struct error *err)
{
	CLEANUP(cargo_fini) struct cargo cargo = { .count = 0 };
	CLEANUP(argv_fini) struct argv qemu = { 0 };
	CLEANUP(argv_fini) struct argv virtiofsd = { 0 };
	struct msg_launch message = { 0 };
	CLEANUP(agent_link_release) struct agent_link link = AGENT_LINK_NONE;
	int r = collect(s, &cargo, err);

	if (r == 0)
		r = choose_link(s, &link, &cargo, err);
	if (r == 0)
		r = make_qemu_args(s, &link, &message, &qemu, err);
	if (r == 0)
		r = make_virtiofsd_args(s, &message, &virtiofsd, err);
	if (r == 0)
		r = start_monitor(s, err);
	if (r == 0)
		r = launch(s, &message, &cargo, deadline, err);
	if (r == 0)
		r = start_unit(s, deadline, err);
	if (r == 0)
		log_debug("the VM's processes run", KV("monitor", s->state->monitor.pid));
	return r;
}

int sandbox_commit(struct sandbox *s, int64_t deadline, struct error *err)
{
	int r = fdpass_ask(s->control, MSG_COMMIT, NULL, NULL, 0, MSG_DONE, deadline, err);

	if (r < 0)
		return error_prefix(err, "commit the sandbox");
	fd_close(&s->control);
	return 0;
}

int sandbox_restart_proxy(const struct store *store, const char *sid, const char *program,
			  int64_t deadline, struct error *err)
{
	CLEANUP(fd_close) int fd = open(program, O_PATH | O_CLOEXEC);
	CLEANUP(fd_close) int monitor = -1;
	char path[PATH_MAX];
	int r;

	if (fd < 0)
		return error_set(err, errno, "proxy.path %s", program);
	r = store_path(store, sid, "monitor.sock", path, err);
	if (r == 0)
		r = monitor = connect_unix(path, "the monitor", deadline_left_ms(deadline), err);
	if (r >= 0)
		r = fdpass_ask(monitor, MSG_RESTART, NULL, &fd, 1, MSG_DONE, deadline, err);
	return r < 0 ? error_prefix(err, "start the worker again") : 0;
}

int sandbox_explain(const struct store *store, const struct state *state, int r, struct error *err)
{
	char cause[CAUSE_LINE_SIZE];

	/* The monitor writes the cause before it ends. */
	if (state->monitor.pid > 0) {
		CLEANUP(fd_close)
		int fd = process_open(state->monitor.pid, state->monitor.start_ticks, NULL);

		if (fd >= 0)
			process_wait_gone(fd, deadline_in_ms(1000), NULL);
	}
	cause_vm_headline(store, state, cause);
	return cause[0] != '\0' ? error_prefix(err, "the VM ended (%s)", cause) : r;
}

int sandbox_connect(const struct store *store, const struct state *state, struct decoder *decoder,
		    int64_t deadline, struct error *err)
{
	char path[PATH_MAX];
	int r = store_path(store, state->sandbox, "client/proxy.sock", path, err);

	if (r < 0)
		return r;
	r = decoder_open(decoder, path, state->uid_base + UID_DECODER, state->seccomp_log, deadline,
			 err);
	if (r == 0)
		return 0;
	if (r == -ETIMEDOUT && process_alive(state->monitor.pid, state->monitor.start_ticks))
		return error_say(
			err, ETIMEDOUT,
			"the agent in the VM did not say hello in time; the guest's console "
			"and the agent's log may tell why (kata sandbox %s)",
			state->sandbox);
	return sandbox_explain(store, state, r, err);
}

/* Ends it in order: the worker tells its clients and nobody logs a failure. 0 when it is gone. */
static int end_monitor(int fd, int64_t deadline)
{
	int64_t orderly = deadline_in_ms(ORDERLY_MS);

	if (pidfd_send_signal(fd, SIGTERM, NULL, 0) == 0 &&
	    process_wait_gone(fd, orderly < deadline ? orderly : deadline, NULL) == 0)
		return 0;
	return pidfd_send_signal(fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH ? -errno : -EAGAIN;
}

int sandbox_kill(const struct state *state, int64_t deadline, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	int r;

	if (state->monitor.pid <= 0)
		return 0;
	fd = process_open(state->monitor.pid, state->monitor.start_ticks, err);
	if (fd == -ESRCH)
		return 0;
	if (fd < 0)
		return fd;
	r = end_monitor(fd, deadline);
	if (r == -EAGAIN)
		r = process_wait_gone(fd, deadline, err);
	else if (r < 0)
		return error_set(err, -r, "kill the VM's monitor %d", state->monitor.pid);
	/* When it was our own child it is ours to reap. */
	waitpid(state->monitor.pid, NULL, WNOHANG);
	return r;
}
