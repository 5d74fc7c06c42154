/*
 * A system call that is answered with success and not carried out: so a process of ours keeps a
 * right that it was to give up, and has to find that out itself.
 */
#ifndef KATA_FAKE_PRETEND_H
#define KATA_FAKE_PRETEND_H

#include <stdint.h>

/* As an argument: whatever it is. */
#define PRETEND_ANY (-1)

/*
 * For this process and all that it starts, by a filter. To be called by root between fork and exec,
 * the arguments are the call's first two; ends the process when it fails.
 */
void pretend(const char *call, int64_t first, int64_t second);

#endif
