/* Sandbox ids: a short name for a container id below a root directory. */
#ifndef KATA_SID_H
#define KATA_SID_H

#include "common/error.h"

enum { SID_LEN = 32, SID_SIZE = SID_LEN + 1 };

/*
 * The first 128 bits of SHA-256 over root, NUL, id, as 32 hex digits. root is taken without its
 * symbolic links, so that two names of one directory give one sid; parts that are not there yet
 * count as written. generation: 0, or greater (then it is hashed too) for another sid of the same
 * container id.
 */
int sid_derive(const char *root, const char *id, unsigned generation, char ret[SID_SIZE],
	       struct error *err);

/* 0 when text is a sid, else -EINVAL. */
int sid_check(const char *text, struct error *err);

#endif
