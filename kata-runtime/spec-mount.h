/* Mount options of config.json, as mount(8) and runc name them, taken apart for mount(2). */
#ifndef KATA_SPEC_MOUNT_H
#define KATA_SPEC_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/spec.h"

struct mount_options {
	uint64_t flags; /* MS_* that are asked for, MS_BIND and MS_REC among them */
	uint64_t clear; /* MS_* that an option says must not be set (rw, suid, dev, exec, ...) */
	uint32_t propagation; /* MS_PRIVATE, MS_SLAVE, ... with MS_REC; 0: none was asked for */
	bool copy_up;         /* tmpcopyup */
	uint64_t all_set;     /* MOUNT_ATTR_* for the mount and all below it */
	uint64_t all_clear;   /* MOUNT_ATTR_* that none of them may have */
	char *data;           /* the filesystem's own options, comma between them; "" when none */
};

/*
 * A later option wins over an earlier one. Refused (-ENOTSUP): id-mapped mounts, since that cannot
 * be left out. *ret is for mount_options_fini().
 */
int mount_options_parse(const struct spec_mount *mount, struct mount_options *ret,
			struct error *err);
void mount_options_fini(struct mount_options *options);

/* The names of all options that are no filesystem's own: number i, NULL behind the last. */
const char *mount_option_name(size_t i);

/* "rprivate" and its like as MS_* bits; 0 when text is no propagation. */
uint32_t mount_propagation(const char *text);

#endif
