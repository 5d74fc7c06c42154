/* Where the components of a sandbox write their logs. */
#ifndef KATA_RUNTIME_LOGS_H
#define KATA_RUNTIME_LOGS_H

#include "common/error.h"
#include "kata-runtime/config.h"

/*
 * The log of one component: journald's socket when the configuration wants it or the host has it,
 * else LOG_DIR/SID/COMPONENT.log. The descriptor is the caller's; it goes to a daemon that could
 * not open it any more.
 */
int logs_open(const struct config *config, const char *sid, const char *component,
	      struct error *err);

/*
 * Loads the configuration (file as for config_load()) and starts the runtime's own log for a verb
 * on one container, first of all, so that the log has whatever fails after it. When the
 * configuration cannot be loaded that is returned and *ret not written; the log is then where the
 * defaults say. A log that cannot be opened is no failure of the verb: it is told on standard
 * error. exec may be NULL.
 */
int logs_start_runtime(const char *file, bool debug, const char *sid, const char *id,
		       const char *exec, struct config *ret, struct error *err);

/* The runtime's log goes on in that sandbox's: when a container turns out to be a member of it. */
void logs_use_sandbox(const struct config *config, bool debug, const char *sid, const char *id);

#endif
