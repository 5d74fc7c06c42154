/* The table of configuration keys: parser, defaults, print-out and manual page come from it. */
#ifndef KATA_CONFIG_KEYS_H
#define KATA_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/config.h"
#include "kata-runtime/json.h"

enum config_type {
	CONFIG_PATH,     /* char *: absolute */
	CONFIG_DAEMON,   /* char *: absolute, or "auto": the first that is there of the choices */
	CONFIG_TEXT,     /* char * of at most max bytes, one line */
	CONFIG_RANGE,    /* char *: "" or START:COUNT of uids */
	CONFIG_NUMBER,   /* uint32_t from min to max */
	CONFIG_BOOL,     /* bool */
	CONFIG_CHOICE,   /* uint32_t: the number of one of the choices */
	CONFIG_REGEXES,  /* struct wire_strings of regular expressions; empty by default */
	CONFIG_PATTERNS, /* struct wire_strings of paths with *, ?, []; empty by default */
};

struct config_key {
	const char *section, *name;
	enum config_type type;
	size_t offset;    /* in struct config */
	const char *text; /* default of the text types */
	uint32_t number;  /* default of the others */
	uint32_t min, max;
	const char *const *choices; /* the last is NULL */
	const char *shown;          /* default in the manual page when it depends on the prefix */
	const char *unit;           /* of a number, or NULL */
	const char *meaning;        /* sentences */

	/* The annotation that may set it, as Kata names it behind CONFIG_ANNOTATIONS, or NULL. */
	const char *annotation;
	size_t patterns; /* of a path: offset of the list that an annotation's value has to match */
	bool appends;    /* of a text: an annotation's value goes behind that of the files */
};

/* The last has no name. Keys of a section stand together. */
extern const struct config_key config_keys[];

/* The value at, of the type that the key has: into config. -EINVAL with file, key and reason. */
int config_read_value(const struct json_at *at, const struct config_key *key, struct config *config,
		      struct error *err);

/* "auto" becomes the path that is there, or the first when none is: who opens it says so. */
int config_find_daemons(struct config *config, struct error *err);

#endif
