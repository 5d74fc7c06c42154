/*
 * The monitor's life: see monitor.h. Called by main in the process that kata-runtime cloned into a
 * new pid namespace. Plain blocking code; one poll() waits for the runtime, for the children, for
 * what the worker parks, for orders of root, who connects to monitor.sock, and for the worker's
 * unit.
 */
#include "kata-proxy/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/launch.h"
#include "common/log.h"
#include "common/process.h"
#include "common/privsep.h"
#include "common/str.h"
#include "common/wire.h"
#include "kata-proxy/crashes.h"
#include "kata-proxy/monitor-root.h"
#include "kata-proxy/park.h"
#include "kata-proxy/vm.h"

enum {
	LAUNCH_MS = 10000, /* for LAUNCH to come */
	CONTROL_MS = 5000, /* for the rest of a message whose start has come */
	FAREWELL_MS = 500, /* for the worker to tell its clients, and for a death behind a death */
	ORDER_MS = 1000,   /* for root's order to come, once connected */
	AGAIN_MS = 50,     /* until the next try to start a worker */
	UNIT_MS = 10000,   /* for the worker's unit to connect, at first or again */
};

enum outcome { RUNNING, UNDONE, OPERATOR, DIED };

struct monitor {
	struct vm vm;
	struct crashes crashes;
	int control;        /* to the runtime, -1 once committed */
	int signals;        /* signalfd */
	int64_t restart_at; /* when a worker is to be started; 0: one runs */
	int64_t unit_until; /* when its unit must be there; 0: it is, or there is none */
	bool gave_up;       /* it crashed too often */
	bool told;          /* SIGTERM came */
	uint64_t oom_kills; /* in the VM's cgroup before it began */
};

static int receive_launch(struct monitor *m, struct error *err)
{
	enum msg_type type;
	int fds[VM_FD_COUNT];
	size_t count;
	void *body;
	int r;

	r = fdpass_receive(m->control, &type, &body, fds, ARRAY_SIZE(fds), &count,
			   deadline_in_ms(LAUNCH_MS), err);
	if (r < 0)
		return r;
	if (type == MSG_LAUNCH)
		return vm_take(&m->vm, body, fds, count, err);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	r = error_say(err, EBADMSG, "%s came instead of LAUNCH", wire_name(type));
	wire_free(type, body);
	return r;
}

/*
 * How many processes of the VM's cgroup the host's kernel has killed for want of memory: "oom_kill
 * N" in memory.events or memory.oom_control. Where systemd made the cgroup it goes with the last
 * process in it, and only we can tell.
 */
static uint64_t count_oom_kills(const struct monitor *m)
{
	static const char word[] = "oom_kill ";
	char text[512];
	ssize_t n = pread(m->vm.fds[VM_FD_OOM], text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	for (const char *line = text; *line != '\0';
	     line += strcspn(line, "\n"), line += *line != '\0')
		if (str_starts(line, word))
			return strtoull(line + sizeof(word) - 1, NULL, 10);
	return 0;
}

static int launch(struct monitor *m, struct error *err)
{
	CLEANUP(fd_close) int self = -1;
	int r;

	if (getpid() != 1)
		return error_say(err, EINVAL, "the monitor is process 1 of a pid namespace only");
	r = privsep_begin(PRIVSEP_MONITOR, err);
	if (r == 0)
		r = m->signals = process_watch(err);
	if (r >= 0)
		r = receive_launch(m, err);
	if (r < 0)
		return r;
	m->oom_kills = count_oom_kills(m);
	log_start("monitor", START_FD_LOG, m->vm.launch->debug ? LOG_DEBUG : LOG_INFO);
	log_context(m->vm.launch->sandbox, NULL, NULL);
	self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (self < 0)
		return error_set(err, errno, "open the own program");
	r = privsep_place_program(self, err);
	if (r < 0)
		return r;
	m->vm.self = PRIVSEP_FD_PROGRAM;
	r = monitor_root_enter(m->vm.launch->kvm_gid != 0, err);
	if (r == 0)
		r = vm_start(&m->vm, err);
	if (r == 0 && vm_awaits_unit(&m->vm))
		m->restart_at = deadline_in_ms(AGAIN_MS);
	if (r == 0)
		r = fdpass_send(m->control, MSG_LAUNCHED, NULL, NULL, 0, deadline_in_ms(CONTROL_MS),
				err);
	return r;
}

/* The runtime's word: COMMIT cuts the tie to it, its end before that undoes everything. */
static enum outcome serve_control(struct monitor *m)
{
	struct error err;
	int r;

	r = fdpass_expect(m->control, MSG_COMMIT, NULL, deadline_in_ms(CONTROL_MS), &err);
	if (r == 0)
		r = fdpass_send(m->control, MSG_DONE, NULL, NULL, 0, deadline_in_ms(CONTROL_MS),
				&err);
	if (r < 0) {
		log_warning("the sandbox is undone", KV_ERR(&err));
		return UNDONE;
	}
	fd_close(&m->control);
	log_info("the sandbox is committed");
	return RUNNING;
}

static void reap(struct monitor *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		vm_reaped(&m->vm, pid, status);
}

static bool worker_crashed(const struct monitor *m)
{
	const struct vm_child *worker = &m->vm.children[VM_WORKER];

	return worker->ended && worker->status != 0;
}

/* Who is to blame for the VM's end, if it has ended: a worker can be replaced. */
static enum vm_process dead(const struct monitor *m)
{
	enum vm_process first = vm_first_ended(&m->vm);

	return first == VM_WORKER && m->restart_at != 0 ? VM_PROCESS_COUNT : first;
}

/* Notes who ended and what was asked for. */
static void read_signals(struct monitor *m)
{
	struct signalfd_siginfo info;

	while (read(m->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGTERM)
			m->told = true;
	reap(m);
}

/* Waits, FAREWELL_MS at most, until the process has ended. */
static void await_end(struct monitor *m, enum vm_process process)
{
	int64_t deadline = deadline_in_ms(FAREWELL_MS);

	while (!m->vm.children[process].ended && deadline_left_ms(deadline) > 0) {
		struct pollfd p[] = { { .fd = m->signals, .events = POLLIN },
				      { .fd = m->vm.unit, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), deadline_left_ms(deadline)) <= 0)
			continue;
		read_signals(m);
		if (p[1].revents != 0)
			vm_read_unit(&m->vm);
	}
}

/* Starts a worker in place of the one that ended. What does not go now is tried again. */
static enum outcome restart(struct monitor *m)
{
	struct error err;
	int r = vm_restart_worker(&m->vm, &err);

	m->restart_at = r == -EAGAIN ? deadline_in_ms(AGAIN_MS) : 0;
	if (!vm_awaits_unit(&m->vm))
		m->unit_until = 0;
	else if (m->unit_until == 0)
		m->unit_until = deadline_in_ms(UNIT_MS);
	else if (deadline_left_ms(m->unit_until) == 0)
		r = -ETIMEDOUT;
	if (r == 0)
		log_info("another worker runs", KV("worker", m->vm.children[VM_WORKER].pid));
	if (r == 0 || r == -EAGAIN)
		return RUNNING;
	/* Most likely QEMU is ending: then its end is the cause. */
	log_warning("no worker could be started", KV_ERR(&err));
	await_end(m, VM_QEMU);
	vm_give_up_worker(&m->vm);
	return DIED;
}

/* The worker crashed. Clients and agent do not lose anything by it, if another one comes. */
static enum outcome replace_worker(struct monitor *m)
{
	char cause[64];

	vm_cause_text(&m->vm, VM_WORKER, cause, sizeof(cause));
	vm_take_parked(&m->vm);
	/* Nobody would notice what the sanitizer that ended it had to say. */
	if (SANITIZED && WIFEXITED(m->vm.children[VM_WORKER].status))
		return DIED;
	if (!crashes_note(&m->crashes, m->vm.launch->worker_crashes, deadline_now_ms())) {
		m->gave_up = true;
		return DIED;
	}
	log_warning("the worker crashed", KV_S("cause", cause));
	return restart(m);
}

static enum outcome serve_signals(struct monitor *m)
{
	read_signals(m);
	if (dead(m) == VM_WORKER && worker_crashed(m) && !m->told)
		return replace_worker(m);
	if (dead(m) != VM_PROCESS_COUNT)
		return DIED;
	return m->told ? OPERATOR : RUNNING;
}

/* --- orders of root --------------------------------------------------------------------------- */

/* Ends the worker and starts the program given in its place, or again the one before. */
static int change_worker(struct monitor *m, int program, struct error *err)
{
	int old = m->vm.self, r;

	if (!m->vm.children[VM_WORKER].ended)
		vm_kill_worker(&m->vm);
	await_end(m, VM_WORKER);
	if (!m->vm.children[VM_WORKER].ended)
		return error_say(err, ETIMEDOUT, "the worker does not end");
	vm_take_parked(&m->vm);
	m->vm.self = program;
	r = vm_restart_worker(&m->vm, err);
	if (r == 0) {
		close(old);
		m->restart_at = 0;
		m->unit_until = 0;
		log_info("the worker was started again",
			 KV("worker", m->vm.children[VM_WORKER].pid));
		return 0;
	}
	m->vm.self = old;
	m->restart_at = deadline_now_ms();
	return r;
}

static int receive_order(int connection, int *ret_program, struct error *err)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	enum msg_type type;
	int program = -1;
	size_t count;
	void *body;
	int r;

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != 0)
		return error_say(err, EPERM, "orders are root's to give");
	r = fdpass_receive(connection, &type, &body, &program, 1, &count, deadline_in_ms(ORDER_MS),
			   err);
	if (r < 0)
		return r;
	wire_free(type, body);
	if (type == MSG_RESTART && count == 1) {
		*ret_program = program;
		return 0;
	}
	fd_close(&program);
	return error_say(err, EBADMSG, "%s with %zu descriptors is no order", wire_name(type),
			 count);
}

static void serve_order(struct monitor *m)
{
	CLEANUP(fd_close)
	int connection = accept4(m->vm.fds[VM_FD_MONITOR], NULL, NULL, SOCK_CLOEXEC);
	CLEANUP(fd_close) int program = -1;
	struct error err;
	int r;

	if (connection < 0)
		return;
	r = receive_order(connection, &program, &err);
	if (r == 0)
		r = change_worker(m, program, &err);
	if (r == 0) {
		program = -1; /* it is the monitor's now */
		r = fdpass_send(connection, MSG_DONE, NULL, NULL, 0, deadline_in_ms(ORDER_MS),
				&err);
	}
	if (r < 0) {
		log_warning("an order was not carried out", KV_ERR(&err));
		fdpass_send_error(connection, &err);
	}
}

/* --- the wait --------------------------------------------------------------------------------- */

/* The wait without an end: the monitor lives as long as its VM. */
static enum outcome watch(struct monitor *m)
{
	enum outcome outcome = RUNNING;

	while (outcome == RUNNING) {
		struct pollfd p[] = {
			{ .fd = m->signals, .events = POLLIN },
			{ .fd = m->control, .events = POLLIN },
			{ .fd = m->vm.park, .events = POLLIN },
			{ .fd = m->vm.fds[VM_FD_MONITOR], .events = POLLIN },
			{ .fd = m->vm.unit, .events = POLLIN },
			{ .fd = vm_awaits_unit(&m->vm) ? m->vm.fds[VM_FD_UNIT] : -1,
			  .events = POLLIN },
		};
		int wait = m->restart_at != 0 ? deadline_left_ms(m->restart_at) : -1;

		if (poll(p, ARRAY_SIZE(p), wait) < 0 && errno != EINTR)
			return UNDONE;
		if (p[0].revents != 0)
			outcome = serve_signals(m);
		if (outcome == RUNNING && p[1].revents != 0)
			outcome = serve_control(m);
		if (p[2].revents != 0)
			vm_take_parked(&m->vm);
		if (p[4].revents != 0)
			vm_read_unit(&m->vm);
		if (p[5].revents != 0)
			vm_accept_unit(&m->vm);
		if (outcome == RUNNING && p[3].revents != 0)
			serve_order(m);
		if (outcome == RUNNING)
			outcome = serve_signals(m); /* what came while an order was served */
		if (outcome == RUNNING && m->restart_at != 0 &&
		    deadline_left_ms(m->restart_at) == 0)
			outcome = restart(m);
	}
	return outcome;
}

/* Keeps the cause where the runtime finds it, and lets the worker tell its clients. */
static void tell_cause(struct monitor *m, const char *cause)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%s\n", cause);

	if (write(m->vm.fds[VM_FD_CAUSE], line, (size_t)n) != n)
		log_error("the cause of death was not written", KV_S("cause", cause));
	if (m->vm.children[VM_WORKER].ended)
		return;
	if (write(m->vm.cause_pipe, line, (size_t)n) == n)
		await_end(m, VM_WORKER);
}

/* Adds to a text as much as there is room for. */
static __attribute__((format(printf, 4, 5))) void add_text(char *text, size_t size, size_t *used,
							   const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text + *used, size - *used, fmt, args);
	va_end(args);
	*used += n > 0 ? (size_t)n : 0;
	*used = *used < size ? *used : size - 1;
}

/* After the cause: the worker's last words, the guest's last lines, and who ended when. */
static void tell_rest(struct monitor *m, enum vm_process first)
{
	char text[PARK_WORDS_SIZE + 1024], one[64], *words = m->vm.said.words;
	const char *kind = "reason";
	uint64_t oom_kills = count_oom_kills(m);
	size_t used = 0;
	int64_t ms;

	if (oom_kills > m->oom_kills)
		add_text(text, sizeof(text), &used, "host oom %" PRIu64 "\n",
			 oom_kills - m->oom_kills);
	vm_take_parked(&m->vm);
	while (words != NULL && words[0] != '\0') {
		add_text(text, PARK_WORDS_SIZE + 512, &used, "%s %s\n", kind, strsep(&words, "\n"));
		kind = "console";
	}
	if (used > 0)
		text[used - 1] = '\n';
	for (enum vm_process i = 0; i < VM_PROCESS_COUNT; i++) {
		if (i == first || !m->vm.children[i].ended)
			continue;
		vm_cause_text(&m->vm, i, one, sizeof(one));
		ms = m->vm.children[i].ended_ms - m->vm.children[first].ended_ms;
		add_text(text, sizeof(text), &used, "then %s %lld ms %s\n", one,
			 (long long)(ms < 0 ? -ms : ms), ms < 0 ? "before that" : "later");
	}
	if (used > 0 && write(m->vm.fds[VM_FD_CAUSE], text, used) != (ssize_t)used)
		log_warning("the order of ends was not written");
}

/* A child ended: finds the one to blame, tells, and returns the exit status. */
static int mourn(struct monitor *m)
{
	enum vm_process process = vm_first_ended(&m->vm);
	char cause[128];
	struct error err;
	bool well;

	/* A worker or virtiofsd that ends well has seen its link end: QEMU's end is behind it. */
	if (process != VM_QEMU && m->vm.children[process].status == 0) {
		await_end(m, VM_QEMU);
		process = vm_first_ended(&m->vm);
	}
	well = process == VM_QEMU && m->vm.children[VM_QEMU].status == 0;
	vm_cause_text(&m->vm, process, cause, sizeof(cause));
	if (process == VM_WORKER && m->gave_up)
		snprintf(cause + strlen(cause), sizeof(cause) - strlen(cause),
			 ", crash %" PRIu64 " in %d s", m->crashes.count, CRASHES_WINDOW_MS / 1000);
	else if (process == VM_WORKER && vm_awaits_unit(&m->vm))
		str_format(cause, sizeof(cause), "worker, whose unit is not there");
	if (well)
		log_info("the VM ended", KV_S("cause", cause));
	else
		log_error("the VM ended", KV_S("cause", cause));
	if (m->control >= 0) {
		error_say(&err, ENOTCONN, "the VM ended: %s", cause);
		fdpass_send_error(m->control, &err);
	}
	tell_cause(m, cause);
	tell_rest(m, process);
	return well ? 0 : 1;
}

/* From LAUNCH to the end: the exit status. */
static int live(struct monitor *m)
{
	struct error err = { 0 };

	if (launch(m, &err) < 0) {
		log_error("the VM was not started", KV_ERR(&err));
		fdpass_send_error(m->control, &err);
		return 1;
	}
	log_info("the VM's processes run", KV("qemu", m->vm.children[VM_QEMU].pid),
		 KV("virtiofsd", m->vm.children[VM_VIRTIOFSD].pid),
		 KV("worker", m->vm.children[VM_WORKER].pid));
	switch (watch(m)) {
	case DIED:
		return mourn(m);
	case OPERATOR:
		log_info("the VM is ended by SIGTERM");
		tell_cause(m, "operator");
		return 0;
	case UNDONE:
	case RUNNING:
		break;
	}
	return 1;
}

int monitor_run(const char *sandbox)
{
	struct monitor m = { .control = START_FD_CONTROL, .signals = -1 };
	int status;

	log_start("monitor", START_FD_LOG, LOG_INFO);
	log_context(sandbox, NULL, NULL);
	vm_init(&m.vm);
	status = live(&m);
	vm_fini(&m.vm);
	fd_close(&m.control);
	fd_close(&m.signals);
	return status;
}
