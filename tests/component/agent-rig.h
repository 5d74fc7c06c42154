/*
 * What the tests of kata-agent stand on: the real agent in mount and pid namespaces of its own,
 * without a VM, and clients that speak to it over its socket. Failures end the test.
 */
#ifndef KATA_TESTS_AGENT_RIG_H
#define KATA_TESTS_AGENT_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/frame.h"
#include "common/session.h"

enum { RIG_CALLERS = 64, RIG_WAIT_MS = 20000 };

/* A client: a session on a channel, and everything that came for it. */
struct caller {
	struct rig *rig;
	uint32_t channel;
	uint8_t id[16];
	uint32_t role;
	uint64_t handle;
	struct session session;
	struct buf out[STREAM_COUNT]; /* what was received */
	bool ended[STREAM_COUNT];
	bool paused; /* what comes is not said to be consumed */
	size_t held; /* bytes so held back on stdout */
	bool open, closed;
	uint32_t close_reason;
	char close_text[1024];
	bool replied;
	enum msg_type reply_type;
	void *reply;
	bool exited;
	struct msg_exit exit;
};

struct rig {
	pid_t keeper; /* holds the namespaces and waits for the agent */
	int pipe;     /* its word that the agent has ended */
	int link;
	int listening; /* -1 unless the link can be made anew */
	char dir[64], cgroup[128];
	struct buf input;
	bool synced, greeted;
	struct caller *callers[RIG_CALLERS];
	uint32_t next_channel;
	unsigned logs; /* LOG events seen */
	unsigned pongs;
	char last_log[1024];
};

/*
 * Starts the agent and says hello. The shared directory holds c1/rootfs with busybox, and for the
 * mounts c1/file ("shared file"), c1/dir/inside. listening: the link can be lost and made again.
 */
struct rig *rig_start(bool listening);

/* Stops the agent and checks that it ended well and left no process and no cgroup. */
void rig_stop(struct rig *rig);

/* For a suite's fini: takes away what a test that failed has left. */
void rig_drop(void);

/* Loses the link; makes a new one. */
void rig_cut(struct rig *rig);
void rig_join(struct rig *rig);

/* A new host on the same link, behind a part of a frame for that channel from the one before. */
void rig_usurp(struct rig *rig, uint32_t channel);

/* Lets things happen until *flag, at most RIG_WAIT_MS; rig_pump() for a time. */
void rig_until(struct rig *rig, const bool *flag, const char *what);
void rig_pump(struct rig *rig, int ms);

/* Opens a session and waits; refused ones are closed afterwards. */
struct caller *caller_open(struct rig *rig, uint32_t role, uint64_t handle);
/* The same session on the rig's new link. */
void caller_reopen(struct caller *caller);
void caller_close(struct caller *caller, enum close_reason reason);

/* Sends a request and waits for its answer, which stays in caller->reply until the next. */
enum msg_type caller_ask(struct caller *caller, enum msg_type type, const void *body);
/* As caller_ask, and the answer must be DONE, or CREATED, whose handle is returned. */
void caller_must(struct caller *caller, enum msg_type type, const void *body);
uint64_t caller_must_create(struct caller *caller, enum msg_type type, const void *body);
/* The answer must be FAILED with that errno and that text. */
void caller_must_fail(struct caller *caller, enum msg_type type, const void *body, int errnum,
		      const char *text);

/* Writes all to stdin, waiting for room. */
void caller_write(struct caller *caller, const void *data, size_t n);
/* Waits until stdout holds that text. */
void caller_expect(struct caller *caller, const char *text);
/* Waits for EXIT and for the output it announces: the exit code. */
int caller_wait_exit(struct caller *caller);
/* What came on a stream as a string, to be freed. */
char *caller_text(struct caller *caller, unsigned stream);

#endif
