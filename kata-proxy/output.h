/*
 * What one program of the VM prints (QEMU's and virtiofsd's stderr, the guest's console), read by
 * the worker's loop and written to that program's log, line by line. The newest lines are kept, to
 * say why the VM ended.
 */
#ifndef KATA_PROXY_OUTPUT_H
#define KATA_PROXY_OUTPUT_H

#include <stdbool.h>
#include <uv.h>

#include "common/error.h"
#include "common/log.h"
#include "kata-proxy/lines.h"

struct output {
	uv_pipe_t pipe;
	struct lines lines;
	const char *component; /* of the log records; constant */
	int log_fd;            /* borrowed, -1: none */
	enum log_level level;
	bool open;
	/* When set: each line that is logged, too. Set it after output_open(). */
	void (*seen)(struct output *output, const char *text, size_t len);
	char input[8192];
};

/*
 * Takes fd (a pipe or a stream socket) and reads it until its end. Lines are logged with the level.
 * The memory stays the embedder's; the handle is closed by output_close(). On error fd is closed.
 */
int output_open(struct output *output, uv_loop_t *loop, int fd, const char *component, int log_fd,
		enum log_level level, struct error *err);

/* Reads now, without waiting, what is there, a bounded amount; ends the last line. */
void output_drain(struct output *output);

/* Logs the lines kept, as warnings: for a source whose lines were below the log's level. */
void output_tell_kept(struct output *output);

/* Any number of times. */
void output_close(struct output *output);

#endif
