/* The VM's life as the runtime sees it: start its processes, talk to its agent, end it. */
#ifndef KATA_RUNTIME_SANDBOX_H
#define KATA_RUNTIME_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/config.h"
#include "kata-runtime/decoder.h"
#include "kata-runtime/network.h"
#include "kata-runtime/store.h"
#include "kata-runtime/vm-size.h"

struct sandbox {
	const struct store *store;
	const struct config *config;
	const struct cgroup *cgroup;   /* joined by all its processes */
	struct state *state;           /* monitor is filled in and written */
	const struct network *network; /* its interfaces, and their descriptors, which stay here */
	const struct network_taps *taps;
	int slot;            /* the uid slot's lock: handed to the monitor */
	int control;         /* the monitor ends when this closes before commit */
	struct vm_size size; /* of the VM */
	struct vm_size more; /* that can be plugged later */
	bool debug;
};
#define SANDBOX_NONE \
	{ \
		.slot = -1, .control = -1 \
	}

/*
 * Makes what the daemons need below s/SID (client/ with the proxy's socket, qmp.sock, cause) and
 * starts the monitor, which starts virtiofsd, QEMU and the worker. Returns when they run; the
 * guest boots then. state->uid_base is taken already.
 */
int sandbox_start(struct sandbox *sandbox, int64_t deadline, struct error *err);

/*
 * Has systemd end the unit of the VM's worker and waits for it, where there is one; it ends by
 * itself behind the monitor.
 */
int sandbox_stop_unit(const struct store *store, const char *sid, int64_t deadline,
		      struct error *err);

/* A unit of a sandbox has so many of its id's digits as instance: a user is named by them. */
enum { SANDBOX_INSTANCE_LEN = 30 };

/* From now on it lives without us. */
int sandbox_commit(struct sandbox *sandbox, int64_t deadline, struct error *err);

/*
 * Has the monitor start its worker again, from that program; nobody notices. For an upgrade of the
 * program while the VM runs.
 */
int sandbox_restart_proxy(const struct store *store, const char *sid, const char *program,
			  int64_t deadline, struct error *err);

/*
 * A session with the agent, which waits for its hello while the guest boots. When the VM ended
 * the error says why, as far as its monitor and proxy know.
 */
int sandbox_connect(const struct store *store, const struct state *state, struct decoder *decoder,
		    int64_t deadline, struct error *err);

/*
 * Puts before an error what is known of why the VM ended, when it has; r is the error's number and
 * the result. Waits a second at most for a VM that is just ending.
 */
int sandbox_explain(const struct store *store, const struct state *state, int r, struct error *err);

/*
 * Ends the VM: the monitor is pid 1 of the VM's pid namespace, with it every process ends. It is
 * asked first and killed after half a second. 0 when all is gone, -ETIMEDOUT.
 */
int sandbox_kill(const struct state *state, int64_t deadline, struct error *err);

#endif
