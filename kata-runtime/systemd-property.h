/*
 * Annotations org.systemd.property.NAME, which say what the scope of a container is to have beside
 * what we give it, in the text that runc takes for it: GVariant's, of simple types and lists of
 * texts or whole numbers. Like runc's it has no tuples.
 */
#ifndef KATA_RUNTIME_SYSTEMD_PROPERTY_H
#define KATA_RUNTIME_SYSTEMD_PROPERTY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/spec.h"

#define SYSTEMD_PROPERTY "org.systemd.property."

struct systemd_property {
	char name[64];
	char type[3]; /* D-Bus: b, y, i, u, x, t, d, s, or a with y, i, u, x, t, s */
	int64_t number;
	uint64_t positive; /* of y, u and t */
	double real;
	struct wire_strings texts; /* of s the first */
	uint64_t *numbers;         /* of a list, negative ones as int64_t */
	uint32_t n_numbers;
};

/* 0 and *ret is nothing to free when it is no such annotation; 1; -EINVAL with its name. */
int systemd_property_parse(const struct spec_pair *annotation, struct systemd_property *ret,
			   struct error *err);
void systemd_property_fini(struct systemd_property *property);

/* Whether all of them can be read. */
int systemd_properties_check(const struct spec_pair *annotations, uint32_t count,
			     struct error *err);

#endif
