/* What a VM was made of: see assets.h. Used by create and list, in kata-runtime's process. */
#include "kata-runtime/assets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/str.h"

enum { FILE_SIZE = 96 };

const char *asset_name(enum state_asset asset)
{
	static const char *const names[STATE_ASSETS] = {
		[ASSET_HYPERVISOR] = "hypervisor",
		[ASSET_KERNEL] = "kernel",
		[ASSET_IMAGE] = "image",
	};

	return names[asset];
}

const char *asset_path(const struct config *config, enum state_asset asset)
{
	switch (asset) {
	case ASSET_HYPERVISOR:
		return config->hypervisor.path;
	case ASSET_KERNEL:
		return config->hypervisor.kernel;
	case ASSET_IMAGE:
		return config->hypervisor.initrd;
	case STATE_ASSETS:
		break;
	}
	return "";
}

/* What changes when a file is replaced or written: "" when it is not there. */
static void identify(const char *path, char text[FILE_SIZE])
{
	struct stat st;

	text[0] = '\0';
	if (stat(path, &st) == 0)
		snprintf(text, FILE_SIZE, "%" PRIu64 ":%" PRIu64 ":%" PRId64 ".%09ld",
			 (uint64_t)st.st_dev, (uint64_t)st.st_ino, (int64_t)st.st_mtim.tv_sec,
			 st.st_mtim.tv_nsec);
}

static int note(struct state *state, enum state_asset asset, const char *path, const char *file,
		struct error *err)
{
	free(state->asset_path[asset]);
	free(state->asset_file[asset]);
	state->asset_path[asset] = strdup(path);
	state->asset_file[asset] = strdup(file);
	if (state->asset_path[asset] == NULL || state->asset_file[asset] == NULL)
		return error_set(err, ENOMEM, "state");
	return 0;
}

int assets_note(struct state *state, const struct config *config, struct error *err)
{
	char file[FILE_SIZE];
	int r = 0;

	for (enum state_asset i = 0; r == 0 && i < STATE_ASSETS; i++) {
		identify(asset_path(config, i), file);
		r = note(state, i, asset_path(config, i), file, err);
	}
	return r;
}

int assets_copy(struct state *state, const struct state *sandbox, struct error *err)
{
	int r = 0;

	for (enum state_asset i = 0; r == 0 && i < STATE_ASSETS; i++)
		r = note(state, i, sandbox->asset_path[i], sandbox->asset_file[i], err);
	return r;
}

bool asset_is_stale(const struct state *state, const struct config *config, enum state_asset asset)
{
	char file[FILE_SIZE];

	if (state->asset_file[asset][0] == '\0')
		return false;
	identify(asset_path(config, asset), file);
	return !str_eq(state->asset_path[asset], asset_path(config, asset)) ||
	       !str_eq(state->asset_file[asset], file);
}
