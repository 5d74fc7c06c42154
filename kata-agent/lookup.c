/*
 * Programs and home directories as a container sees them: see lookup.h. Runs in the forked child
 * when it has entered the container and become the user; allocates nothing.
 */
#include "kata-agent/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

/* Go's words, which runc's callers search for. */
static const char *reason(int num)
{
	switch (num) {
	case ENOENT:
		return "no such file or directory";
	case EACCES:
		return "permission denied";
	case ENOTDIR:
		return "not a directory";
	case ELOOP:
		return "too many levels of symbolic links";
	case ENAMETOOLONG:
		return "file name too long";
	default:
		return error_reason(num);
	}
}

/* 0, EACCES when it is no program for this user, or why it cannot be looked at with *ret_stat. */
static int check_program(const char *path, bool *ret_stat)
{
	struct stat st;

	*ret_stat = stat(path, &st) < 0;
	if (*ret_stat)
		return errno;
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? EACCES : 0;
}

static int lookup_named(const char *name, char ret_path[PATH_MAX], struct error *err)
{
	bool stat_failed;
	int num = check_program(name, &stat_failed);

	if (num == 0 && str_format(ret_path, PATH_MAX, "%s", name) < 0)
		num = ENAMETOOLONG;
	if (num == 0)
		return 0;
	if (stat_failed)
		return error_say(err, num, "exec: \"%s\": stat %s: %s", name, name, reason(num));
	return error_say(err, num, "exec: \"%s\": %s", name, reason(num));
}

int lookup_program(const char *name, const char *path, char ret_path[PATH_MAX], struct error *err)
{
	bool ignored;

	if (strchr(name, '/') != NULL)
		return lookup_named(name, ret_path, err);
	for (const char *p = path; name[0] != '\0' && p != NULL && *p != '\0';) {
		size_t len = strcspn(p, ":");

		if (str_format(ret_path, PATH_MAX, "%.*s%s%s", (int)len, p, len > 0 ? "/" : "./",
			       name) == 0 &&
		    check_program(ret_path, &ignored) == 0)
			return 0;
		p += len + (p[len] == ':');
	}
	return error_say(err, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

const char *lookup_env(char *const *env, const char *name)
{
	size_t len = strlen(name);
	const char *value = NULL;

	for (; *env != NULL; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			value = *env + len + 1;
	}
	return value;
}

/* name:password:uid:gid:gecos:home:shell; false when the line is not that user's. */
static bool home_in_line(const char *line, size_t len, uid_t uid, const char **ret_home,
			 size_t *ret_len)
{
	const char *field[7] = { line };
	const char *end = line + len;
	uint64_t number = 0;
	char text[16];
	size_t count = 1;

	for (const char *p = line; p < end && count < ARRAY_SIZE(field); p++) {
		if (*p == ':')
			field[count++] = p + 1;
	}
	if (count < 6)
		return false;
	if (str_format(text, sizeof(text), "%.*s", (int)(field[3] - 1 - field[2]), field[2]) < 0 ||
	    str_to_u64(text, UINT32_MAX, &number) < 0 || number != uid)
		return false;
	*ret_home = field[5];
	*ret_len = (size_t)((count == 7 ? field[6] - 1 : end) - field[5]);
	return true;
}

int lookup_home(const char *passwd, size_t len, uid_t uid, char *ret_home, size_t size)
{
	const char *end = passwd + len;

	for (const char *line = passwd; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *home;
		size_t home_len;

		if (newline == NULL)
			newline = end;
		if (home_in_line(line, (size_t)(newline - line), uid, &home, &home_len)) {
			if (home_len == 0 || home_len >= size)
				return -ENOENT;
			memcpy(ret_home, home, home_len);
			ret_home[home_len] = '\0';
			return 0;
		}
		line = newline + 1;
	}
	return -ENOENT;
}
