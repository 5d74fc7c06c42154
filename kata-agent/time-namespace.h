/* A container's time namespace: the clocks since boot with an offset of its own. */
#ifndef KATA_AGENT_TIME_NAMESPACE_H
#define KATA_AGENT_TIME_NAMESPACE_H

#include "common/error.h"

/* Makes one with the offsets, lines as time_namespaces(7) has them, and enters it. */
int time_namespace_enter(const char *offsets, struct error *err);

#endif
