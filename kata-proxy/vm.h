/*
 * The processes of one VM as the monitor sees them: what LAUNCH brought, the sockets between them,
 * their start in order, and how they ended.
 */
#ifndef KATA_PROXY_VM_H
#define KATA_PROXY_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/launch.h"
#include "common/frame.h"
#include "common/protocol.h"
#include "kata-proxy/park.h"
#include "kata-proxy/worker.h"

/* The descriptors of LAUNCH, in the order of common/launch.h. */
enum vm_fd {
	VM_FD_QEMU,
	VM_FD_VIRTIOFSD,
	VM_FD_KERNEL,
	VM_FD_INITRD,
	VM_FD_QMP,
	VM_FD_CLIENTS,
	VM_FD_MONITOR,
	VM_FD_UNIT,
	VM_FD_SLOT,
	VM_FD_CAUSE,
	VM_FD_OOM,
	VM_FD_VSOCK,
	VM_FD_VSOCK_LISTENING,
	VM_FD_LOG_AGENT,
	VM_FD_LOG_CONSOLE,
	VM_FD_LOG_QEMU,
	VM_FD_LOG_VIRTIOFSD,
	VM_FD_NET, /* LAUNCH_NET_FDS of them */
	VM_FD_VHOST = VM_FD_NET + LAUNCH_NET_FDS,
	VM_FD_COUNT = VM_FD_VHOST + LAUNCH_NET_FDS
};

/* In the order in which simultaneous ends are blamed: the later ones follow from the first. */
enum vm_process { VM_QEMU, VM_VIRTIOFSD, VM_WORKER, VM_PROCESS_COUNT };

struct vm_child {
	pid_t pid; /* 0: never started, or not our child */
	bool ended;
	int status; /* as waitpid(2), once ended */
	int64_t ended_ms;
};

struct vm {
	struct msg_launch *launch; /* owned */
	int fds[VM_FD_COUNT];
	int self;                        /* the kata-proxy program */
	int cause_pipe;                  /* tells the worker the cause of death; write end */
	int park;                        /* the socket of park.h */
	int unit;                        /* connection to the worker's unit, -1: none */
	struct park_text said;           /* by the worker; from the guest */
	unsigned notes;                  /* written */
	uint8_t key[FRAME_KEY];          /* of every worker's HELLO */
	int worker_fds[WORKER_FD_COUNT]; /* what a worker is started with; its link is made anew */
	struct vm_child children[VM_PROCESS_COUNT];
};

void vm_init(struct vm *vm);
void vm_fini(struct vm *vm);

/*
 * Takes the LAUNCH message and its count descriptors, checked: names known and not twice, all that
 * are needed there. Both belong to vm afterwards, also on error.
 */
int vm_take(struct vm *vm, struct msg_launch *launch, const int *fds, size_t count,
	    struct error *err);

/*
 * Starts virtiofsd and QEMU, gives up the monitor's own rights for good, starts the worker; then
 * what is left here is the slot's lock, the cause file, the socket for orders, and what a worker
 * needs. The caller stands in monitor_root_enter()'s root as root. On error the caller exits,
 * which ends what was started. A worker that systemd keeps is left to vm_restart_worker().
 */
int vm_start(struct vm *vm, struct error *err);

/*
 * Starts another worker in place of one that has ended, with a connection to the agent's port of
 * its own and what the old one parked. -EAGAIN: QEMU does not take connections now, or the unit is
 * not there yet; try later.
 */
int vm_restart_worker(struct vm *vm, struct error *err);

/* Kills the worker; its end is told as any is. */
void vm_kill_worker(const struct vm *vm);

/* Whether a unit is to start the worker, and is not connected. */
bool vm_awaits_unit(const struct vm *vm);

/* Takes the connection of the unit that was awaited. */
void vm_accept_unit(struct vm *vm);

/* Takes the unit's word that its worker ended; that of a unit which has ended will, by systemd. */
void vm_read_unit(struct vm *vm);

/* The worker did not come back: from now on its end is to blame. */
void vm_give_up_worker(struct vm *vm);

/* Takes what the worker wants kept; notes go to the cause file, but not any number of them. */
void vm_take_parked(struct vm *vm);

/* Notes the end of a child; an unknown pid is an orphan and of no interest. */
void vm_reaped(struct vm *vm, pid_t pid, int status);

/* The process to blame, or VM_PROCESS_COUNT when all live. */
enum vm_process vm_first_ended(const struct vm *vm);

/* "qemu exited 1", "virtiofsd signal 9". */
void vm_cause_text(const struct vm *vm, enum vm_process process, char *text, size_t size);

#endif
