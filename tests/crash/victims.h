/* The processes of a container and its VM, and what may befall them, for kill-matrix.c. */
#ifndef KATA_TESTS_VICTIMS_H
#define KATA_TESTS_VICTIMS_H

#include <stdbool.h>

#include "tests/crash/stage.h"

enum victim {
	VICTIM_RUNTIME, /* of the verb under way; not one of these functions' */
	VICTIM_MONITOR,
	VICTIM_WORKER,
	VICTIM_SHIM,
	VICTIM_QEMU,
	VICTIM_VIRTIOFSD,
	VICTIM_AGENT,
	VICTIM_INIT, /* the container's first process in the guest */
	VICTIM_DISK, /* no process: the file system of /run, which gets full */
	VICTIM_COUNT
};

enum fate {
	KILLED,
	STOPPED,
	CRASHED,
	UNDYING, /* of the fakes' init: takes every signal and stays, as if it waited for a disk */
	FATE_COUNT
};

extern const char *const victim_names[VICTIM_COUNT];
extern const char *const fate_names[FATE_COUNT];

/* 0 while there is none. Of agent and init: QEMU. */
pid_t victim_find(const struct stage *stage, enum victim victim);

/*
 * SIGKILL, SIGSTOP, or a fault of its own as a broken pointer makes it: a signal from outside would
 * not reach pid 1 of a namespace. false: there is no such process.
 */
bool victim_strike_pid(pid_t pid, enum fate fate);

/*
 * The same by name. An agent that is killed makes the guest panic, one that is stopped answers
 * nothing. The container must be there for its init.
 */
bool victim_strike(struct stage *stage, enum victim victim, enum fate fate);

/* The disk is as it was. */
void victim_free_disk(void);

#endif
