/*
 * The process that systemd starts for a sandbox's worker: see unit.h. Plain blocking code: one
 * poll() waits for the monitor's orders and for the worker's end. It believes the monitor, reads
 * nothing of the worker's, and has its rights.
 */
#include "kata-proxy/unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/connect.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/log.h"
#include "common/process.h"
#include "common/wire.h"
#include "kata-proxy/spawn.h"

enum {
	LET_GO = 75, /* exit status when the monitor ended the connection; the unit knows it */
	CONNECT_MS = 5000,
	ORDER_MS = 5000, /* for the rest of a message whose start has come, and for an answer */
};

struct unit {
	int monitor;  /* connection */
	int signals;  /* signalfd */
	pid_t worker; /* 0: none runs */
	bool over;
	int status; /* to exit with */
};

static int start_worker(struct unit *u, const struct msg_worker *order, const int *fds,
			size_t count, struct error *err)
{
	struct spawn spawn = { .name = "the worker",
			       .row = PRIVSEP_WORKER,
			       .in_unit = true,
			       .args = order->args.items };

	if (u->worker != 0)
		return error_say(err, EBUSY, "a worker runs already");
	if (count != (size_t)order->n_fds + 1 || order->args.count == 0)
		return error_say(err, EBADMSG,
				 "WORKER names %u descriptors besides the program, %zu came in all",
				 order->n_fds, count);
	spawn.program = fds[0];
	for (uint32_t i = 0; i < order->n_fds; i++) {
		if (!privsep_has_fd(PRIVSEP_WORKER, (int)order->fds[i].number))
			return error_say(err, EBADMSG, "a worker has no descriptor %u",
					 order->fds[i].number);
		spawn_pass(&spawn, fds[i + 1], (int)order->fds[i].number);
	}
	return spawn_start(&spawn, &u->worker, err);
}

static int obey(struct unit *u, enum msg_type type, const void *body, const int *fds, size_t count,
		struct error *err)
{
	if (type == MSG_WORKER_STOP) {
		if (u->worker != 0)
			kill(u->worker, SIGKILL);
		return 0;
	}
	if (type != MSG_WORKER)
		return error_say(err, EBADMSG, "%s is no order", wire_name(type));
	if (start_worker(u, body, fds, count, err) < 0) {
		fdpass_send_error(u->monitor, err);
		return 0;
	}
	return fdpass_send(u->monitor, MSG_DONE, NULL, NULL, 0, deadline_in_ms(ORDER_MS), err);
}

static int serve_monitor(struct unit *u, struct error *err)
{
	int fds[SPAWN_FDS_MAX + 1], r;
	enum msg_type type;
	size_t count;
	void *body;

	r = fdpass_receive(u->monitor, &type, &body, fds, ARRAY_SIZE(fds), &count,
			   deadline_in_ms(ORDER_MS), err);
	if (r == -ENOTCONN) {
		u->over = true;
		u->status = LET_GO;
		return 0;
	}
	if (r < 0)
		return r;
	r = obey(u, type, body, fds, count, err);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	wire_free(type, body);
	return r;
}

/* Tells the monitor of the worker's end. One that is gone needs no word. */
static void reap(struct unit *u)
{
	struct msg_worker_ended ended;
	int status;

	if (u->worker == 0 || waitpid(u->worker, &status, WNOHANG) != u->worker)
		return;
	u->worker = 0;
	ended.status = (uint32_t)status;
	fdpass_send(u->monitor, MSG_WORKER_ENDED, &ended, NULL, 0, deadline_in_ms(ORDER_MS), NULL);
}

static void serve_signals(struct unit *u)
{
	struct signalfd_siginfo info;

	while (read(u->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGTERM)
			u->over = true;
	reap(u);
}

static int begin(struct unit *u, struct error *err)
{
	int r = privsep_close_others(NULL, 0, err);

	if (r == 0)
		r = privsep_quiet(err);
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = error_set(err, errno, "prctl");
	/* What the unit should have taken, and has not where somebody else starts this. */
	if (r == 0)
		r = privsep_verify(PRIVSEP_UNIT, getuid(), getgid(), err);
	if (r < 0)
		return r;
	u->signals = process_watch(err);
	if (u->signals < 0)
		return u->signals;
	u->monitor = connect_unix(UNIT_SOCKET, "the monitor", CONNECT_MS, err);
	/* The VM has ended: then nobody needs a worker. */
	u->over = u->monitor == -ECONNREFUSED || u->monitor == -ENOENT;
	return u->over || u->monitor >= 0 ? 0 : u->monitor;
}

static int serve(struct unit *u, struct error *err)
{
	int r = begin(u, err);

	while (r == 0 && !u->over) {
		struct pollfd p[] = { { .fd = u->monitor, .events = POLLIN },
				      { .fd = u->signals, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			r = error_set(err, errno, "poll");
		if (r == 0 && p[0].revents != 0)
			r = serve_monitor(u, err);
		if (r == 0 && p[1].revents != 0)
			serve_signals(u);
	}
	return r;
}

int unit_run(const char *sandbox)
{
	struct unit u = { .monitor = -1, .signals = -1 };
	struct error err = { 0 };
	int r;

	log_start("proxy", STDERR_FILENO, LOG_INFO);
	log_context(sandbox, NULL, NULL);
	r = serve(&u, &err);
	if (r < 0)
		log_error("the worker's unit ends", KV_ERR(&err));
	if (u.worker != 0) {
		kill(u.worker, SIGKILL);
		while (waitpid(u.worker, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	fd_close(&u.monitor);
	fd_close(&u.signals);
	return r < 0 ? 1 : u.status;
}
