/* What of a bundle goes to the guest: the typed CREATE message, and what the VM needs beside it. */
#ifndef KATA_RUNTIME_GUEST_SPEC_H
#define KATA_RUNTIME_GUEST_SPEC_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/error.h"
#include "common/protocol.h"
#include "kata-runtime/resources.h"
#include "kata-runtime/spec.h"

/* A host path to hand in before CREATE. */
struct guest_share {
	const char *source; /* borrowed from the spec */
	char name[192];     /* below the share: CONTAINER/NAME */
	bool readonly;
};

struct mount_options;
struct pod;

struct guest_spec {
	struct msg_create create; /* its texts are borrowed from the spec, or in mount_options */
	struct guest_share *shares;
	uint32_t n_shares;
	char rootfs[192];
	struct mount_options *options; /* one per mount, owner of their data */
	uint32_t n_options;
	struct resources resources;
	struct buf seccomp;   /* the program */
	char (*sysctls)[256]; /* their paths */
	char shm[64];         /* options of the guest's /dev/shm in the place of the host's */
	char *hook_state;
};

/*
 * Translates; container is a checked id and borrowed, as spec and pod are, for the life of *ret.
 * Refused by name: what a VM cannot give (host devices as mounts, namespaces that are not those of
 * the pod).
 */
int guest_spec_make(const struct spec *spec, const char *container, const struct pod *pod,
		    struct guest_spec *ret, struct error *err);
void guest_spec_fini(struct guest_spec *guest);

/* A process, for CREATE or EXEC. Borrows from process; free with guest_process_fini(). */
int guest_process_make(const struct spec_process *process, struct msg_process *ret,
		       struct error *err);
void guest_process_fini(struct msg_process *process);

#endif
