/* tmpcopyup: a tmpfs that begins with what the directory below it holds. */
#ifndef KATA_AGENT_COPYUP_H
#define KATA_AGENT_COPYUP_H

#include "common/error.h"

/*
 * Copies directories, regular files, symbolic links and fifos with owner, mode and times from one
 * directory (may be O_PATH) into another. Other kinds are left out. Allocates nothing.
 */
int copyup_directory(int from_fd, int to_fd, struct error *err);

#endif
