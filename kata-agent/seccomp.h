/* The system call filter of a container: compiled on the host, loaded here. */
#ifndef KATA_AGENT_SECCOMP_H
#define KATA_AGENT_SECCOMP_H

#include "common/error.h"
#include "common/protocol.h"

/* Whether it can be a program at all: whole instructions, not over the kernel's number. */
int seccomp_check(const struct msg_seccomp *filter, struct error *err);

/* A copy that outlives the message; seccomp_fini() frees it. */
int seccomp_copy(const struct msg_seccomp *filter, struct msg_seccomp *ret, struct error *err);
void seccomp_fini(struct msg_seccomp *filter);

/*
 * Puts it on the calling process, for ever. Needs no_new_privs or CAP_SYS_ADMIN. Nothing is done
 * for an empty program.
 */
int seccomp_load(const struct msg_seccomp *filter, struct error *err);

/*
 * Makes vsock unknown to the calling process, for ever: the host behind it is the agent's to talk
 * to alone. With it goes io_uring, which makes sockets past every filter. On the same conditions.
 */
int seccomp_refuse_vsock(struct error *err);

#endif
