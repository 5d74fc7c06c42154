/* The standard streams that a shim gets: ours, or a new terminal. */
#ifndef KATA_RUNTIME_PROCESS_IO_H
#define KATA_RUNTIME_PROCESS_IO_H

#include <stdbool.h>

#include "common/error.h"
#include "kata-runtime/container.h"
#include "kata-runtime/spec.h"

struct process_io {
	int stdio[3]; /* for the shim, borrowed */
	int slave;    /* owned, -1: none */
	int master;   /* owned until the caller of run or exec takes it, -1: none */
};
#define PROCESS_IO_NONE \
	{ \
		.stdio = { 0, 1, 2 }, .slave = -1, .master = -1 \
	}

/*
 * Checks the options against process.terminal as runc does, makes the terminal, and sends it to
 * the console socket.
 */
int process_io_open(struct process_io *io, const struct spec_process *process,
		    const struct container_options *options, struct error *err);
void process_io_close(struct process_io *io);

/* Whether the options ask for what a VM cannot give: descriptors of the caller. */
int process_io_check(const struct container_options *options, struct error *err);

#endif
