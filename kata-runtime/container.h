/* The container's life: what the verbs of the command line do. */
#ifndef KATA_RUNTIME_CONTAINER_H
#define KATA_RUNTIME_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/config.h"
#include "kata-runtime/decoder.h"
#include "kata-runtime/hook-launcher.h"
#include "kata-runtime/spec.h"
#include "kata-runtime/store.h"

/* What create, run and exec have in common. */
struct container_options {
	const char *bundle;         /* NULL: the current directory */
	const char *console_socket; /* NULL: none */
	const char *console;        /* NULL, or a terminal that the caller has made */
	const char *pid_file;       /* NULL: none */
	const char *pidfd_socket;   /* NULL, or a socket that gets a pidfd of the shim */
	const char *preserve_fds;   /* NULL or a number; only 0 can be given to a VM */
	bool detach;                /* nobody waits in the foreground */
	bool ignore_paused;         /* exec: also in a paused container; it goes on with that */
};

/* A process of ours that stands in for one in a container, for who waits for it. */
struct container_child {
	struct process_ref shim;
	int master;                 /* terminal of a foreground process, -1: none */
	uid_t uid;                  /* who may copy what comes from it */
	struct hook_launcher hooks; /* for its start and its end; of create only */
};

/*
 * Creates the container with all its resources; on failure nothing is left. ret_child may be NULL:
 * then the caller executes nothing afterwards; else it waits for it, and owns the terminal and the
 * process for hooks.
 */
int container_create(const struct cli *cli, const char *id, const struct container_options *options,
		     struct container_child *ret_child, struct error *err);

/* The configuration that its VM was made with, as far as files may have changed since then. */
int container_config(const struct cli *cli, const struct store *store, const struct state *state,
		     struct config *ret, struct error *err);

/*
 * Lets its process run. hooks: what the caller's create has left; NULL: one is started if need be.
 * The caller can execute no program afterwards.
 */
int container_start(const struct cli *cli, const char *id, struct hook_launcher *hooks,
		    struct error *err);

/* Whether programs are executed when it is deleted. */
bool container_has_poststop(const struct store *store, const struct state *state);

/*
 * Freezes all processes of it, or lets them go on; when it is not so that this can be: "container
 * not running", "container not paused".
 */
int container_pause(const struct cli *cli, const char *id, struct error *err);
int container_resume(const struct cli *cli, const char *id, struct error *err);

/* Changes limits; what is unset in limits stays. The VM keeps its size. */
int container_update(const struct cli *cli, const char *id, struct spec_resources *limits,
		     struct error *err);

/* Sends a signal: -ESRCH "container not running" when it has stopped, unless all. */
int container_kill(const struct cli *cli, const char *id, int signal, bool all, struct error *err);

/*
 * Removes it and everything of it; see CLIENTS for force. hooks: as for container_start(), but who
 * has some has also forbidden himself programs already.
 */
int container_delete(const struct cli *cli, const char *id, bool force, struct hook_launcher *hooks,
		     struct error *err);

/* A further process; see container_create() for ret_child. */
int container_exec(const struct cli *cli, const char *id, const struct spec_process *process,
		   const struct container_options *options, struct container_child *ret_child,
		   struct error *err);

/* The state on disk, and what really is: "does not exist" is -ENOENT. */
int container_load(const struct cli *cli, const char *id, struct store *ret_store,
		   struct state *ret_state, struct error *err);

/* The VM that word means, a sandbox id or a container's of --root: its sandbox id. */
int container_find_sandbox(const struct store *store, const char *word, char ret_sid[SID_SIZE],
			   struct error *err);

/* As container_load(), for a verb that acts: its log is started. */
int container_begin(const struct cli *cli, const char *id, struct store *store, struct state *state,
		    struct error *err);

/* As container_begin(), and the container's lock is taken: nobody else changes the state. */
int container_lock(const struct cli *cli, const char *id, struct store *ret_store,
		   struct state *ret_state, struct store_lock *ret_lock, struct error *err);

/* The status as OCI knows it: a container whose shim is gone has stopped. */
enum container_status container_status(const struct state *state);

/* "creating", "created", "running", "paused", "stopped". */
const char *container_status_name(const struct state *state);

/* Keeps a copy of the bundle's config.json, for its poststart and poststop hooks. */
int container_keep_spec(const struct store *store, const struct state *state, struct error *err);

/*
 * Ends and removes all of it, from what the state says, and its VM when that has no other
 * container; lets go of the lock. When something cannot be removed the state stays, for another
 * try; force: of what does not matter to the host (filters in a network namespace that is somebody
 * else's) only the log tells.
 */
int container_destroy(const struct store *store, struct state *state, struct store_lock *lock,
		      bool force, struct error *err);

/* The same without a usable state: from what can be derived from the id. */
int container_destroy_unknown(const struct store *store, const char *id, const char *sid,
			      struct store_lock *lock, struct error *err);

/* SIGKILL to a process of ours, if it still is that. */
void container_kill_process(const struct process_ref *process);

/*
 * Lets the execs of a container go on that somebody has stopped, with ^Z for example: the kernel
 * keeps the container's shim, process 1 of their shims' pid namespace, until these are reaped.
 */
void container_continue_verbs(const struct store *store, const char *sid);

/* Writes a pid file whole: a temporary file beside it, renamed. */
int container_write_pid(const char *path, pid_t pid, struct error *err);

#endif
