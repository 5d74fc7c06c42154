/* Starting one of our programs with exactly the descriptors and namespaces it shall have. */
#ifndef KATA_RUNTIME_SPAWN_H
#define KATA_RUNTIME_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

enum { SPAWN_FDS_MAX = 8 };

struct spawn {
	const char *path; /* the program, absolute */
	char *const *argv;
	char *const *envp;
	int fds[SPAWN_FDS_MAX]; /* fds[i] becomes descriptor i; -1: /dev/null */
	int fd_count;           /* everything else is closed */
	uint64_t namespaces;    /* CLONE_NEW*: the child is made in them */
	int netns, pidns;       /* namespaces to join instead, -1: none */
};

/*
 * Starts it in a session of its own: its pid, or a negative errno when any step up to its exec
 * failed (the child is reaped then).
 */
pid_t spawn_run(const struct spawn *spawn, struct error *err);

#endif
