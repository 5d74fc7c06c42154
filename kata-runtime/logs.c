/* The logs of a sandbox's components: see logs.h. Opened by the runtime as root. */
#include "kata-runtime/logs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"

static int make_dir(const char *path, struct error *err)
{
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return error_set(err, errno, "make log directory %s", path);
	return 0;
}

int logs_open(const struct config *config, const char *sid, const char *component,
	      struct error *err)
{
	char dir[PATH_MAX];
	int fd, r;

	if (config->runtime.log_target != LOG_TARGET_FILE) {
		fd = log_open_journal();
		if (fd >= 0)
			return fd;
		if (config->runtime.log_target == LOG_TARGET_JOURNAL)
			return error_say(
				err, ENOENT,
				"runtime.log_target is journal, but this host has no journald");
	}
	r = make_dir(config->runtime.log_dir, err);
	if (r < 0)
		return r;
	if (str_format(dir, sizeof(dir), "%s/%s", config->runtime.log_dir, sid) < 0)
		return error_set(err, ENAMETOOLONG, "%s", config->runtime.log_dir);
	r = make_dir(dir, err);
	return r < 0 ? r : log_open_file(dir, component, err);
}

static void start(const struct config *config, bool debug, const char *sid, const char *id,
		  const char *exec)
{
	struct error err = { 0 };
	int fd = logs_open(config, sid, "runtime", &err);

	if (fd < 0)
		fprintf(stderr, "kata-runtime: %s\n", err.text);
	/* Kept open until the process ends. */
	log_start("runtime", fd < 0 ? -1 : fd,
		  debug || config->runtime.enable_debug ? LOG_DEBUG : LOG_INFO);
	log_context(sid, id, exec);
}

int logs_start_runtime(const char *file, bool debug, const char *sid, const char *id,
		       const char *exec, struct config *ret, struct error *err)
{
	CLEANUP(config_fini) struct config defaults = { 0 };
	int r = config_load(file, ret, err);

	if (r == 0)
		start(ret, debug, sid, id, exec);
	else if (config_defaults(&defaults, NULL) == 0)
		start(&defaults, debug, sid, id, exec);
	return r;
}

void logs_use_sandbox(const struct config *config, bool debug, const char *sid, const char *id)
{
	start(config, debug, sid, id, NULL);
}
