/*
 * The worker's life: see worker.h. Called by main in the process that the monitor started, which
 * has no right already; one libuv loop with the router, four sources of text and a pipe from the
 * monitor. When the link ends the monitor is given a moment to say which process died, so that
 * clients and log hear the reason and not only that there is one.
 */
#include "kata-proxy/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/launch.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/privsep.h"
#include "common/str.h"
#include "kata-proxy/output.h"
#include "kata-proxy/park.h"
#include "kata-proxy/proxy.h"
#include "kata-proxy/vsock-link.h"
#include "kata-proxy/vsock-port.h"

enum {
	CAUSE_MS = 400,  /* from the link's end to the monitor's word */
	CLOSE_MS = 1000, /* for the loop to close what is closing */
	LARGE_BUFFER = 128 * 1024,
	DETAIL_MAX = 500,
	REASON_MAX = 1000,
	LINES_TOLD = 10,
	LINE_TOLD_MAX = 160,
};

#define CID_OPTION "--vhost-vsock="
#define SHIM_OPTION "--shim-uid="

/* How Linux begins its last words, and what it says when it kills for want of memory. */
#define PANIC "Kernel panic"
#define OOM "ut of memory: "
#define OOM_VICTIM "Killed process "
#define OOM_VICTIM_END " total-vm:"

struct worker {
	uv_loop_t loop;
	struct proxy proxy;
	struct vsock_link vsock;
	bool is_vsock; /* we are the guest's vsock device */
	uint32_t cid;  /* 0, or the guest dials our port from there */
	uid_t shim_uid;
	bool in_unit;           /* its uid is none of the block */
	struct vsock_port port; /* then */
	uint8_t key[FRAME_KEY];
	int parked[PARK_SLOTS];
	struct output console, qemu, virtiofsd;
	struct lines agent;         /* the agent's log records */
	enum log_level agent_level; /* of the one being given to lines */
	bool guest_debug;
	bool ready;          /* the agent said HELLO */
	uint64_t qemu_began; /* how many lines QEMU had printed by then */
	bool goodbye;        /* the agent announced the VM's end */
	bool over;           /* the VM has ended or is left */
	char link_error[DETAIL_MAX - 32];
	bool link_fault; /* the agent broke the protocol: more than a lost connection */
	char cause[128]; /* from the monitor, "" before */
	uv_poll_t cause_poll;
	uv_timer_t cause_timer;
	uv_signal_t term;
};

void worker_args(const struct msg_launch *launch, bool foreign, char *args[WORKER_ARGS_MAX + 1])
{
	static char program[] = "kata-proxy", worker[] = "worker";
	static char debug[] = "--debug", guest_debug[] = "--guest-debug";
	static char seccomp_log[] = "--seccomp-log";
	static char vsock[] = "--vhost-user-vsock", cid[sizeof(CID_OPTION) + 10];
	static char shim[sizeof(SHIM_OPTION) + 10];
	size_t n = 0;

	args[n++] = program;
	args[n++] = worker;
	args[n++] = launch->sandbox;
	if (launch->debug)
		args[n++] = debug;
	if (launch->guest_debug)
		args[n++] = guest_debug;
	if (launch->seccomp_log)
		args[n++] = seccomp_log;
	if (launch->link == LAUNCH_LINK_VHOST_USER_VSOCK)
		args[n++] = vsock;
	if (launch->link == LAUNCH_LINK_VHOST_VSOCK) {
		snprintf(cid, sizeof(cid), CID_OPTION "%u", launch->cid);
		args[n++] = cid;
	}
	if (foreign) {
		snprintf(shim, sizeof(shim), SHIM_OPTION "%u", launch->uid_base + UID_SHIM);
		args[n++] = shim;
	}
	args[n] = NULL;
}

/* --- the end ---------------------------------------------------------------------------------- */

/*
 * A line of a source as part of the reason: ": qemu: the line"; the last one, or from word on the
 * last one that holds it.
 */
static bool detail(char *ret, const char *who, const struct lines *lines, const char *word)
{
	char line[DETAIL_MAX - 32];
	const char *text;
	size_t len;

	text = word != NULL ? lines_find(lines, word, &len) : lines_last(lines, 0, &len);
	if (text == NULL)
		return false;
	if (word != NULL) {
		const char *at = memmem(text, len, word, strlen(word));

		len -= (size_t)(at - text);
		text = at;
	}
	lines_for_error(line, sizeof(line), text, len);
	snprintf(ret, DETAIL_MAX, ": %s: %s", who, line);
	return true;
}

/*
 * pvpanic made QEMU exit with 1, and to that it says nothing, whatever it may have warned of
 * before; or the console tells. A guest that only prints such words ends otherwise.
 */
static bool panicked(const struct worker *w)
{
	bool failed = str_eq(w->cause, "qemu exited 1");
	size_t len;

	if (failed && w->ready && w->qemu.lines.count == w->qemu_began)
		return true;
	return (failed || str_eq(w->cause, "qemu exited 0")) &&
	       lines_find(&w->console.lines, PANIC, &len) != NULL;
}

/* What was printed that tells most about the end; "" when nothing was. */
static void find_detail(const struct worker *w, char *ret)
{
	ret[0] = '\0';
	if (str_starts(w->cause, "virtiofsd") &&
	    detail(ret, "virtiofsd", &w->virtiofsd.lines, NULL))
		return;
	if (detail(ret, "console", &w->console.lines, PANIC) ||
	    (!panicked(w) && detail(ret, "qemu", &w->qemu.lines, NULL)))
		return;
	if (w->link_error[0] != '\0' && (w->cause[0] == '\0' || w->link_fault))
		snprintf(ret, DETAIL_MAX, ": %s", w->link_error);
}

/* The reason, and behind a panic the guest's last lines: for the file that tells the cause. */
static void say_why(const struct worker *w, const char *reason)
{
	char text[REASON_MAX + LINES_TOLD * (LINE_TOLD_MAX + 1)], line[LINE_TOLD_MAX];
	int n = snprintf(text, sizeof(text), "%s", reason);
	const char *kept;
	size_t len;

	for (unsigned i = panicked(w) ? LINES_TOLD : 0; i-- > 0;) {
		kept = lines_last(&w->console.lines, i, &len);
		if (kept == NULL)
			continue;
		str_escape(line, sizeof(line), kept, len);
		n += snprintf(text + n, sizeof(text) - (size_t)n, "\n%s", line);
	}
	park_say(WORKER_FD_PARK, text);
}

/* The guest powered off: announced, or it ran and QEMU ended well without a panic. */
static bool ended_well(const struct worker *w)
{
	size_t len;

	return w->goodbye || (w->ready && str_eq(w->cause, "qemu exited 0") &&
			      lines_find(&w->console.lines, PANIC, &len) == NULL);
}

static void end_loop(struct worker *w, const char *reason)
{
	proxy_end(&w->proxy, reason);
	if (w->is_vsock)
		vsock_link_close(&w->vsock);
	if (w->cid != 0)
		vsock_port_close(&w->port);
	output_close(&w->console);
	output_close(&w->qemu);
	output_close(&w->virtiofsd);
	uv_close((uv_handle_t *)&w->cause_poll, NULL);
	uv_close((uv_handle_t *)&w->cause_timer, NULL);
	uv_close((uv_handle_t *)&w->term, NULL);
}

/* The VM has ended, or is about to be ended by the monitor: says why and stops the loop. */
static void vm_over(struct worker *w)
{
	char text[DETAIL_MAX], reason[REASON_MAX];

	if (w->over)
		return;
	w->over = true;
	output_drain(&w->console);
	output_drain(&w->qemu);
	output_drain(&w->virtiofsd);
	if (str_eq(w->cause, "operator")) {
		snprintf(reason, sizeof(reason), "the VM was stopped");
		log_info("the VM was stopped");
	} else {
		find_detail(w, text);
		snprintf(reason, sizeof(reason), "the VM ended%s%s%s",
			 w->cause[0] != '\0' ? ": " : "", panicked(w) ? "guest panic" : w->cause,
			 text);
		if (ended_well(w))
			log_info("the VM ended", KV_S("reason", reason));
		else
			log_error("the VM ended unexpectedly", KV_S("reason", reason));
		if (!ended_well(w) && !w->guest_debug)
			output_tell_kept(&w->console);
	}
	say_why(w, reason);
	end_loop(w, reason);
}

static void on_cause_timer(uv_timer_t *timer)
{
	vm_over(timer->data);
}

/* The monitor writes one line, then it ends; its own end closes the pipe. */
static void on_cause(uv_poll_t *poll, int status, int events)
{
	struct worker *w = poll->data;
	ssize_t n = read(WORKER_FD_CAUSE, w->cause, sizeof(w->cause) - 1);

	(void)status;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	w->cause[n > 0 ? n : 0] = '\0';
	w->cause[strcspn(w->cause, "\n")] = '\0';
	vm_over(w);
}

static void on_term(uv_signal_t *handle, int signum)
{
	struct worker *w = handle->data;

	(void)signum;
	snprintf(w->cause, sizeof(w->cause), "operator");
	vm_over(w);
}

/* A line of the console: notes whom the guest's kernel killed for want of memory. */
static void on_console(struct output *console, const char *text, size_t len)
{
	const char *victim = memmem(text, len, OOM_VICTIM, strlen(OOM_VICTIM)), *end;
	char note[PARK_NOTE_SIZE / 2];

	if (victim == NULL || memmem(text, len, OOM, strlen(OOM)) == NULL)
		return;
	victim += strlen(OOM_VICTIM);
	len -= (size_t)(victim - text);
	end = memmem(victim, len, OOM_VICTIM_END, strlen(OOM_VICTIM_END));
	lines_for_error(note, sizeof(note), victim, end != NULL ? (size_t)(end - victim) : len);
	log_error("the guest is out of memory and killed a process", KV_S("victim", note));
	(void)console;
	park_note(WORKER_FD_PARK, note);
}

/* --- the router's events ---------------------------------------------------------------------- */

static void on_ready(struct proxy *proxy, const struct msg_hello *agent)
{
	struct worker *w = proxy->owner;

	w->ready = true;
	w->qemu_began = w->qemu.lines.count;
	log_info("the agent answers", KV_S("release", agent->release),
		 KV("version", agent->version));
}

static void on_agent_log(struct proxy *proxy, const struct msg_log *log)
{
	struct worker *w = proxy->owner;
	int64_t now = deadline_now_ms();

	if (log->level <= LOG_ERROR)
		w->agent_level = LOG_ERROR;
	else if (log->level == LOG_WARNING)
		w->agent_level = LOG_WARNING;
	else if (log->level <= LOG_INFO || w->guest_debug)
		w->agent_level = LOG_INFO;
	else
		w->agent_level = LOG_DEBUG;
	lines_feed(&w->agent, log->text, strlen(log->text), now);
	lines_end(&w->agent, now);
}

/* fd when the monitor gave us that one, else -1. */
static int given(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? -1 : fd;
}

static void on_agent_line(struct lines *lines, const char *text, size_t len, unsigned dropped)
{
	struct worker *w = lines->owner;
	int fd = given(WORKER_FD_LOG_AGENT);
	char note[64];
	int n;

	if (dropped > 0) {
		n = snprintf(note, sizeof(note), "%u lines were dropped: too many", dropped);
		log_foreign(fd, "agent", LOG_WARNING, note, (size_t)n);
	}
	log_foreign(fd, "agent", w->agent_level, text, len);
}

static void on_goodbye(struct proxy *proxy)
{
	struct worker *w = proxy->owner;

	w->goodbye = true;
}

static void on_link_ended(struct proxy *proxy, const struct error *err)
{
	const char *text = err != NULL ? err->text : "the connection to the agent ended";
	struct worker *w = proxy->owner;

	if (w->over)
		return;
	lines_for_error(w->link_error, sizeof(w->link_error), text, strlen(text));
	w->link_fault = err != NULL && err->num != ECONNRESET;
	log_debug("the agent's link ended", KV_S("error", w->link_error));
	uv_timer_start(&w->cause_timer, on_cause_timer, CAUSE_MS, 0);
}

static const struct lines_ops agent_lines_ops = { .line = on_agent_line };
static const struct proxy_ops proxy_ops = {
	.ready = on_ready,
	.log = on_agent_log,
	.goodbye = on_goodbye,
	.link_ended = on_link_ended,
};

/* --- the start -------------------------------------------------------------------------------- */

static enum privsep_process row_of(const struct worker *w)
{
	if (w->in_unit)
		return w->is_vsock ? PRIVSEP_WORKER_UNIT_VSOCK : PRIVSEP_WORKER_UNIT;
	return w->is_vsock ? PRIVSEP_WORKER_VSOCK : PRIVSEP_WORKER;
}

static int confine(const struct worker *w, struct error *err)
{
	int r = privsep_begin(PRIVSEP_WORKER, err);

	if (r < 0)
		return r;
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "prctl");
	return privsep_verify(row_of(w), getuid(), getgid(), err);
}

static int open_outputs(struct worker *w, struct error *err)
{
	int r;

	r = output_open(&w->console, &w->loop, WORKER_FD_CONSOLE, "console",
			given(WORKER_FD_LOG_CONSOLE), w->guest_debug ? LOG_INFO : LOG_DEBUG, err);
	w->console.seen = on_console;
	if (r == 0)
		r = output_open(&w->qemu, &w->loop, WORKER_FD_QEMU_STDERR, "qemu",
				given(WORKER_FD_LOG_QEMU), LOG_WARNING, err);
	if (r == 0)
		r = output_open(&w->virtiofsd, &w->loop, WORKER_FD_VIRTIOFSD_STDERR, "virtiofsd",
				given(WORKER_FD_LOG_VIRTIOFSD), LOG_INFO, err);
	return r;
}

static void on_guest(struct vsock_port *port, int fd)
{
	struct worker *w = port->owner;
	struct error err;

	if (proxy_link(&w->proxy, fd, w->key, &err) < 0)
		on_link_ended(&w->proxy, &err);
}

/* The agent's link by one of three drivers; a descriptor is all that is known of it above. */
static int open_link(struct worker *w, struct error *err)
{
	int fd = WORKER_FD_AGENT;

	if (w->cid != 0)
		return vsock_port_open(&w->port, &w->loop, WORKER_FD_AGENT, w->cid, on_guest, w,
				       err);
	if (w->is_vsock)
		fd = vsock_link_open(&w->vsock, &w->loop, WORKER_FD_AGENT, WORKER_FD_PARK,
				     w->parked, err);
	return fd < 0 ? fd : proxy_link(&w->proxy, fd, w->key, err);
}

/* Everything the loop will serve. After an error the process ends. */
static int start(struct worker *w, struct error *err)
{
	int r = loop_start_with(&w->loop, STDIN_FILENO, err); /* /dev/null */

	if (r == 0)
		r = park_receive_key(WORKER_FD_PARK, w->key, err);
	/* Large buffers go back to the system at once, so that the bound in proxy.h holds. */
	mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
	if (r < 0)
		return r;
	lines_init(&w->agent, &agent_lines_ops, w, deadline_now_ms());
	r = open_outputs(w, err);
	if (r < 0)
		return r;
	r = uv_poll_init(&w->loop, &w->cause_poll, WORKER_FD_CAUSE);
	if (r == 0)
		r = uv_poll_start(&w->cause_poll, UV_READABLE, on_cause);
	if (r == 0)
		r = uv_signal_init(&w->loop, &w->term);
	if (r == 0)
		r = uv_signal_start(&w->term, on_term, SIGTERM);
	if (r < 0)
		return error_set(err, -r, "event loop");
	uv_timer_init(&w->loop, &w->cause_timer);
	w->cause_poll.data = w;
	w->cause_timer.data = w;
	w->term.data = w;
	r = proxy_start(&w->proxy, &w->loop, WORKER_FD_CLIENTS, w->shim_uid, &proxy_ops, w, err);
	return r < 0 ? r : open_link(w, err);
}

static bool flag(int argc, char *const args[], const char *name)
{
	for (int i = 1; i < argc; i++)
		if (str_eq(args[i], name))
			return true;
	return false;
}

/* The number of an option, 0 when it is not given. */
static uint32_t find_number(int argc, char *const args[], const char *option)
{
	uint64_t number = 0;

	for (int i = 1; i < argc; i++)
		if (str_starts(args[i], option))
			str_to_u64(args[i] + strlen(option), UINT32_MAX, &number);
	return (uint32_t)number;
}

int worker_run(int argc, char *const args[])
{
	static struct worker w; /* its handles must not move, and some of it is large */
	struct error err = { 0 };
	int r;

	log_start("proxy", given(WORKER_FD_LOG),
		  flag(argc, args, "--debug") ? LOG_DEBUG : LOG_INFO);
	log_context(args[0], NULL, NULL);
	w.guest_debug = flag(argc, args, "--guest-debug");
	w.is_vsock = flag(argc, args, "--vhost-user-vsock");
	w.cid = find_number(argc, args, CID_OPTION);
	w.shim_uid = find_number(argc, args, SHIM_OPTION);
	w.in_unit = w.shim_uid != 0;
	if (!w.in_unit)
		w.shim_uid = getuid() - UID_PROXY + UID_SHIM;
	for (int i = 0; i < PARK_SLOTS; i++) /* before anything else can have these numbers */
		w.parked[i] = given(WORKER_FD_PARKED + i);
	r = confine(&w, &err);
	if (r == 0)
		r = start(&w, &err);
	/* libuv has opened all it ever opens; nothing of a peer's has been read. */
	if (r == 0)
		r = privsep_finish(row_of(&w), getuid(), flag(argc, args, "--seccomp-log"), &err);
	if (r < 0) {
		log_error("the worker did not start", KV_ERR(&err));
		return 1;
	}
	if (loop_run(&w.loop, CLOSE_MS, &err) < 0) {
		log_error("the worker did not end in order", KV_ERR(&err));
		return 1;
	}
	return 0;
}
