/* state and list: what is known of containers; neither needs their VM or lock. */
#include <errno.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/assets.h"
#include "kata-runtime/cause.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"

static void add_text(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

/* From the file, as runc does: other sources of names do more than this verb may. */
static void owner_name(const struct state *state, char *name, size_t size)
{
	CLEANUP(file_close) FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *pw = NULL;

	while (f != NULL && (pw = fgetpwent(f)) != NULL && pw->pw_uid != state->owner)
		continue;
	if (pw != NULL)
		snprintf(name, size, "%s", pw->pw_name);
	else
		snprintf(name, size, "#%u", state->owner);
}

static pid_t shown_pid(const struct state *state)
{
	return container_status(state) == STATUS_STOPPED ? 0 : state->shim.pid;
}

/* The OCI state with what runc adds. */
static struct json_object *make_state(const struct store *store, const struct state *state)
{
	struct json_object *o = json_object_new_object();
	struct json_object *annotations = json_object_new_object();
	char owner[128], cause[CAUSE_LINE_SIZE];

	add_text(o, "ociVersion", "1.1.0");
	add_text(o, "id", state->id);
	json_object_object_add(o, "pid", json_object_new_int(shown_pid(state)));
	add_text(o, "status", container_status_name(state));
	add_text(o, "bundle", state->bundle);
	add_text(o, "rootfs", state->rootfs);
	add_text(o, "created", state->created);
	for (uint32_t i = 0; i < state->n_annotations; i++)
		add_text(annotations, state->annotations[i].name, state->annotations[i].value);
	cause_headline(store, state, cause);
	if (cause[0] != '\0')
		add_text(annotations, "io.katacontainers.cause", cause);
	if (json_object_object_length(annotations) > 0)
		json_object_object_add(o, "annotations", annotations);
	else
		json_object_put(annotations);
	owner_name(state, owner, sizeof(owner));
	add_text(o, "owner", owner);
	if (state->agent_link[0] != '\0') {
		add_text(o, "agentLink", state->agent_link);
		add_text(o, "agentLinkReason", state->agent_link_reason);
	}
	return o;
}

static int print_json(struct json_object *o, int flags, struct error *err)
{
	printf("%s\n", json_object_to_json_string_ext(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return fflush(stdout) == 0 ? 0 : error_set(err, errno, "standard output");
}

int cmd_state(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	CLEANUP(state_fini) struct state state = { 0 };
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	struct store store;
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r == 0 && help) {
		printf("usage: kata-runtime state ID\n");
		return 0;
	}
	if (r == 0)
		r = cli_one_id(&words, argv[0], err);
	if (r == 0)
		r = container_load(cli, words.items[0], &store, &state, err);
	if (r < 0)
		return r;
	return print_json(make_state(&store, &state),
			  JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED, err);
}

/* --- list ----------------------------------------------------------------------------------- */

struct listing {
	const struct store *store;
	bool json, quiet;
	const struct config *config; /* NULL, or also what a VM is made of is shown */
	struct json_object *array;
};

static struct json_object *make_assets(const char *(*path)(const void *of, enum state_asset asset),
				       const void *of)
{
	struct json_object *o = json_object_new_object();

	for (enum state_asset i = 0; i < STATE_ASSETS; i++) {
		struct json_object *asset = json_object_new_object();
		char name[32];

		snprintf(name, sizeof(name), "%sAsset", asset_name(i));
		add_text(asset, "path", path(of, i));
		json_object_object_add(o, name, asset);
	}
	return o;
}

static const char *current_path(const void *of, enum state_asset asset)
{
	return ((const struct state *)of)->asset_path[asset];
}

static const char *latest_path(const void *of, enum state_asset asset)
{
	return asset_path(of, asset);
}

/* The members that Kata adds. */
static struct json_object *make_full(const struct listing *listing, const struct state *state)
{
	struct json_object *o = make_state(listing->store, state);
	struct json_object *stale;

	if (listing->config == NULL)
		return o;
	stale = json_object_new_array();
	for (enum state_asset i = 0; i < STATE_ASSETS; i++)
		if (asset_is_stale(state, listing->config, i))
			json_object_array_add(stale, json_object_new_string(asset_name(i)));
	json_object_object_add(o, "currentHypervisor", make_assets(current_path, state));
	json_object_object_add(o, "latestHypervisor", make_assets(latest_path, listing->config));
	json_object_object_add(o, "staleAssets", stale);
	return o;
}

static void print_assets(const struct listing *listing, const struct state *state)
{
	const struct config *config = listing->config;
	const char *comma = "";

	for (enum state_asset i = 0; i < STATE_ASSETS; i++)
		printf(" %-30s", state->asset_path[i][0] != '\0' ? state->asset_path[i] : "-");
	printf(" %-30s %-30s ", asset_path(config, ASSET_KERNEL), asset_path(config, ASSET_IMAGE));
	for (enum state_asset i = 0; i < STATE_ASSETS; i++) {
		if (!asset_is_stale(state, config, i))
			continue;
		printf("%s%s", comma, asset_name(i));
		comma = ",";
	}
	if (comma[0] == '\0')
		printf("-");
}

static int list_one(const char *id, const char *sid, const struct state *state,
		    const struct error *why, void *userdata)
{
	struct listing *listing = userdata;
	char owner[128];

	(void)sid;
	if (state == NULL) {
		fprintf(stderr, "container %s: %s\n", id, why->text);
	} else if (listing->quiet) {
		printf("%s\n", id);
	} else if (listing->json) {
		json_object_array_add(listing->array, make_full(listing, state));
	} else {
		owner_name(state, owner, sizeof(owner));
		printf("%-24s %-10d %-10s %-40s %-30s %s", id, shown_pid(state),
		       container_status_name(state), state->bundle, state->created, owner);
		if (listing->config != NULL)
			print_assets(listing, state);
		printf("\n");
	}
	return 0;
}

int cmd_list(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	CLEANUP(config_fini) struct config config = { 0 };
	const char *format = "table";
	struct listing listing = { 0 };
	bool help = false, all = false;
	const struct cli_option options[] = {
		{ "format", 'f', CLI_TEXT, &format, "table or json" },
		{ "quiet", 'q', CLI_FLAG, &listing.quiet, "ids only" },
		{ "kata-all", 0, CLI_FLAG, &all,
		  "also what each VM is made of, and what of that is stale" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	struct store store;
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime list [OPTION...]\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (words.count != 0 || (!str_eq(format, "table") && !str_eq(format, "json")))
		return error_say(err, EINVAL,
				 "list: no word is taken, and --format is table or json");
	listing.json = str_eq(format, "json");
	r = store_open(&store, cli->root, NULL, false, err);
	if (r == 0 && all)
		r = config_load(cli->config_file, &config, err);
	if (r < 0)
		return r;
	listing.store = &store;
	listing.config = all ? &config : NULL;
	if (listing.json)
		listing.array = json_object_new_array();
	else if (!listing.quiet)
		printf("%-24s %-10s %-10s %-40s %-30s %s%s\n", "ID", "PID", "STATUS", "BUNDLE",
		       "CREATED", "OWNER",
		       all ? " HYPERVISOR KERNEL IMAGE LATEST-KERNEL LATEST-IMAGE STALE" : "");
	r = store_list(&store, list_one, &listing, err);
	if (listing.json && !listing.quiet)
		return print_json(listing.array, JSON_C_TO_STRING_PLAIN, r < 0 ? NULL : err);
	json_object_put(listing.array);
	return r;
}
