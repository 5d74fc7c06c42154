/* Sandbox ids: see sid.h. Used by the store; owns nothing. */
#include "kata-runtime/sid.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* libmd's sha2.h wants the types first. */
#include <sys/types.h>
#include <sha2.h>

#include "common/cleanup.h"
#include "common/str.h"

/* Splits the last component off path, in place: its start, or NULL when there is none. */
static char *split_last(char *path)
{
	size_t len = strlen(path);
	char *slash;

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL || slash[1] == '\0')
		return NULL;
	*slash = '\0';
	return slash + 1;
}

/*
 * realpath(3) of what is there of path, and behind it the rest as written. root may not exist yet
 * when the first container is looked for.
 */
static int normalise(const char *path, char ret[PATH_MAX], struct error *err)
{
	char head[PATH_MAX], tail[PATH_MAX] = "", cwd[PATH_MAX] = "", real[PATH_MAX],
			     next[PATH_MAX];
	char *last;

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return error_set(err, errno, "current directory");
	if (str_format(head, sizeof(head), "%s%s%s", cwd, cwd[0] != '\0' ? "/" : "", path) < 0)
		return error_set(err, ENAMETOOLONG, "root directory");
	while (realpath(head[0] != '\0' ? head : "/", real) == NULL) {
		if (errno != ENOENT)
			return error_set(err, errno, "root directory %s", path);
		last = split_last(head);
		if (last == NULL)
			return error_set(err, ENOENT, "root directory %s", path);
		if (str_eq(last, ".") || last[0] == '\0')
			continue;
		if (str_eq(last, ".."))
			return error_say(err, EINVAL, "root directory %s: \"..\" leads nowhere",
					 path);
		if (str_format(next, sizeof(next), "/%s%s", last, tail) < 0)
			return error_set(err, ENAMETOOLONG, "root directory");
		memcpy(tail, next, sizeof(tail));
	}
	if (str_format(ret, PATH_MAX, "%s%s", str_eq(real, "/") ? "" : real, tail) < 0)
		return error_set(err, ENAMETOOLONG, "root directory");
	return 0;
}

int sid_derive(const char *root, const char *id, unsigned generation, char ret[SID_SIZE],
	       struct error *err)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[SHA256_DIGEST_LENGTH];
	char normal[PATH_MAX], number[16];
	SHA2_CTX context;
	int r = normalise(root, normal, err);

	if (r < 0)
		return r;
	SHA256Init(&context);
	SHA256Update(&context, (const uint8_t *)normal, strlen(normal) + 1);
	SHA256Update(&context, (const uint8_t *)id, strlen(id));
	snprintf(number, sizeof(number), "/%u", generation); /* no id has a slash */
	if (generation > 0)
		SHA256Update(&context, (const uint8_t *)number, strlen(number));
	SHA256Final(hash, &context);
	for (size_t i = 0; i < SID_LEN / 2; i++) {
		ret[2 * i] = digits[hash[i] >> 4];
		ret[2 * i + 1] = digits[hash[i] & 15];
	}
	ret[SID_LEN] = '\0';
	return 0;
}

int sid_check(const char *text, struct error *err)
{
	if (strnlen(text, SID_SIZE) != SID_LEN || text[strspn(text, "0123456789abcdef")] != '\0')
		return error_say(err, EINVAL, "not a sandbox id");
	return 0;
}
