/* Pseudo terminals of a container, from its own devpts. */
#ifndef KATA_AGENT_TERMINAL_H
#define KATA_AGENT_TERMINAL_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

struct terminal {
	int master, slave;
};

/*
 * Opens a new terminal of the devpts that is mounted at /dev/pts below root_fd; its slave belongs
 * to uid. Both descriptors are the caller's.
 */
int terminal_open(int root_fd, uid_t uid, struct terminal *ret_terminal, struct error *err);

/* Sets the size in characters; the kernel tells the foreground processes by SIGWINCH. */
int terminal_resize(int fd, uint32_t rows, uint32_t columns, struct error *err);

/* Puts the slave at /dev/console of a container that is being built. */
int terminal_bind_console(int root_fd, int slave, struct error *err);

/* Makes the slave stdin, stdout, stderr and the controlling terminal of a session leader. */
int terminal_take(int slave, struct error *err);

#endif
