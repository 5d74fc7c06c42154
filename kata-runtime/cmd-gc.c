/*
 * gc: remove what no living sandbox owns: what a create left that was killed, containers whose
 * bundle is gone, stale locks and links, empty cgroups, old logs. A stopped container is its
 * manager's to delete and stays. Called by a unit at boot, without hooks, and by people.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "common/log.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/config.h"
#include "kata-runtime/container.h"

enum { LOG_DAYS = 14, DAY_S = 24 * 60 * 60 };

struct gc {
	const struct cli *cli;
	struct store store;
	bool dry_run;
	bool leave_hooks;
	bool hooks; /* it is the turn of containers that have poststop hooks */
	uint64_t log_days;
	unsigned failures;
};

/* Says what is done, and whether it is to be done now. */
static bool act(const struct gc *gc, const char *what, const char *name, const char *why)
{
	printf("%s %s %s: %s\n", gc->dry_run ? "would remove" : "removing", what, name, why);
	return !gc->dry_run;
}

static void failed(struct gc *gc, const char *name, const struct error *err)
{
	fprintf(stderr, "%s: %s\n", name, err->text);
	gc->failures++;
}

static bool has_directory(const struct gc *gc, const char *sid)
{
	char path[PATH_MAX];
	struct stat st;

	return store_path(&gc->store, sid, "", path, NULL) < 0 || lstat(path, &st) == 0;
}

/* Calls each for every entry of a directory, which may miss. */
static void each_entry(struct gc *gc, const char *path,
		       void (*each)(struct gc *gc, const char *path, const char *name))
{
	CLEANUP(dir_close) DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			each(gc, path, entry->d_name);
}

/* --- sandboxes ------------------------------------------------------------------------------ */

/* Why nobody needs it, or NULL. */
static const char *why_dead(const struct gc *gc, const struct state *state)
{
	struct store_holder holder;
	struct stat st;

	if (process_alive(state->monitor.pid, state->monitor.start_ticks) ||
	    process_alive(state->shim.pid, state->shim.start_ticks) || state->departed ||
	    store_lock_holder(&gc->store, state->sid, &holder, NULL) == 1)
		return NULL;
	if (state->status == STATUS_CREATING)
		return "its create did not come to an end";
	if (stat(state->bundle, &st) < 0 && errno == ENOENT)
		return "it has stopped and its bundle is gone";
	return NULL;
}

/* When this process can execute nothing any more. */
static void delete (struct gc *gc, const struct cli *cli, const char *id)
{
	struct hook_launcher none = HOOK_LAUNCHER_NONE;
	struct error err = { 0 };

	if (container_delete(cli, id, true, &none, &err) < 0)
		failed(gc, id, &err);
}

/* In a process of its own, since each container's hooks need one that still may execute them. */
static void delete_with_hooks(struct gc *gc, const struct cli *cli, const char *id)
{
	struct error err = { 0 };
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (container_delete(cli, id, true, NULL, &err) == 0)
			_exit(EXIT_SUCCESS);
		failed(gc, id, &err);
		_exit(EXIT_FAILURE);
	}
	if (pid < 0)
		error_set(&err, errno, "start a process that removes it");
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (pid < 0)
		failed(gc, id, &err);
	else if (status != 0)
		gc->failures++;
}

static void look_at_sandbox(struct gc *gc, const char *path, const char *sid)
{
	CLEANUP(state_fini) struct state state = { 0 };
	struct cli cli = *gc->cli;
	struct error err = { 0 };
	const char *why;
	bool hooks;

	(void)path;
	if (sid_check(sid, NULL) < 0)
		return;
	if (store_read_state(&gc->store, sid, &state, &err) < 0 &&
	    store_read_intent(&gc->store, sid, &state, NULL) < 0) {
		if (!gc->hooks)
			failed(gc, sid, &err);
		return;
	}
	why = why_dead(gc, &state);
	if (why == NULL)
		return;
	hooks = container_has_poststop(&gc->store, &state);
	if (hooks && gc->leave_hooks) {
		printf("leaving container %s: %s, and it has poststop hooks\n", state.id, why);
		return;
	}
	if ((!gc->dry_run && hooks != gc->hooks) || !act(gc, "container", state.id, why))
		return;
	cli.root = state.root;
	if (hooks)
		delete_with_hooks(gc, &cli, state.id);
	else
		delete (gc, &cli, state.id);
}

/*
 * First those whose removal executes programs: behind them this process gives up what only that
 * needs. One that has died in between waits for the next gc.
 */
static int look_at_sandboxes(struct gc *gc, struct error *err)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/s", gc->store.base);

	if (r < 0)
		return error_set(err, ENAMETOOLONG, "%s", gc->store.base);
	gc->hooks = !gc->dry_run && !gc->leave_hooks;
	if (gc->hooks)
		each_entry(gc, path, look_at_sandbox);
	gc->hooks = false;
	r = privsep_cut(gc->cli->rights, true, err);
	if (r == 0)
		r = filter_load(FILTER_ASKER, gc->cli->seccomp_log, err);
	if (r == 0)
		each_entry(gc, path, look_at_sandbox);
	return r;
}

/* "SID.lock" and the like. */
static void look_at_lock(struct gc *gc, const char *path, const char *name)
{
	char sid[SID_SIZE];
	size_t len = strcspn(name, ".");

	(void)path;
	if (len != SID_LEN)
		return;
	memcpy(sid, name, SID_LEN);
	sid[SID_LEN] = '\0';
	if (sid_check(sid, NULL) == 0 && !has_directory(gc, sid) &&
	    act(gc, "lock", name, "its container is gone"))
		store_drop_lock(&gc->store, sid);
}

/* A name of --root that leads nowhere. */
static int look_at_name(const char *id, const char *sid, const struct state *state,
			const struct error *why, void *userdata)
{
	struct gc *gc = userdata;

	(void)why;
	if (state == NULL && !has_directory(gc, sid) && act(gc, "name", id, "it leads nowhere"))
		delete (gc, gc->cli, id);
	return 0;
}

/* --- cgroups and logs ----------------------------------------------------------------------- */

static void look_at_cgroup(struct gc *gc, const char *path, const char *sid)
{
	char dir[PATH_MAX + 300];

	if (sid_check(sid, NULL) < 0 || has_directory(gc, sid))
		return;
	snprintf(dir, sizeof(dir), "%s/%s", path, sid);
	if (act(gc, "cgroup", dir, "its sandbox is gone") && rmdir(dir) < 0)
		fprintf(stderr, "%s: %s\n", dir, strerrordesc_np(errno));
}

static void look_at_cgroups(struct gc *gc)
{
	static const char any[] = "00000000000000000000000000000000";
	CLEANUP(cgroup_fini) struct cgroup cgroup = { 0 };

	if (cgroup_plan("", any, true, &cgroup, NULL) < 0)
		return;
	for (size_t i = 0; i < cgroup.count; i++) {
		char *slash = strrchr(cgroup.dirs[i].path, '/');

		*slash = '\0';
		each_entry(gc, cgroup.dirs[i].path, look_at_cgroup);
		/* The level that they are in goes with the last of them, as it does in delete. */
		if (!gc->dry_run)
			rmdir(cgroup.dirs[i].path);
	}
}

static int remove_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static void look_at_log(struct gc *gc, const char *path, const char *sid)
{
	char dir[PATH_MAX + 300];
	struct stat st;

	snprintf(dir, sizeof(dir), "%s/%s", path, sid);
	if (sid_check(sid, NULL) < 0 || has_directory(gc, sid) || lstat(dir, &st) < 0 ||
	    (uint64_t)(time(NULL) - st.st_mtime) < gc->log_days * DAY_S)
		return;
	if (act(gc, "logs", dir, "they are old and their sandbox is gone") &&
	    nftw(dir, remove_file, 8, FTW_PHYS | FTW_DEPTH) < 0)
		fprintf(stderr, "%s: cannot be removed\n", dir);
}

static int collect(struct gc *gc, struct error *err)
{
	CLEANUP(config_fini) struct config config = { 0 };
	char path[PATH_MAX];
	int r = config_load(gc->cli->config_file, &config, err);

	if (r == 0)
		r = store_open(&gc->store, gc->cli->root, NULL, false, err);
	if (r < 0)
		return r;
	r = look_at_sandboxes(gc, err);
	if (r < 0)
		return r;
	r = store_list(&gc->store, look_at_name, gc, err);
	if (str_format(path, sizeof(path), "%s/l", gc->store.base) == 0)
		each_entry(gc, path, look_at_lock);
	look_at_cgroups(gc);
	each_entry(gc, config.runtime.log_dir, look_at_log);
	if (r == 0 && gc->failures > 0)
		r = error_say(err, EIO, "gc: %u things could not be looked at or removed",
			      gc->failures);
	return r;
}

int cmd_gc(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	struct gc gc = { .cli = cli, .log_days = LOG_DAYS };
	const char *days = NULL;
	bool help = false;
	const struct cli_option options[] = {
		{ "dry-run", 'n', CLI_FLAG, &gc.dry_run, "only tell what would be removed" },
		{ "leave-hooks", 0, CLI_FLAG, &gc.leave_hooks,
		  "leave containers that have poststop hooks" },
		{ "log-days", 0, CLI_TEXT, &days, "how long logs are kept (14)" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime gc [OPTION...]\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (words.count != 0)
		return error_say(err, EINVAL, "gc: no word is taken");
	if (days != NULL && str_to_u64(days, 36500, &gc.log_days) < 0)
		return error_say(err, EINVAL, "gc: --log-days %s is no number of days", days);
	return collect(&gc, err);
}
