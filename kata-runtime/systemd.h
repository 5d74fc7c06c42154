/*
 * systemd as the keeper of cgroups: a container's processes become a transient scope, as
 * --systemd-cgroup asks for; and of workers, as proxy.launcher does. Spoken to on its private
 * socket, which only root reaches and which needs no bus daemon, with libsystemd, which is loaded
 * at the first call and not before.
 */
#ifndef KATA_RUNTIME_SYSTEMD_H
#define KATA_RUNTIME_SYSTEMD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "kata-runtime/spec.h"

#define SYSTEMD_SOCKET "/run/systemd/private"

/* Does systemd listen there? Where it does not, nothing else of this is of use. */
bool systemd_is_here(const char *socket);

struct systemd_scope {
	const char *unit;  /* X.scope */
	const char *slice; /* Y.slice, which systemd makes too when it is not there */
	const char *container;
	pid_t pid; /* becomes its first process */
	/* Of the container: those that are properties of its scope, see systemd-property.h. */
	const struct spec_pair *annotations;
	uint32_t n_annotations;
};

/*
 * Has the scope made and returns when its job is done. One of that name that has ended and is
 * still known is forgotten first; one that lives is -EEXIST.
 */
int systemd_start_scope(const char *socket, const struct systemd_scope *scope, int64_t deadline,
			struct error *err);

/* Starts a unit that has a file, and returns when its job is done. */
int systemd_start_unit(const char *socket, const char *unit, int64_t deadline, struct error *err);

/* Ends a unit and waits for it. One that is gone already is no error. */
int systemd_stop_unit(const char *socket, const char *unit, int64_t deadline, struct error *err);

#endif
