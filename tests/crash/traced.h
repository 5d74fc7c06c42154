/* A program run under ptrace(2), so that it can be killed, or made to fail, at one system call. */
#ifndef KATA_TESTS_TRACED_H
#define KATA_TESTS_TRACED_H

#include <stdbool.h>
#include <sys/types.h>

/* Which system calls of the program's first process count. */
enum traced_set {
	TRACED_ALL,
	TRACED_EFFECTS,  /* those after which the world may be another one: between two of them */
			 /* the place of a SIGKILL makes no difference to anybody */
	TRACED_FALLIBLE, /* open, mount, clone, write, fsync, rename, connect, and their kin */
};

struct traced {
	enum traced_set set;
	unsigned point; /* the counted call to act at, from 1; 0: none, only count */
	int errnum;     /* 0: SIGKILL before the call; else it is not done and fails with this */
	int stdout_fd;  /* of the program, for 1 and 2 */
	/*
	 * When set it is called instead, before each counted call from point on, until it returns
	 * true; the program then goes on untraced and is the caller's to wait for. stop: it is
	 * stopped as soon as that call is done.
	 */
	bool (*act)(void *userdata);
	void *userdata;
	bool stop;
	/* What came of it. */
	unsigned count; /* counted calls begun */
	bool reached;
	long call;  /* number of the call acted at, or asked about */
	int status; /* as waitpid(2) */
	pid_t pid;  /* of the program, when it was let go; else 0 */
};

/* Runs argv[0] with argv to its end; after 30 s it is killed. false: it could not be traced. */
bool traced_run(struct traced *traced, char *const argv[]);

#endif
