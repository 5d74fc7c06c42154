/* Asking an installed virtiofsd which of the two programs of that name it is. */
#ifndef KATA_VIRTIOFSD_PROBE_H
#define KATA_VIRTIOFSD_PROBE_H

#include "common/error.h"
#include "kata-runtime/virtiofsd-args.h"

/* Runs "PATH --version", at most 5 s. -EPROTONOSUPPORT: it is neither; or why it cannot run. */
int virtiofsd_probe(const char *path, enum virtiofsd_kind *ret_kind, struct error *err);

/*
 * The same, but the program is run only when cache, a file, does not tell what it was when it last
 * ran: it is known by its path, inode, size and times. A cache that cannot be kept costs time only.
 */
int virtiofsd_probe_cached(const char *cache, const char *path, enum virtiofsd_kind *ret_kind,
			   struct error *err);

#endif
