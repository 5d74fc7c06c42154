/*
 * What a container's interface receives for the host: docker's name server asks others from within
 * the container's network namespace, by sockets of its own there, and their answers are not the
 * guest's.
 */
#ifndef KATA_RUNTIME_NETWORK_HOST_H
#define KATA_RUNTIME_NETWORK_HOST_H

#include <linux/bpf.h>
#include <stddef.h>

#include "common/error.h"

enum { NETWORK_HOST_CODE_MAX = 96 };

/*
 * A program for the ingress of an interface: TC_ACT_OK, so that the host receives it, for a TCP or
 * UDP packet to a connected socket of the interface's namespace, else TC_ACT_UNSPEC: the next
 * filter has it. Returns its length.
 */
size_t network_host_make(struct bpf_insn ret[NETWORK_HOST_CODE_MAX]);

/* Loads it: its descriptor, or -1 where the kernel has no such programs. Needs rights of root's. */
int network_host_open(void);

#endif
