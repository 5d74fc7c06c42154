/*
 * Requests to the agent, without a root process ever reading a byte that came from the guest: a
 * forked child without rights speaks the protocol, decodes and checks the replies, and hands back
 * structs of fixed size on a pipe.
 */
#ifndef KATA_RUNTIME_DECODER_H
#define KATA_RUNTIME_DECODER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"

struct decoder {
	pid_t pid;      /* 0: none */
	int fd;         /* socketpair to the child */
	char path[108]; /* of the proxy's socket, to connect again when its worker crashed */
};
#define DECODER_NONE \
	{ \
		.fd = -1 \
	}

/* One process as the guest tells it; command is printable. */
struct decoder_row {
	uint32_t pid, ppid, uid;
	uint64_t cpu_ms, start_s;
	char command[256];
};

/* One number of a container's cgroup, see STATISTICS; name is printable. */
struct decoder_statistic {
	char name[128];
	uint64_t value;
};

/* The parts of a reply that any caller needs. */
struct decoder_reply {
	uint64_t handle; /* CREATED */
	uint32_t pid;    /* CREATED */
	uint32_t n_rows; /* PS_ROWS, STATISTICS */
};

/*
 * Connects to the proxy's socket, forks the child with uid and gid uid in an empty root, waits
 * until the agent has said hello and a session is open. seccomp_log: as filter_load(). 0, or a
 * negative errno: -ENOENT or -ECONNREFUSED when nobody listens, -ETIMEDOUT, -ECONNABORTED with
 * the proxy's words why the VM ended.
 */
int decoder_open(struct decoder *decoder, const char *socket_path, uid_t uid, bool seccomp_log,
		 int64_t deadline, struct error *err);

/* Ends the child and reaps it; also for CLEANUP(). */
void decoder_close(struct decoder *decoder);

/*
 * One request and its reply of the type the table names. ret_rows (may be NULL) gets the rows of
 * PS_ROWS, to be freed. An error reply of the agent is that error, its text made printable.
 */
int decoder_request(struct decoder *decoder, enum msg_type type, const void *body, int64_t deadline,
		    struct decoder_reply *ret_reply, struct decoder_row **ret_rows,
		    struct error *err);

/* STATS of a container: *ret_values with *ret_count items is to be freed. */
int decoder_statistics(struct decoder *decoder, const char *container, int64_t deadline,
		       struct decoder_statistic **ret_values, uint32_t *ret_count,
		       struct error *err);

#endif
