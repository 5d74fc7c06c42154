/*
 * Why a VM or a container ended, from what the monitor wrote, what was asked for and what the
 * host's kernel counted. Read by why, state and those whose VM has gone; needs neither VM nor lock.
 *
 * s/SID/cause, written by the monitor (kata-proxy(8)): "oom TEXT" when the guest killed a process
 * for want of memory; then, at the VM's end, who ended first and how, "reason TEXT", "console TEXT"
 * for the guest's last lines, "then TEXT" for who followed. TEXT may be the guest's.
 */
#ifndef KATA_CAUSE_H
#define KATA_CAUSE_H

#include "kata-runtime/store.h"

enum { CAUSE_SIZE = 32768, CAUSE_LINE_SIZE = 1200 };

/* All lines, printable; "" when there is none. */
void cause_read(const struct store *store, const struct state *state, char text[CAUSE_SIZE]);

/*
 * In one line: "guest panic: ...", "host OOM: ...", "qemu signal 9", "operator", ... for a VM that
 * has ended; "guest OOM: ..." or "operator: ..." for a container that has stopped in a VM that
 * lives; "" when nothing ended or nothing is known.
 */
void cause_headline(const struct store *store, const struct state *state,
		    char line[CAUSE_LINE_SIZE]);

/* The same of its VM alone, by somebody who has seen that it ended. */
void cause_vm_headline(const struct store *store, const struct state *state,
		       char line[CAUSE_LINE_SIZE]);

/* The same from given lines: for tests and cause_headline(). */
struct cause_facts {
	const char *text; /* of the cause file */
	bool vm_ended;    /* the monitor is gone */
	bool stopped;     /* the container has stopped */
	bool host_oom;    /* the host's kernel killed something in its cgroup */
	int signal;       /* that `kill` sent last; 0: none */
	bool oom_later;   /* the guest killed for want of memory after that */
};
void cause_judge(const struct cause_facts *facts, char line[CAUSE_LINE_SIZE]);

/* Notes a signal that `kill` had delivered. What cannot be written is not told later. */
void cause_note_signal(const struct store *store, const struct state *state, int signal);

#endif
