/* The statistics of a container: the numbers in the files of its cgroup. */
#ifndef KATA_AGENT_STATS_H
#define KATA_AGENT_STATS_H

#include "common/error.h"
#include "common/protocol.h"

enum { STATS_MAX = 1024, STATS_NAME_MAX = 127 };

/* What the kernel has no file for is not among them. *ret is freed with stats_free(). */
int stats_read(int cgroup, struct msg_statistics *ret, struct error *err);
void stats_free(struct msg_statistics *statistics);

/*
 * Adds the numbers of a file's text, whichever of cgroup2's forms it has: one number, "KEY NUMBER"
 * lines, or "DEVICE KEY=NUMBER ..." lines; "max" is the greatest number. Other words, and more
 * than STATS_MAX, are left out. 0 or -ENOMEM.
 */
int stats_parse(const char *file, const char *text, struct msg_statistics *to);

#endif
