/*
 * A QEMU that answers QMP from a script, in a thread of the test. Descriptors and thread belong to
 * struct fake_qemu. Every step ends within FAKE_QEMU_STEP_MS.
 */
#ifndef KATA_FAKE_QEMU_H
#define KATA_FAKE_QEMU_H

#include <pthread.h>
#include <stddef.h>

enum { FAKE_QEMU_STEP_MS = 10000 };

enum fake_qemu_act {
	FAKE_SEND,    /* text; "$ID" becomes the id of the last command */
	FAKE_DRIP,    /* as FAKE_SEND, a byte at a time */
	FAKE_EXPECT,  /* reads one line, which holds text */
	FAKE_FLOOD,   /* text again and again: number times, 0: until the client is gone */
	FAKE_SILENCE, /* reads and says nothing until the client is gone */
};

struct fake_qemu_step {
	enum fake_qemu_act act;
	const char *text;
	int number;
};

struct fake_qemu {
	const struct fake_qemu_step *steps;
	size_t count;
	int fd, listener;
	pthread_t thread;
	char line[4096];    /* the last command */
	char failure[4352]; /* "" when every step was done */
};

#define FAKE_GREETING \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, " \
	"\"major\": 7}, \"package\": \"fake\"}, \"capabilities\": [\"oob\"]}}" \
	"\r\n"
#define FAKE_DONE "{\"return\": {}, \"id\": $ID}\r\n"

/* The steps every session begins with. */
#define FAKE_HELLO \
	{ FAKE_SEND, FAKE_GREETING }, { FAKE_EXPECT, "\"execute\":\"qmp_capabilities\"" }, \
	{ \
		FAKE_SEND, FAKE_DONE \
	}

/* Starts it on a socketpair: the client's end, which the caller owns; -1 on failure. */
int fake_qemu_start(struct fake_qemu *fake, const struct fake_qemu_step *steps, size_t count);

/* Starts it on a listening socket at path, where it accepts one client: 0 or -1. */
int fake_qemu_listen(struct fake_qemu *fake, const char *path, const struct fake_qemu_step *steps,
		     size_t count);

/* Waits for the script's end: "" or the step that failed. The client's end is closed before. */
const char *fake_qemu_end(struct fake_qemu *fake);

#endif
