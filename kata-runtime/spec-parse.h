/* The parts of the parser of config.json for each other: spec.c and the other spec-*.c. */
#ifndef KATA_SPEC_PARSE_H
#define KATA_SPEC_PARSE_H

#include "kata-runtime/json.h"
#include "kata-runtime/spec.h"

/* As in common/protocol.def, which carries these to the guest. */
enum {
	SPEC_LIST_MAX = 1024,
	SPEC_STRINGS_MAX = 4096,
	SPEC_STRING_MAX = 131072,
	SPEC_PATH_MAX = 4095,
	SPEC_ID_MAPS_MAX = 340,
	SPEC_UNAPPLIED_MAX = 256
};

/* Both fill *ret, which is zero before and freed by the owner also when they fail. */
int spec_read_process(const struct json_at *at, struct spec_process *ret, struct error *err);
int spec_read_linux(const struct json_at *at, struct spec *spec, struct error *err);

/* process.scheduler and process.ioPriority. */
int spec_read_scheduling(const struct json_at *at, struct spec_process *ret, struct error *err);

/* Namespaces, with the maps and offsets of new ones: what they need and exclude of each other. */
int spec_read_namespaces(const struct json_at *at, struct spec *spec, struct error *err);

/*
 * Linux resource limits. One that no cgroup2 of a guest has is refused, or noted when nothing there
 * could differ by it, as what is not known is.
 */
int spec_read_resources(const struct json_at *at, struct spec_resources *ret, struct error *err);

/* The profile: what this version cannot give (notification) is refused. */
int spec_read_seccomp(const struct json_at *at, struct spec_seccomp *ret, struct error *err);
void spec_seccomp_fini(struct spec_seccomp *seccomp);

/* Notes the place of a value that this version does not apply. */
int spec_note(struct wire_strings *unapplied, const struct json_at *at, struct error *err);

/* Notes every member that is not in known (its end is NULL) and is neither null nor empty. */
int spec_note_unknown(struct wire_strings *unapplied, const struct json_at *at,
		      const char *const *known, struct error *err);

/* A word of a table, with the number that it stands for. */
struct spec_word {
	const char *name;
	uint32_t value;
};

/* The member key as one of the words: 1, 0 when it is not there; what names them in the error. */
int spec_get_word(const struct json_at *at, const char *key, const struct spec_word *words,
		  size_t count, const char *what, uint32_t *ret, struct error *err);

/* Whether a value says something: not null, "", {} or []. */
bool spec_says(const struct json_at *at);

void spec_pairs_free(struct spec_pair *pairs, uint32_t count);

/* A path that begins with a slash: a member that has to be there. */
int spec_read_path(const struct json_at *at, const char *key, char **ret, struct error *err);

/* An object of strings as pairs. */
int spec_read_pairs(const struct json_at *at, struct spec_pair **ret, uint32_t *ret_count,
		    struct error *err);

/*
 * Zeroed memory for the items of the list at: *ret_items, *ret_count is set to the number of
 * items, at most max. -EINVAL when at is no list.
 */
int spec_new_items(const struct json_at *at, size_t max, size_t item_size, void **ret_items,
		   uint32_t *ret_count, struct error *err);

#endif
