/*
 * What a VM was made of: QEMU, kernel and image, by their paths and the very files that they were.
 * So that it can be told which VMs run something older than what would be used now.
 */
#ifndef KATA_RUNTIME_ASSETS_H
#define KATA_RUNTIME_ASSETS_H

#include <stdbool.h>

#include "common/error.h"
#include "kata-runtime/config.h"
#include "kata-runtime/store.h"

/* "hypervisor", "kernel" or "image". */
const char *asset_name(enum state_asset asset);
const char *asset_path(const struct config *config, enum state_asset asset);

/* Notes in state what a VM of that configuration is made of, or what the one it joins was. */
int assets_note(struct state *state, const struct config *config, struct error *err);
int assets_copy(struct state *state, const struct state *sandbox, struct error *err);

/* Whether a new VM would have another one. Not when it is not known, as of earlier releases. */
bool asset_is_stale(const struct state *state, const struct config *config, enum state_asset asset);

#endif
