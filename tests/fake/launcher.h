/*
 * Starts the real `kata-proxy monitor` as kata-runtime does: in a pid namespace of its own, with a
 * control socket and LAUNCH's descriptors. What stands for QEMU and virtiofsd is the test's choice.
 * Needs root. Logs and the cause of death are in memory files.
 */
#ifndef KATA_FAKE_LAUNCHER_H
#define KATA_FAKE_LAUNCHER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"

enum { LAUNCHER_MS = 20000 };

enum launcher_log {
	LOG_OF_PROXY,
	LOG_OF_AGENT,
	LOG_OF_CONSOLE,
	LOG_OF_QEMU,
	LOG_OF_VIRTIOFSD,
	LOG_OF_COUNT
};

struct launcher {
	pid_t monitor;
	bool share_mknod; /* LAUNCH's, to be set before it is sent */
	uid_t uid_base;   /* another one in each test process */
	int control;
	int cause, oom;
	int logs[LOG_OF_COUNT];
	char dir[64];            /* holds proxy.sock, qmp.sock, monitor.sock, launch.sock */
	int listen, qmp, orders; /* passed with LAUNCH; closed here then */
	int unit;                /* the same, -1: the monitor starts the worker */
};

/* A capability that the monitor is started without; -1, as it is at first: none. */
extern int launcher_without;

/* Called in what becomes the monitor; NULL at first. */
extern void (*launcher_before_exec)(void);

/* What is launched: paths are opened, argument lists end with NULL. */
struct launcher_vm {
	const char *qemu, *virtiofsd; /* virtiofsd NULL: none */
	char *const *qemu_args, *const *virtiofsd_args;
	const char *kernel, *initrd; /* NULL: /dev/null */
	bool debug, guest_debug;
	unsigned worker_crashes; /* that are mended */
};

/* The built program PATH (as "kata-proxy/kata-proxy") beside this test's, or in $KATA_BUILD. */
const char *launcher_program(const char *path);

/* Starts the monitor; pidns false: without the namespace it needs. extra descriptors are leaked. */
void launcher_start(struct launcher *launcher, bool pidns, int extra);

/* From now on the worker is a unit's, which connects to launch.sock. */
void launcher_use_unit(struct launcher *launcher);

/* Connects to one of its sockets: the descriptor. */
int launcher_connect_to(const struct launcher *launcher, const char *name);

/* Sends LAUNCH and waits for the answer: 0, or the error that came. */
int launcher_launch(struct launcher *launcher, const struct launcher_vm *vm, struct error *err);

/* Sends COMMIT and waits for DONE. */
int launcher_commit(struct launcher *launcher, struct error *err);

/* A child of the monitor's by its first argument: its pid here, 0 when there is none. */
pid_t launcher_child(const struct launcher *launcher, const char *argv0);

/* Connects to the worker as a client: the descriptor. */
int launcher_connect(const struct launcher *launcher);

/* Waits for the monitor's end: its status as of waitpid(2), -1 when it lives on too long. */
int launcher_wait(struct launcher *launcher);

/* Whole contents of a memory file, 0-terminated; of static storage, good until the next call. */
const char *launcher_read(int fd);

/* Kills the monitor if it lives, and removes what was made. */
void launcher_fini(struct launcher *launcher);

#endif
