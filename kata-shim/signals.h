/*
 * The shim's signals: which are forwarded to the guest's process, which act here. They stay
 * blocked from the shim's start and are read from a signalfd one at a time, when there is room for
 * a request to the agent: what comes earlier or faster waits in the kernel, and as pid 1 of its
 * own pid namespace the shim would otherwise never see a signal without a handler.
 */
#ifndef KATA_SIGNALS_H
#define KATA_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

#include "common/error.h"

enum signals_action {
	SIGNALS_LEAVE,   /* the kernel acts: KILL and STOP */
	SIGNALS_FORWARD, /* SIGNAL to the guest's process */
	SIGNALS_WINSIZE, /* WINSIZE with the terminal's new size */
};

/* What becomes of a signal; terminal: the process has one. Unknown numbers are left. */
enum signals_action signals_action(int signum, bool terminal);

/* Whether a signal asks a process to end: it hastens a shim whose process has already ended. */
bool signals_is_end(int signum);

/*
 * Blocks every signal that is not left to the kernel and makes a signalfd (nonblocking) for them:
 * the descriptor, or a negative errno.
 */
int signals_open(struct error *err);

/*
 * The next signal that has come: its number, or 0 when there is none now. Without SIGPIPE for what
 * this process wrote and SIGCHLD for its children.
 */
int signals_next(int fd);

#endif
