/*
 * Why a VM or a container ended, from what the monitor wrote, what was asked for and what the
 * host's kernel counted. Read by why, state and those whose VM has gone; needs neither VM nor lock.
 *
 * s/SID/cause, written by the monitor (kata-proxy(8)): "oom TEXT" when the guest killed a process
 * for want of memory; then, at the VM's end, who ended first and how, "reason TEXT", "console TEXT"
 * for the guest's last lines, "then TEXT" for who followed, and "host oom N" when the
 * host's kernel killed N processes of the VM's cgroup. TEXT may be the guest's.
 *
 * Of the container's process: s/SID/exit, "CODE MS" by the shim, empty when that ended before it;
 * s/SID/signals, "SIGNUM MS [hard]" by each `kill`. MS is the monotonic clock's.
 */
#ifndef KATA_CAUSE_H
#define KATA_CAUSE_H

#include "kata-runtime/store.h"

enum { CAUSE_SIZE = 32768, CAUSE_LINE_SIZE = 1200 };

/* All lines, printable; "" when there is none. */
void cause_read(const struct store *store, const struct state *state, char text[CAUSE_SIZE]);

/*
 * In one line. Of a container whose process ended before its VM: "container exited CODE", with
 * "operator: signal ..." or "guest OOM: ..." in front when that is why. Else of the VM: "guest
 * panic: ...", "host OOM: ...", "qemu signal 9", "operator", ... "" when nothing ended or nothing
 * is known.
 */
void cause_headline(const struct store *store, const struct state *state,
		    char line[CAUSE_LINE_SIZE]);

/* The same of its VM alone, by somebody who has seen that it ended. */
void cause_vm_headline(const struct store *store, const struct state *state,
		       char line[CAUSE_LINE_SIZE]);

/* The same from given lines: for tests and cause_headline(). */
struct cause_facts {
	const char *text;    /* of the cause file */
	const char *signals; /* what `kill` sent; NULL: nothing */
	const char *exit;    /* of the exit file; NULL: there is none */
	bool vm_ended;       /* the monitor is gone */
	bool stopped;        /* the container has stopped */
	bool host_oom;       /* the host's kernel killed something in its cgroup */
};
void cause_judge(const struct cause_facts *facts, char line[CAUSE_LINE_SIZE]);

/*
 * Notes a signal that `kill` began to send at since, by deadline_now_ms(). hard: not the agent took
 * it, the shim or the VM was killed. What cannot be written is not told later.
 */
void cause_note_signal(const struct store *store, const struct state *state, int signal,
		       int64_t since, bool hard);

/* Makes the file in which the container's shim records its exit: a descriptor. */
int cause_open_exit(const struct store *store, const struct state *state, struct error *err);

#endif
