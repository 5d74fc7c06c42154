/*
 * State on disk. Below base (/run/kata-containers):
 *
 *	s/SID/            one container, 0700: state.json; exec/PID and exec/verb-PID, a process
 *	                  of an exec: its shim, the verb; intent.json, the state as it
 *	                  was before the first resource was made; and, when it was the first of
 *	                  its VM, what the VM's daemons need, size.lock, and members/
 *	s/SID/members/MID a further container of that VM, whose own directory is s/MID
 *	l/SID.lock        the container's lock: flock(2); holds the holder's pid
 *	l/SID.pod         the VM's lock: who comes, who goes, who ends it
 *	unit/INSTANCE     link to s/SID/unit, the socket for its worker's unit, if it has one; and
 *	                  unit/root, an empty root for all of them
 *	virtiofsd         which kind of virtiofsd this host has (virtiofsd-probe.h)
 *	ROOT/ID           symbolic link to s/SID; ROOT is --root, by default base/c
 *
 * A sid is derived from root and id, so a container whose state is lost can still be deleted. When
 * the first container of a VM is deleted before the others, its directory stays, departed, until
 * the last of them goes; the same id then gets another sid.
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

/* Version 1, which is still read, knew no VM with several containers. */
enum { STATE_VERSION = 2, STATE_VERSION_OLDEST = 1 };

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

enum state_asset { ASSET_HYPERVISOR, ASSET_KERNEL, ASSET_IMAGE, STATE_ASSETS };

/* What state.json holds. Strings are "" when unset, never NULL, after state_init(). */
struct state {
	char *id;
	char sid[SID_SIZE];
	char sandbox[SID_SIZE]; /* sid of its VM's first container, often its own */
	bool departed;          /* deleted, but its VM has other containers */
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
	struct wire_strings cgroups; /* see cgroup_save(); the VM's too when it is the first */
	char *systemd_unit;          /* its scope, and the slice of that; "": none */
	char *systemd_slice;
	char *agent_link; /* its name, and why it was chosen */
	char *agent_link_reason;
	/* What the VM is made of, and which file that was: see assets.h. "": not known. */
	char *asset_path[STATE_ASSETS], *asset_file[STATE_ASSETS];
	char *netns;           /* path to join; "": the shim's own */
	uint32_t owner;        /* uid of who created it */
	uint64_t memory_limit; /* bytes; 0: none */
	uint64_t cpu_milli;    /* its quota, in thousandths of a processor; 0: none */
	uint64_t cpu_quota;    /* and in microseconds of a period; 0: none */
	uint64_t cpu_period;   /* microseconds; 0: the kernel's own */
	bool pause;            /* a pod's sandbox container, which does nothing */
	bool terminal;
	bool seccomp_log; /* the VM was made with runtime.seccomp = "log" */
	bool paused;      /* its processes stand still; status is what it was before */
	struct spec_pair *annotations;
	uint32_t n_annotations;
	struct wire_strings configured; /* names of those that the VM's configuration took */
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

/*
 * The sid of the container of that id: where ROOT/ID leads; without that the derived one, or the
 * next that does not belong to a departed container.
 */
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

/* Takes the container's lock: 0, or -ETIMEDOUT at the deadline, which names the holder. */
int store_lock(const struct store *store, const char *sid, int64_t deadline, struct store_lock *ret,
	       struct error *err);

/*
 * Takes the lock of a VM, by the sid of its first container, for a short time: who has both takes
 * the container's first.
 */
int store_lock_pod(const struct store *store, const char *sandbox, int64_t deadline,
		   struct store_lock *ret, struct error *err);

/*
 * Takes the lock of who makes a VM larger, for as long as the guest may take. It is none of the two
 * above, since nobody's end may wait for a guest: delete never takes it, and its file goes with the
 * VM's directory. Who has several takes it last.
 */
int store_lock_size(const struct store *store, const char *sandbox, int64_t deadline,
		    struct store_lock *ret, struct error *err);

/* Between two steps of what takes long: the holder goes on, so its time begins anew. */
void store_lock_renew(const struct store_lock *lock);

/* Lets go; for CLEANUP() too. */
void store_unlock(struct store_lock *lock);

/* Removes the locks' files that somebody left who was killed; one that is held stays. */
void store_drop_lock(const struct store *store, const char *sid);

/*
 * The lock for a process that may not open files later: a descriptor of its own, and taking and
 * leaving the lock by that.
 */
int store_lock_open(const struct store *store, const char *sid, struct error *err);
int store_lock_take(int fd, int64_t deadline, struct error *err);
void store_lock_leave(int fd);

struct store_holder {
	struct process_ref process;
	int64_t held_ms; /* how long already, or since it was renewed */
};

/*
 * Who holds the lock: 1 with *ret filled, 0 when nobody does (or who does has not said so yet).
 * `delete --force` kills a holder that has it for longer than STORE_HOLDER_OLD_MS.
 */
enum { STORE_HOLDER_OLD_MS = 1500 };
int store_lock_holder(const struct store *store, const char *sid, struct store_holder *ret,
		      struct error *err);

/* The same for the lock of a VM. */
int store_pod_holder(const struct store *store, const char *sandbox, struct store_holder *ret,
		     struct error *err);

/* --- containers; the caller holds the lock, but for reading --- */

/* Makes s/SID and ROOT/ID. -EEXIST: "container with id exists: ID". */
int store_create(const struct store *store, const char *id, const char *sid, struct error *err);

/* 1 when s/SID or ROOT/ID is there, else 0. */
int store_exists(const struct store *store, const char *id, const char *sid);

int store_write_state(const struct store *store, const struct state *state, struct error *err);

/*
 * What delete --force goes by when state.json is of no use: written once, before the first
 * resource is made, with what does not derive from the sid (cgroups, network namespace).
 */
int store_write_intent(const struct store *store, const struct state *state, struct error *err);
int store_read_intent(const struct store *store, const char *sid, struct state *ret,
		      struct error *err);

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

/* Removes ROOT/ID when it leads to that sid. */
int store_unlink(const struct store *store, const char *id, const char *sid, struct error *err);

/*
 * Calls each for every container below the root, in no order; state is NULL when it cannot be
 * used and err says why. Stops when each returns other than 0, and returns that.
 */
int store_list(const struct store *store,
	       int (*each)(const char *id, const char *sid, const struct state *state,
			   const struct error *why, void *userdata),
	       void *userdata, struct error *err);

/* --- containers of one VM; the caller holds its lock, but for reading --- */

/* Notes a member; once is enough. -ESRCH: the VM's directory is gone. */
int store_join(const struct store *store, const struct state *member, struct error *err);
int store_leave(const struct store *store, const struct state *member, struct error *err);

/* Calls each for every member; stops when it returns other than 0, and returns that. */
int store_each_member(const struct store *store, const char *sandbox,
		      int (*each)(const char *sid, void *userdata), void *userdata,
		      struct error *err);

/*
 * The VM that has a member of that sid, when its own state does not say: 1 with *ret, else 0 and
 * *ret is sid.
 */
int store_find_sandbox(const struct store *store, const char *sid, char ret[SID_SIZE]);

/*
 * The first container of a VM is deleted: ROOT/ID goes, its directory stays for the VM. state is
 * written as that of a departed one.
 */
int store_depart(const struct store *store, struct state *state, struct error *err);

/* --- processes of execs, so that ps, kill and delete find them --- */

enum store_exec {
	STORE_EXEC_SHIM,
	STORE_EXEC_VERB, /* kata-runtime exec itself, before its shim is made */
};

int store_add_exec(const struct store *store, const char *sid, enum store_exec kind,
		   struct process_ref process, struct error *err);
int store_remove_exec(const struct store *store, const char *sid, enum store_exec kind, pid_t pid,
		      struct error *err);

/* As store_list, over those of a kind; whether they still live is the caller's question. */
int store_each_exec(const struct store *store, const char *sid, enum store_exec kind,
		    int (*each)(struct process_ref process, void *userdata), void *userdata,
		    struct error *err);

#endif
