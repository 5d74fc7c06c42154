/*
 * LAUNCH's contents and the start of a VM's processes: see vm.h. Called by monitor.c in the
 * monitor process; the descriptors here are its only ones. Those of QEMU and virtiofsd are closed
 * as soon as these have them, so that an end of file means what it should; a worker's are kept for
 * the next one, but for the connection to the agent's port, whose end the guest must see.
 */
#include "kata-proxy/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/launch.h"
#include "common/log.h"
#include "common/privsep.h"
#include "common/str.h"
#include "common/wire.h"
#include "kata-proxy/monitor-root.h"
#include "kata-proxy/park.h"
#include "kata-proxy/spawn.h"
#include "kata-proxy/unit-link.h"
#include "kata-proxy/vsock-link.h"

enum { NOTES_MAX = 16 };

static const struct {
	const char *name;
	bool needed;
} fd_table[VM_FD_NET] = {
	[VM_FD_QEMU] = { LAUNCH_QEMU, true },
	[VM_FD_VIRTIOFSD] = { LAUNCH_VIRTIOFSD, false },
	[VM_FD_KERNEL] = { LAUNCH_KERNEL, true },
	[VM_FD_INITRD] = { LAUNCH_INITRD, true },
	[VM_FD_QMP] = { LAUNCH_QMP, true },
	[VM_FD_CLIENTS] = { LAUNCH_CLIENTS, true },
	[VM_FD_MONITOR] = { LAUNCH_MONITOR, false },
	[VM_FD_UNIT] = { LAUNCH_UNIT, false },
	[VM_FD_SLOT] = { LAUNCH_SLOT, false },
	[VM_FD_CAUSE] = { LAUNCH_CAUSE, true },
	[VM_FD_OOM] = { LAUNCH_OOM, false },
	[VM_FD_VSOCK] = { LAUNCH_VSOCK, false },
	[VM_FD_VSOCK_LISTENING] = { LAUNCH_VSOCK_LISTENING, false },
	[VM_FD_LOG_AGENT] = { LAUNCH_LOG_AGENT, false },
	[VM_FD_LOG_CONSOLE] = { LAUNCH_LOG_CONSOLE, false },
	[VM_FD_LOG_QEMU] = { LAUNCH_LOG_QEMU, false },
	[VM_FD_LOG_VIRTIOFSD] = { LAUNCH_LOG_VIRTIOFSD, false },
};

static const char *const process_names[VM_PROCESS_COUNT] = {
	[VM_QEMU] = "qemu",
	[VM_VIRTIOFSD] = "virtiofsd",
	[VM_WORKER] = "worker",
};

/* What the VM's processes share with each other and a worker, while they are started. */
struct links {
	int vhost_listening, vhost_connected; /* virtiofsd's, QEMU's */
	int agent_qemu, agent_worker;         /* of the agent's link */
	int vsock_state;                      /* what a worker leaves to the next */
	int console_qemu, console_worker;
	int qemu_stderr[2], virtiofsd_stderr[2], cause[2]; /* read end, write end */
};

void vm_init(struct vm *vm)
{
	*vm = (struct vm){ .self = -1, .cause_pipe = -1, .park = -1, .unit = -1 };
	for (size_t i = 0; i < VM_FD_COUNT; i++)
		vm->fds[i] = -1;
	for (size_t i = 0; i < WORKER_FD_COUNT; i++)
		vm->worker_fds[i] = -1;
}

void vm_fini(struct vm *vm)
{
	wire_free(MSG_LAUNCH, vm->launch);
	vm->launch = NULL;
	for (size_t i = 0; i < VM_FD_COUNT; i++)
		fd_close(&vm->fds[i]);
	for (size_t i = 0; i < WORKER_FD_COUNT; i++)
		fd_close(&vm->worker_fds[i]);
	fd_close(&vm->self);
	fd_close(&vm->cause_pipe);
	fd_close(&vm->park);
	fd_close(&vm->unit);
}

/* The place of "net3" behind that of "net0"; VM_FD_COUNT when name is no such thing. */
static size_t find_numbered(const char *name, const char *start, size_t first)
{
	uint64_t number;

	if (!str_starts(name, start) ||
	    str_to_u64(name + strlen(start), LAUNCH_NET_FDS - 1, &number) < 0)
		return VM_FD_COUNT;
	return first + (size_t)number;
}

static size_t find_name(const char *name)
{
	size_t at;

	for (size_t i = 0; i < ARRAY_SIZE(fd_table); i++)
		if (str_eq(fd_table[i].name, name))
			return i;
	at = find_numbered(name, LAUNCH_NET, VM_FD_NET);
	return at < VM_FD_COUNT ? at : find_numbered(name, LAUNCH_VHOST, VM_FD_VHOST);
}

/* Stores the descriptors by name; those that are not stored are closed. */
static int take_fds(struct vm *vm, const int *fds, size_t count, struct error *err)
{
	const struct msg_launch *launch = vm->launch;
	int r = 0;

	if (launch->n_fds != count)
		r = error_say(err, EBADMSG, "LAUNCH names %u descriptors, %zu came", launch->n_fds,
			      count);
	for (size_t i = 0; i < count; i++) {
		size_t at = r == 0 ? find_name(launch->fds[i].name) : VM_FD_COUNT;

		if (r == 0 && (at == VM_FD_COUNT || vm->fds[at] >= 0))
			r = error_say(err, EBADMSG, "LAUNCH's descriptor %s is %s",
				      launch->fds[i].name,
				      at == VM_FD_COUNT ? "unknown" : "there twice");
		if (r == 0)
			vm->fds[at] = fds[i];
		else
			close(fds[i]);
	}
	return r;
}

int vm_take(struct vm *vm, struct msg_launch *launch, const int *fds, size_t count,
	    struct error *err)
{
	int r;

	vm->launch = launch;
	r = take_fds(vm, fds, count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(fd_table); i++)
		if (vm->fds[i] < 0 && fd_table[i].needed)
			return error_say(err, EBADMSG, "LAUNCH has no descriptor %s",
					 fd_table[i].name);
	if (launch->qemu_args.count == 0)
		return error_say(err, EBADMSG, "LAUNCH has no arguments for QEMU");
	if (launch->virtiofsd_args.count > 0 && vm->fds[VM_FD_VIRTIOFSD] < 0)
		return error_say(err, EBADMSG, "LAUNCH has no descriptor %s", LAUNCH_VIRTIOFSD);
	if (launch->link == LAUNCH_LINK_VHOST_VSOCK &&
	    (vm->fds[VM_FD_VSOCK] < 0 || vm->fds[VM_FD_VSOCK_LISTENING] < 0 || launch->cid == 0))
		return error_say(err, EBADMSG, "LAUNCH has no CID or descriptors for vhost-vsock");
	if (launch->uid_base == 0)
		return error_say(err, EBADMSG, "LAUNCH's uid block begins with root");
	return 0;
}

static void links_close(struct links *links)
{
	fd_close(&links->vhost_listening);
	fd_close(&links->vhost_connected);
	fd_close(&links->agent_qemu);
	fd_close(&links->agent_worker);
	fd_close(&links->vsock_state);
	fd_close(&links->console_qemu);
	fd_close(&links->console_worker);
	for (int i = 0; i < 2; i++) {
		fd_close(&links->qemu_stderr[i]);
		fd_close(&links->virtiofsd_stderr[i]);
		fd_close(&links->cause[i]);
	}
}

static int make_pair(int *ret_one, int *ret_other, const char *whose, struct error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "make %s socket pair", whose);
	*ret_one = pair[0];
	*ret_other = pair[1];
	return 0;
}

/* The agent's link: a port whose socket QEMU listens at, or vhost-user between both. */
static int make_agent_link(struct links *links, struct vm *vm, struct error *err)
{
	if (vm->launch->link == LAUNCH_LINK_VHOST_VSOCK) {
		links->agent_qemu = steal_fd(&vm->fds[VM_FD_VSOCK]);
		links->agent_worker = steal_fd(&vm->fds[VM_FD_VSOCK_LISTENING]);
		return 0;
	}
	if (vm->launch->link == LAUNCH_LINK_VHOST_USER_VSOCK) {
		links->vsock_state = vsock_link_make_state(err);
		if (links->vsock_state < 0)
			return links->vsock_state;
		return make_pair(&links->agent_qemu, &links->agent_worker, "the vsock device's",
				 err);
	}
	links->agent_qemu = monitor_root_listen_agent(vm->launch->uid_base + UID_PROXY, err);
	if (links->agent_qemu < 0)
		return links->agent_qemu;
	/* Connected before QEMU runs: if that dies at once, its own words are the error. */
	links->agent_worker = monitor_root_connect_agent(err);
	return links->agent_worker < 0 ? links->agent_worker : 0;
}

static int links_make(struct links *links, struct vm *vm, struct error *err)
{
	int r = 0;

	*links = (struct links){ -1, -1, -1, -1, -1, -1, -1, { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if (vm->launch->virtiofsd_args.count > 0)
		r = monitor_root_vhost_user(&links->vhost_listening, &links->vhost_connected, err);
	if (r < 0)
		return r;
	r = make_agent_link(links, vm, err);
	if (r == 0)
		r = make_pair(&links->console_qemu, &links->console_worker, "the console's", err);
	if (r < 0)
		return r;
	if (pipe2(links->qemu_stderr, O_CLOEXEC) < 0 ||
	    pipe2(links->virtiofsd_stderr, O_CLOEXEC) < 0 || pipe2(links->cause, O_CLOEXEC) < 0)
		return error_set(err, errno, "make a pipe");
	return 0;
}

static int start_virtiofsd(struct vm *vm, struct links *links, struct error *err)
{
	struct spawn spawn = {
		.name = "virtiofsd",
		.row = vm->launch->share_mknod ? PRIVSEP_VIRTIOFSD_MKNOD : PRIVSEP_VIRTIOFSD,
		.program = vm->fds[VM_FD_VIRTIOFSD],
		.args = vm->launch->virtiofsd_args.items,
		.seccomp_log = vm->launch->seccomp_log,
	};

	if (vm->launch->virtiofsd_args.count == 0)
		return 0;
	spawn_pass(&spawn, links->virtiofsd_stderr[1], 2);
	spawn_pass(&spawn, links->vhost_listening, LAUNCH_FD_VHOST_USER);
	return spawn_start(&spawn, &vm->children[VM_VIRTIOFSD].pid, err);
}

static int start_qemu(struct vm *vm, struct links *links, struct error *err)
{
	struct spawn spawn = {
		.name = "QEMU",
		.row = PRIVSEP_QEMU,
		.program = vm->fds[VM_FD_QEMU],
		.args = vm->launch->qemu_args.items,
		.uid = vm->launch->uid_base + UID_QEMU,
		.kvm_gid = vm->launch->kvm_gid,
		.seccomp_log = vm->launch->seccomp_log,
	};

	spawn_pass(&spawn, links->qemu_stderr[1], 2);
	spawn_pass(&spawn, vm->fds[VM_FD_QMP], LAUNCH_FD_QMP);
	spawn_pass(&spawn, links->agent_qemu, LAUNCH_FD_AGENT);
	spawn_pass(&spawn, links->console_qemu, LAUNCH_FD_CONSOLE);
	spawn_pass(&spawn, links->vhost_connected, LAUNCH_FD_VIRTIOFS);
	spawn_pass(&spawn, vm->fds[VM_FD_KERNEL], LAUNCH_FD_KERNEL);
	spawn_pass(&spawn, vm->fds[VM_FD_INITRD], LAUNCH_FD_INITRD);
	for (int i = 0; i < LAUNCH_NET_FDS; i++) {
		spawn_pass(&spawn, vm->fds[VM_FD_NET + i], LAUNCH_FD_NET + i);
		spawn_pass(&spawn, vm->fds[VM_FD_VHOST + i], LAUNCH_FD_VHOST + i);
	}
	return spawn_start(&spawn, &vm->children[VM_QEMU].pid, err);
}

static bool has_unit(const struct vm *vm)
{
	return vm->fds[VM_FD_UNIT] >= 0;
}

/* A unit that does not do it is let go of, and comes again: nobody knows what it has begun. */
static int order_worker(struct vm *vm, const struct spawn *spawn, struct error *err)
{
	int r = unit_link_start(vm->unit, spawn, err);

	if (r == 0)
		return 0;
	log_warning("the worker's unit did not start it", KV_ERR(err));
	fd_close(&vm->unit);
	return -EAGAIN;
}

/* Starts a worker; the connection to the agent's port is its own from then on. */
static int start_worker(struct vm *vm, int *link, struct error *err)
{
	char *args[WORKER_ARGS_MAX + 1];
	struct spawn spawn = {
		.name = "the worker",
		.row = PRIVSEP_WORKER,
		.program = vm->self,
		.args = args,
	};
	pid_t pid = 0;
	int r;

	r = park_send_key(vm->park, vm->key, err);
	if (r < 0)
		return r;
	worker_args(vm->launch, has_unit(vm), args);
	spawn_pass(&spawn, *link, WORKER_FD_AGENT);
	for (int i = 0; i < WORKER_FD_COUNT; i++)
		spawn_pass(&spawn, vm->worker_fds[i], i);
	r = has_unit(vm) ? order_worker(vm, &spawn, err) : spawn_start(&spawn, &pid, err);
	fd_close(link);
	if (r == 0)
		vm->children[VM_WORKER] = (struct vm_child){ .pid = pid };
	return r;
}

int vm_restart_worker(struct vm *vm, struct error *err)
{
	CLEANUP(fd_close) int link = -1;

	if (vm_awaits_unit(vm))
		return error_say(err, EAGAIN, "the worker's unit is not there");
	/* QEMU makes no other socket for a vsock device, and a port may be listened at once. */
	if (vm->launch->link != LAUNCH_LINK_VIRTIO_SERIAL)
		return start_worker(vm, &link, err);
	link = monitor_root_connect_agent(err);
	return link < 0 ? link : start_worker(vm, &link, err);
}

void vm_take_parked(struct vm *vm)
{
	char line[PARK_NOTE_SIZE + 8];
	int n;

	park_take(vm->park, &vm->worker_fds[WORKER_FD_PARKED], &vm->said);
	if (vm->said.note[0] == '\0' || vm->notes >= NOTES_MAX)
		return;
	vm->notes++;
	n = snprintf(line, sizeof(line), "oom %s\n", vm->said.note);
	vm->said.note[0] = '\0';
	if (write(vm->fds[VM_FD_CAUSE], line, (size_t)n) != n)
		log_warning("a note was not written");
}

/* Keeps what every worker is started with. */
static int keep_for_workers(struct vm *vm, struct links *links, struct error *err)
{
	int *fds = vm->worker_fds;
	int r = park_open(&vm->park, &fds[WORKER_FD_PARK], err);

	if (r < 0)
		return r;
	if (getrandom(vm->key, sizeof(vm->key), 0) != (ssize_t)sizeof(vm->key))
		return error_set(err, errno, "make the link's key");
	fds[WORKER_FD_LOG] = fcntl(START_FD_LOG, F_DUPFD_CLOEXEC, START_FD_LOG + 1);
	if (fds[WORKER_FD_LOG] < 0)
		return error_set(err, errno, "copy the log's descriptor");
	if (vm->launch->link != LAUNCH_LINK_VIRTIO_SERIAL)
		fds[WORKER_FD_AGENT] = steal_fd(&links->agent_worker);
	fds[WORKER_FD_PARKED + VSOCK_SLOT_STATE] = steal_fd(&links->vsock_state);
	fds[WORKER_FD_CLIENTS] = steal_fd(&vm->fds[VM_FD_CLIENTS]);
	fds[WORKER_FD_CONSOLE] = steal_fd(&links->console_worker);
	fds[WORKER_FD_QEMU_STDERR] = steal_fd(&links->qemu_stderr[0]);
	fds[WORKER_FD_VIRTIOFSD_STDERR] = steal_fd(&links->virtiofsd_stderr[0]);
	fds[WORKER_FD_LOG_AGENT] = steal_fd(&vm->fds[VM_FD_LOG_AGENT]);
	fds[WORKER_FD_LOG_CONSOLE] = steal_fd(&vm->fds[VM_FD_LOG_CONSOLE]);
	fds[WORKER_FD_LOG_QEMU] = steal_fd(&vm->fds[VM_FD_LOG_QEMU]);
	fds[WORKER_FD_LOG_VIRTIOFSD] = steal_fd(&vm->fds[VM_FD_LOG_VIRTIOFSD]);
	fds[WORKER_FD_CAUSE] = steal_fd(&links->cause[0]);
	vm->cause_pipe = steal_fd(&links->cause[1]);
	return 0;
}

/* Closes what QEMU and virtiofsd have: virtiofsd ends with QEMU only if nobody else holds it. */
static void close_given(struct vm *vm, struct links *links)
{
	fd_close(&links->vhost_listening);
	fd_close(&links->vhost_connected);
	fd_close(&links->agent_qemu);
	fd_close(&links->console_qemu);
	fd_close(&links->qemu_stderr[1]);
	fd_close(&links->virtiofsd_stderr[1]);
	fd_close(&vm->fds[VM_FD_QEMU]);
	fd_close(&vm->fds[VM_FD_VIRTIOFSD]);
	fd_close(&vm->fds[VM_FD_KERNEL]);
	fd_close(&vm->fds[VM_FD_INITRD]);
	fd_close(&vm->fds[VM_FD_QMP]);
	for (int i = 0; i < LAUNCH_NET_FDS; i++) {
		fd_close(&vm->fds[VM_FD_NET + i]);
		fd_close(&vm->fds[VM_FD_VHOST + i]);
	}
}

int vm_start(struct vm *vm, struct error *err)
{
	uid_t uid = vm->launch->uid_base + UID_PROXY;
	CLEANUP(links_close) struct links links;
	int r;

	r = links_make(&links, vm, err);
	if (r == 0)
		r = monitor_root_seal(err);
	if (r == 0)
		r = start_virtiofsd(vm, &links, err);
	if (r == 0)
		r = start_qemu(vm, &links, err);
	if (r < 0)
		return r;
	close_given(vm, &links);
	r = monitor_root_leave(err);
	if (r == 0)
		r = privsep_limit(PRIVSEP_MONITOR, err);
	if (r == 0)
		r = privsep_drop(uid, uid, NULL, 0, err);
	if (r == 0)
		r = privsep_finish(PRIVSEP_MONITOR, uid, vm->launch->seccomp_log, err);
	if (r == 0)
		r = keep_for_workers(vm, &links, err);
	return r < 0 || has_unit(vm) ? r : start_worker(vm, &links.agent_worker, err);
}

static void note_end(struct vm_child *child, int status)
{
	if (child->ended)
		return;
	child->ended = true;
	child->status = status;
	child->ended_ms = deadline_now_ms();
}

void vm_reaped(struct vm *vm, pid_t pid, int status)
{
	for (size_t i = 0; i < VM_PROCESS_COUNT; i++)
		if (vm->children[i].pid == pid)
			note_end(&vm->children[i], status);
}

void vm_kill_worker(const struct vm *vm)
{
	if (vm->children[VM_WORKER].pid != 0)
		kill(vm->children[VM_WORKER].pid, SIGKILL);
	else if (vm->unit >= 0)
		unit_link_stop(vm->unit);
}

bool vm_awaits_unit(const struct vm *vm)
{
	return has_unit(vm) && vm->unit < 0;
}

void vm_accept_unit(struct vm *vm)
{
	int connection = accept4(vm->fds[VM_FD_UNIT], NULL, NULL, SOCK_CLOEXEC);

	if (connection < 0)
		return;
	vm->unit = connection;
	log_info("the worker's unit is connected");
}

void vm_read_unit(struct vm *vm)
{
	int status = SIGKILL; /* what systemd does to the rest of a unit */
	struct error err;

	if (unit_link_read(vm->unit, &status, &err) < 0) {
		log_warning("the worker's unit has ended", KV_ERR(&err));
		fd_close(&vm->unit);
	}
	note_end(&vm->children[VM_WORKER], status);
}

void vm_give_up_worker(struct vm *vm)
{
	note_end(&vm->children[VM_WORKER], SIGKILL);
}

enum vm_process vm_first_ended(const struct vm *vm)
{
	enum vm_process i = VM_QEMU;

	while (i < VM_PROCESS_COUNT && !vm->children[i].ended)
		i++;
	return i;
}

void vm_cause_text(const struct vm *vm, enum vm_process process, char *text, size_t size)
{
	int status = vm->children[process].status;
	bool signal = WIFSIGNALED(status);

	snprintf(text, size, "%s %s %d", process_names[process], signal ? "signal" : "exited",
		 signal ? WTERMSIG(status) : WEXITSTATUS(status));
}
