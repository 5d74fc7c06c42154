/*
 * What a process's command means inside its container: which file it is, and where its user is at
 * home. The texts are runc's own words, since docker and podman turn them into exit codes 126 and
 * 127; they are about the user's program.
 */
#ifndef KATA_AGENT_LOOKUP_H
#define KATA_AGENT_LOOKUP_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

/*
 * Finds the program name as execvp(3) would with that PATH (NULL: there is none), as the user that
 * calls: 0 with its path, or -ENOENT, -EACCES and so on with runc's text.
 */
int lookup_program(const char *name, const char *path, char ret_path[PATH_MAX], struct error *err);

/* The value of NAME in an environment, or NULL. The last one counts. */
const char *lookup_env(char *const *env, const char *name);

/*
 * The home directory of uid in the text of a passwd(5) file: 0, or -ENOENT when it has none or it
 * does not fit.
 */
int lookup_home(const char *passwd, size_t len, uid_t uid, char *ret_home, size_t size);

#endif
