/*
 * The containers of one VM, on disk: see store.h. The first one's directory is the VM's; each
 * further one is noted there by an empty file with its sid as name. Called under the VM's lock.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/store.h"

static int member_path(const struct store *store, const char *sandbox, const char *sid,
		       char path[PATH_MAX], struct error *err)
{
	char name[SID_SIZE + 16];
	int r = sid_check(sid, err);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "members/%s", sid);
	return store_path(store, sandbox, name, path, err);
}

int store_join(const struct store *store, const struct state *member, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char path[PATH_MAX];
	int r = store_path(store, member->sandbox, "members", path, err);

	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return errno == ENOENT ? error_say(err, ESRCH, "the VM has ended")
				       : error_set(err, errno, "make %s", path);
	r = member_path(store, member->sandbox, member->sid, path, err);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? error_set(err, errno, "make %s", path) : 0;
}

int store_leave(const struct store *store, const struct state *member, struct error *err)
{
	char path[PATH_MAX];
	int r = member_path(store, member->sandbox, member->sid, path, err);

	if (r == 0 && unlink(path) < 0 && errno != ENOENT)
		r = error_set(err, errno, "remove %s", path);
	return r;
}

int store_each_member(const struct store *store, const char *sandbox,
		      int (*each)(const char *sid, void *userdata), void *userdata,
		      struct error *err)
{
	CLEANUP(dir_close) DIR *dir = NULL;
	struct dirent *entry;
	char path[PATH_MAX];
	int r = store_path(store, sandbox, "members", path, err);

	if (r < 0)
		return r;
	dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s", path);
	while (r == 0 && (entry = readdir(dir)) != NULL)
		if (sid_check(entry->d_name, NULL) == 0)
			r = each(entry->d_name, userdata);
	return r;
}

int store_find_sandbox(const struct store *store, const char *sid, char ret[SID_SIZE])
{
	CLEANUP(dir_close) DIR *dir = NULL;
	struct dirent *entry;
	char path[PATH_MAX];

	memcpy(ret, sid, SID_SIZE);
	if (str_format(path, sizeof(path), "%s/s", store->base) < 0)
		return 0;
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (sid_check(entry->d_name, NULL) < 0 ||
		    member_path(store, entry->d_name, sid, path, NULL) < 0 ||
		    access(path, F_OK) < 0)
			continue;
		memcpy(ret, entry->d_name, SID_SIZE);
		return 1;
	}
	return 0;
}

int store_depart(const struct store *store, struct state *state, struct error *err)
{
	int r;

	state->departed = true;
	state->status = STATUS_STOPPED;
	state->shim = (struct process_ref){ 0 };
	r = store_write_state(store, state, err);
	return r < 0 ? r : store_unlink(store, state->id, state->sid, err);
}
