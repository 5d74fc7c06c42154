/* Names of kernel parameters: see sysctl.h. Pure; called when a bundle is translated. */
#include "kata-runtime/sysctl.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

static const char *const namespaced[] = {
	"kernel/msgmax", "kernel/msgmnb",          "kernel/msgmni",
	"kernel/sem",    "kernel/shmall",          "kernel/shmmax",
	"kernel/shmmni", "kernel/shm_rmid_forced", "kernel/domainname",
};

static bool is_namespaced(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(namespaced); i++)
		if (str_eq(path, namespaced[i]))
			return true;
	return str_starts(path, "net/") || str_starts(path, "fs/mqueue/");
}

/* Words of plain characters, none of them empty, "." or "..". */
static bool is_plain(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (len == 0 || path[0] == '.')
			return false;
		if (strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				 "_.-@:") < len)
			return false;
		if (path[len] == '\0')
			return true;
		path += len + 1;
	}
}

int sysctl_path(const char *name, char *path, size_t size, struct error *err)
{
	char separator = name[strcspn(name, "./")];

	if (str_format(path, size, "%s", name) < 0)
		return error_say(err, EINVAL, "linux.sysctl: a name is over %zu bytes", size - 1);
	if (separator == '.')
		for (char *p = path; *p != '\0'; p++)
			*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	if (str_eq(path, "kernel/hostname"))
		return error_say(err, EINVAL,
				 "linux.sysctl: sysctl \"%s\" is not allowed as it conflicts with "
				 "the OCI \"hostname\" field",
				 name);
	if (!is_plain(path) || !is_namespaced(path))
		return error_say(
			err, EINVAL,
			"linux.sysctl: sysctl \"%s\" is not in a separate kernel namespace", name);
	return 0;
}
