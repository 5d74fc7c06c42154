/* linux.sysctl: which kernel parameters a container may have, and where the guest has them. */
#ifndef KATA_RUNTIME_SYSCTL_H
#define KATA_RUNTIME_SYSCTL_H

#include <stddef.h>

#include "common/error.h"

/*
 * The path below /proc/sys of a parameter's name, in which '.' or '/' parts the words (the other
 * one belongs to a word then: net/ipv4/conf/eth0.5/x). -EINVAL unless it is one of a namespace
 * that each container has, or of its VM's network: runc's list.
 */
int sysctl_path(const char *name, char *path, size_t size, struct error *err);

#endif
