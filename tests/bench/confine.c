/*
 * What confinement costs at a daemon's start: for each row of common/privsep.def that a process of
 * ours applies, a child makes the namespaces and a root, drops and loads the filter. Prints the
 * quickest of some rounds in seconds, since the others have waited for what else the host does. Run
 * by "make bench", as root.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/privsep.h"

enum { ROUNDS = 41, BASE = 3600000 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The steps of one start: 0, or -1 with a line on standard error. */
static int confine(enum privsep_process process)
{
	const struct privsep_row *row = privsep_row(process);
	uid_t uid = BASE + (uid_t)row->user;
	struct error err = { 0 };
	int r = 0;

	if (unshare((int)row->namespaces & ~CLONE_NEWPID) < 0)
		r = error_say(&err, 1, "namespaces cannot be made");
	if (r == 0)
		r = privsep_enter_root(-1, &err);
	if (r == 0)
		r = privsep_limit(process, &err);
	if (r == 0)
		r = privsep_drop(uid, uid, NULL, 0, &err);
	if (r == 0)
		r = privsep_finish(process, uid, false, &err);
	if (r < 0)
		fprintf(stderr, "confine: %s: %s\n", row->name, err.text);
	return r;
}

static double once(enum privsep_process process)
{
	double began, took = -1;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		began = now();
		if (confine(process) < 0)
			_exit(1);
		took = now() - began;
		_exit(write(fds[1], &took, sizeof(took)) != sizeof(took));
	}
	close(fds[1]);
	if (read(fds[0], &took, sizeof(took)) != sizeof(took))
		took = -1;
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return took;
}

int main(void)
{
	static const enum privsep_process processes[] = { PRIVSEP_MONITOR, PRIVSEP_WORKER,
							  PRIVSEP_SHIM, PRIVSEP_DECODER };
	for (size_t i = 0; i < ARRAY_SIZE(processes); i++) {
		double least = 1;

		for (int k = 0; k < ROUNDS; k++) {
			double took = once(processes[i]);

			if (took < 0)
				return 1;
			least = took < least ? took : least;
		}
		printf("%s %.6f\n", privsep_row(processes[i])->name, least);
	}
	return 0;
}
