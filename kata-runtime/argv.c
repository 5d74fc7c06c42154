/* A growing argument vector: see argv.h. Used where kata-runtime makes a program's arguments. */
#include "kata-runtime/argv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void argv_fini(struct argv *argv)
{
	for (uint32_t i = 0; i < argv->count; i++)
		free(argv->items[i]);
	free(argv->items);
	*argv = (struct argv){ 0 };
}

/* Takes text, also when it fails; NULL stands for memory that ran out. */
static void take(struct argv *argv, char *text)
{
	char **items = NULL;

	if (text != NULL && argv->failed == 0)
		items = reallocarray(argv->items, (size_t)argv->count + 2, sizeof(*items));
	if (items == NULL) {
		free(text);
		argv->failed = argv->failed != 0 ? argv->failed : -ENOMEM;
		return;
	}
	items[argv->count++] = text;
	items[argv->count] = NULL;
	argv->items = items;
}

void argv_add(struct argv *argv, const char *text)
{
	take(argv, strdup(text));
}

void argv_addf(struct argv *argv, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	take(argv, text);
}
