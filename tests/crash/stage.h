/*
 * What tests that kill things stand on: a directory, a bundle, a network namespace with an
 * interface, a configuration whose QEMU, virtiofsd and agent are fake-vm (or real VMs of what is
 * installed), the runtime's verbs, and the question what is left.
 */
#ifndef KATA_TESTS_STAGE_H
#define KATA_TESTS_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/crash/remains.h"

enum { STAGE_WORDS_MAX = 16, STAGE_LEFT_SIZE = 16384 };

struct stage {
	/* Of the caller, paths: NULL with fakes, from $KATA_BUILD; else $KATA_RUNTIME is run. */
	const char *installed_config, *rootfs;
	bool own_netns;            /* each container makes its own, so that there can be several */
	unsigned uid_blocks;       /* uids for so many VMs; 0: for as many as this host has */
	void (*before_exec)(void); /* called in what becomes kata-runtime; or NULL */
	/* What was made. */
	char work[64], build[3000], netns_path[64];
	char runtime[4096], config[4096], bundle[128], root[128], pid_file[128];
	pid_t holder; /* of the network namespace */
	int log;      /* what the runtime prints */
	struct remains remains;
};

/* Makes it all. Ends the program when that fails, or when this host has sandboxes already. */
void stage_make(struct stage *stage);

/* Removes it: 0, or else not. */
int stage_remove(struct stage *stage);

/* Bail out!, with the container and the directory removed as far as that goes. */
__attribute__((format(printf, 1, 2), noreturn)) void stage_die(const char *fmt, ...);

/* The runtime with its global options: how many words that are. */
size_t stage_command(struct stage *stage, char *argv[STAGE_WORDS_MAX]);

/* Runs a verb of the runtime; the words end with a NULL. Its exit status, or 128 + signal. */
int stage_runtime(struct stage *stage, const char *verb, ...);

/* Starts one and does not wait for it: its pid. */
pid_t stage_begin(struct stage *stage, char *const words[]);

/*
 * Waits for a child: its exit status, 128 + signal, or -1 when it still runs at the deadline.
 * Orphans are reaped meanwhile, as whoever gets them has to: a pid namespace does not end before
 * the last zombie in it is gone.
 */
int stage_wait(pid_t pid, int64_t deadline);

/*
 * How an orphan ended that was reaped, the container's shim for example: exit status, 128 +
 * signal, or -1 when it has not.
 */
int stage_ended(pid_t pid);

void stage_reap(void);

/* `create` and what follows; 0 or an exit status. */
int stage_created(struct stage *stage);
int stage_running(struct stage *stage);
int stage_killed(struct stage *stage);

/* The pid file's number; 0: there is none. */
pid_t stage_shim(const struct stage *stage);

/* What the runtime printed since the last call. */
const char *stage_printed(struct stage *stage);

/* Prints a text as lines of TAP comments. */
void stage_say_lines(const char *text);

/* Nothing is left, at once or when what was killed has come to its end; else text says what. */
bool stage_is_clean(struct stage *stage, char text[STAGE_LEFT_SIZE]);

#endif
