/* Signals as people and container managers write them. */
#ifndef KATA_RUNTIME_SIGNAL_NAME_H
#define KATA_RUNTIME_SIGNAL_NAME_H

#include "common/error.h"

/*
 * "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3", "SIGRTMAX-1": the Linux number, 0 to 64, where
 * SIGRTMIN is 34 as in runc and the C libraries. -EINVAL.
 */
int signal_parse(const char *text, int *ret_signal, struct error *err);

#endif
