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
 * Starts the runtime's own log for a verb on one container. A log that cannot be opened is no
 * failure of the verb: it is told on standard error.
 */
void logs_start_runtime(const struct config *config, bool debug, const char *sid, const char *id,
			const char *exec);

#endif
