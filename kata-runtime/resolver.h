/* The name servers that a bundle's resolv.conf names. */
#ifndef KATA_RUNTIME_RESOLVER_H
#define KATA_RUNTIME_RESOLVER_H

#include <stdbool.h>

#include "common/error.h"
#include "kata-runtime/spec.h"

enum { RESOLVER_SIZE = 64 };

/*
 * Whether all name servers of a resolv.conf's text are on a loopback device and none is docker's,
 * which is relayed: ret is the first of them. None at all is fine.
 */
bool resolver_unreachable(const char *text, char ret[RESOLVER_SIZE]);

/* The same of a file; one that cannot be read is fine. */
bool resolver_unreachable_file(const char *path, char ret[RESOLVER_SIZE]);

/* Tells of it before a name is missed: by a warning, or when strict by -ENOTSUP. */
int resolver_check(const struct spec *spec, bool strict, struct error *err);

#endif
