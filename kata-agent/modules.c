/* Module loading at the start of the guest: see modules.h. Called once, by pid 1. */
#include "kata-agent/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"

bool modules_parse_line(char *line, const char **ret_path)
{
	size_t end;

	line += strspn(line, " \t");
	end = strcspn(line, "\r\n");
	while (end > 0 && (line[end - 1] == ' ' || line[end - 1] == '\t'))
		end--;
	line[end] = '\0';
	if (line[0] != '/')
		return false;
	*ret_path = line;
	return true;
}

void modules_name(const char *path, char *ret_name, size_t size)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;

	snprintf(ret_name, size, "%.*s", (int)strcspn(base, "."), base);
	for (char *p = ret_name; *p != '\0'; p++) {
		if (*p == '-')
			*p = '_';
	}
}

static bool is_compressed(const char *path)
{
	size_t len = strlen(path);

	return len < 3 || !str_eq(path + len - 3, ".ko");
}

static int load(const char *path, struct error *err)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	int flags = is_compressed(path) ? MODULE_INIT_COMPRESSED_FILE : 0;

	if (fd < 0)
		return error_set(err, errno, "open %s", path);
	if (syscall(SYS_finit_module, fd, "", flags) < 0 && errno != EEXIST)
		return error_set(err, errno, "load %s", path);
	return 0;
}

int modules_load(const char *list, const char *without, struct error *err)
{
	CLEANUP(file_close) FILE *file = fopen(list, "re");
	char line[4096], name[64];
	struct error why;
	const char *path;
	int failed = 0;

	if (file == NULL)
		return errno == ENOENT ? 0 : error_set(err, errno, "open %s", list);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (!modules_parse_line(line, &path))
			continue;
		modules_name(path, name, sizeof(name));
		if (without != NULL && strstr(name, without) != NULL)
			continue;
		if (load(path, &why) == 0)
			continue;
		log_error("kernel module not loaded", KV_S("module", name), KV_ERR(&why));
		failed++;
	}
	return failed;
}
