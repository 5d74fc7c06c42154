/* The table of configuration keys: parser, defaults, print-out and manual page come from it. */
#ifndef KATA_CONFIG_KEYS_H
#define KATA_CONFIG_KEYS_H

#include <stddef.h>
#include <stdint.h>

enum config_type {
	CONFIG_PATH,   /* char *: absolute */
	CONFIG_DAEMON, /* char *: absolute, or "auto": the first that is there of the choices */
	CONFIG_TEXT,   /* char * of at most max bytes, one line */
	CONFIG_RANGE,  /* char *: "" or START:COUNT of uids */
	CONFIG_NUMBER, /* uint32_t from min to max */
	CONFIG_BOOL,   /* bool */
	CONFIG_CHOICE, /* uint32_t: the number of one of the choices */
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
};

/* The last has no name. Keys of a section stand together. */
extern const struct config_key config_keys[];

#endif
