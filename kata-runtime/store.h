/*
 * State on disk. Below base (/run/kata-containers):
 *
 *	s/SID/            one sandbox, 0700: state.json, exec/PID, and what its daemons need
 *	l/SID.lock        its lock: flock(2); holds the holder's pid
 *	virtiofsd         which kind of virtiofsd this host has (virtiofsd-probe.h)
 *	ROOT/ID           symbolic link to s/SID; ROOT is --root, by default base/c
 *
 * A sid is derived from root and id, so a container whose state is lost can still be deleted.
 * state.json is written to a temporary file, synced and renamed; a reader accepts only a complete
 * document of a version it knows. Reading needs no lock, changing does.
 */
#ifndef KATA_STORE_H
#define KATA_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"
#include "kata-runtime/sid.h"
#include "kata-runtime/spec.h"

#define STORE_BASE "/run/kata-containers"

enum { STATE_VERSION = 1 };

struct store {
	char base[PATH_MAX];
	char root[PATH_MAX];
};

enum container_status {
	STATUS_CREATING, /* create has begun */
	STATUS_CREATED,
	STATUS_STARTING, /* start has begun; shown as running */
	STATUS_RUNNING,
	STATUS_PAUSED, /* never in state.json: there it is a member of its own */
	STATUS_STOPPED,
	STATUS_COUNT
};

/* A process by identity, see common/process.h; pid 0: none. */
struct process_ref {
	pid_t pid;
	uint64_t start_ticks;
};

/* What state.json holds. Strings are "" when unset, never NULL, after state_init(). */
struct state {
	char *id;
	char sid[SID_SIZE];
	char *bundle;
	char *root; /* --root */
	char *rootfs;
	char *created; /* RFC 3339 with nanoseconds, UTC */
	enum container_status status;
	struct process_ref shim, monitor;
	struct process_ref netmon;   /* follows the network; pid 0: none */
	uint32_t uid_slot, uid_base; /* uid_base 0: none taken */
	uint64_t handle;             /* of the init process in the guest; 0: none yet */
	uint32_t guest_pid;
	struct wire_strings cgroups; /* see cgroup_save() */
	char *agent_link;            /* its name, and why it was chosen */
	char *agent_link_reason;
	char *netns;    /* path to join; "": the shim's own */
	uint32_t owner; /* uid of who created it */
	bool terminal;
	bool paused; /* its processes stand still; status is what it was before */
	struct spec_pair *annotations;
	uint32_t n_annotations;
};

/* Sets id, sid, root; time created is now, status is creating, owner is the real uid. */
int state_init(struct state *state, const struct store *store, const char *id, struct error *err);
void state_fini(struct state *state);

int state_set_agent_link(struct state *state, const char *name, const char *reason,
			 struct error *err);

const char *status_name(enum container_status status);

/* state as the bytes of state.json: *ret_text is to be freed. -EILSEQ: a path is not UTF-8. */
int state_format(const struct state *state, char **ret_text, struct error *err);
/* And back; file is for errors. */
int state_parse(const char *file, const char *text, size_t len, struct state *ret,
		struct error *err);

/*
 * Names the directories (NULL: the defaults). create: makes those that miss, base and root 0711,
 * the others 0700; without it nothing is written and root may miss.
 */
int store_open(struct store *ret, const char *root, const char *base, bool create,
	       struct error *err);

int store_sid(const struct store *store, const char *id, char ret[SID_SIZE], struct error *err);

/* base/s/SID/NAME, or base/s/SID when name is "". */
int store_path(const struct store *store, const char *sid, const char *name, char ret[PATH_MAX],
	       struct error *err);

/* --- the lock --- */

struct store_lock {
	int fd; /* -1: not held. Close-on-exec; to be closed in each fork */
	char path[PATH_MAX];
};
#define STORE_LOCK_NONE \
	{ \
		.fd = -1 \
	}

/* Takes the sandbox's lock: 0, or -ETIMEDOUT at the deadline, which names the holder. */
int store_lock(const struct store *store, const char *sid, int64_t deadline, struct store_lock *ret,
	       struct error *err);

/* Lets go; for CLEANUP() too. */
void store_unlock(struct store_lock *lock);

/*
 * The lock for a process that may not open files later: a descriptor of its own, and taking and
 * leaving the lock by that.
 */
int store_lock_open(const struct store *store, const char *sid, struct error *err);
int store_lock_take(int fd, int64_t deadline, struct error *err);
void store_lock_leave(int fd);

struct store_holder {
	struct process_ref process;
	int64_t held_ms; /* how long already */
};

/*
 * Who holds the lock: 1 with *ret filled, 0 when nobody does (or who does has not said so yet).
 * `delete --force` kills a holder that has it for longer than STORE_HOLDER_OLD_MS.
 */
enum { STORE_HOLDER_OLD_MS = 2000 };
int store_lock_holder(const struct store *store, const char *sid, struct store_holder *ret,
		      struct error *err);

/* --- sandboxes; the caller holds the lock, but for reading --- */

/* Makes s/SID and ROOT/ID. -EEXIST: "container with id exists: ID". */
int store_create(const struct store *store, const char *id, const char *sid, struct error *err);

/* 1 when s/SID or ROOT/ID is there, else 0. */
int store_exists(const struct store *store, const char *id, const char *sid);

int store_write_state(const struct store *store, const struct state *state, struct error *err);

/*
 * -ENOENT: no such container; -EBADMSG: there is one, but its state cannot be used (cut short, of
 * another version, of another owner). *ret is filled on success only.
 */
int store_read_state(const struct store *store, const char *sid, struct state *ret,
		     struct error *err);

/*
 * Removes s/SID with all that is in it, ROOT/ID, and the lock file, and lets go of the lock. Links
 * are not followed, mounts are not entered (-EBUSY). What is gone already is no error.
 */
int store_remove(const struct store *store, const char *id, const char *sid,
		 struct store_lock *lock, struct error *err);

/*
 * Calls each for every container below the root, in no order; state is NULL when it cannot be
 * used and err says why. Stops when each returns other than 0, and returns that.
 */
int store_list(const struct store *store,
	       int (*each)(const char *id, const char *sid, const struct state *state,
			   const struct error *why, void *userdata),
	       void *userdata, struct error *err);

/* --- exec processes: their shims, so that ps and delete find them --- */

int store_add_exec(const struct store *store, const char *sid, struct process_ref shim,
		   struct error *err);
int store_remove_exec(const struct store *store, const char *sid, pid_t pid, struct error *err);

/* As store_list, over the recorded shims; whether they still live is the caller's question. */
int store_each_exec(const struct store *store, const char *sid,
		    int (*each)(struct process_ref shim, void *userdata), void *userdata,
		    struct error *err);

#endif
