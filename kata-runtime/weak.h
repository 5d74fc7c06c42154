/*
 * Which settings of a configuration leave a VM or the host less well guarded than they could be,
 * and in which way. docs/security.md tells more of each.
 */
#ifndef KATA_WEAK_H
#define KATA_WEAK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/launch.h"
#include "kata-runtime/config.h"

enum { WEAK_MAX = 16 };

struct weak {
	const char *key, *value; /* SECTION.NAME, and what it is; as the configuration has them */
	const char *why;
};

/* What is in force: the configuration, and what its "auto" comes to on this host. */
struct weak_facts {
	const struct config *config;
	enum launch_link link;
	bool tcg;
};

/* Fills ret with what is weaker: how many. The texts are constant. */
size_t weak_list(const struct weak_facts *facts, struct weak ret[WEAK_MAX]);

#endif
