/* Pseudo terminals on the host: for --console-socket, and for run and exec in the foreground. */
#ifndef KATA_RUNTIME_CONSOLE_H
#define KATA_RUNTIME_CONSOLE_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "kata-runtime/store.h"

/* A new pair; both close-on-exec and the caller's. */
int console_open(int *ret_master, int *ret_slave, struct error *err);

/*
 * Connects to the client's socket and sends the master as it expects: one message, one descriptor.
 */
int console_send(const char *socket_path, int master, int64_t deadline, struct error *err);

/* The same with a pidfd of a shim, for --pidfd-socket. */
int console_send_pidfd(const char *socket_path, const struct process_ref *shim, int64_t deadline,
		       struct error *err);

/*
 * Stands between our standard streams and the child: forwards signals to it, and with a terminal
 * (master >= 0, taken over) a further child with uid and gid uid copies both ways, in raw mode
 * when standard input is a terminal, with its size. Returns when the child has ended, reaped: its
 * exit status, 128+n after signal n. last: the caller does nothing afterwards that needs rights.
 */
int console_wait(pid_t child, int master, uid_t uid, bool last, struct error *err);

#endif
