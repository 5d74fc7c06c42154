/* Kernel modules of the guest image, loaded in the order of its list. */
#ifndef KATA_AGENT_MODULES_H
#define KATA_AGENT_MODULES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/*
 * Loads each module that the file names, one path a line, each after those it needs. A missing
 * list is a kernel without modules. Those with the word without (may be NULL) in their name are
 * left out. A module that cannot be loaded is logged and the next one tried; returns how many could
 * not, or a negative errno when the list cannot be read.
 */
int modules_load(const char *list, const char *without, struct error *err);

/*
 * Makes the path of one line: false for blank lines, comments ('#') and what is no absolute path.
 * line is changed.
 */
bool modules_parse_line(char *line, const char **ret_path);

/* The name a path's module has in the kernel's list, for the log: "virtio_pci". */
void modules_name(const char *path, char *ret_name, size_t size);

#endif
