/*
 * User namespaces of containers: see user-namespace.h. The maps are written by the agent, which
 * alone may; everything else happens in the forked child.
 */
#include "kata-agent/user-namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-agent/enter.h"

enum { LINE_MAX_BYTES = 36, MAP_LINES = 340 }; /* the kernel's, and protocol.def's */

static int write_map(pid_t pid, const char *name, const struct msg_id_map *map, uint32_t count,
		     struct error *err)
{
	char path[64], text[MAP_LINES * LINE_MAX_BYTES];
	CLEANUP(fd_close) int fd = -1;
	size_t used = 0;

	for (uint32_t i = 0; i < count && i < MAP_LINES; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%u %u %u\n",
					 map[i].container, map[i].host, map[i].size);
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, used) != (ssize_t)used)
		return error_set(err, errno, "user namespace: write %s", name);
	return 0;
}

int user_namespace_map(pid_t pid, int socket, const struct msg_create *create, struct error *err)
{
	const char mapped = ENTER_MAPPED;
	int r = write_map(pid, "uid_map", create->uid_map, create->n_uid_map, err);

	if (r == 0)
		r = write_map(pid, "gid_map", create->gid_map, create->n_gid_map, err);
	if (r == 0 && send(socket, &mapped, 1, MSG_NOSIGNAL) != 1)
		r = error_set(err, errno, "user namespace: tell the child");
	return r;
}

uid_t user_namespace_uid(const struct container *container, uid_t uid)
{
	for (uint32_t i = 0; i < container->n_uid_map; i++) {
		const struct msg_id_map *map = &container->uid_map[i];

		if (uid >= map->container && uid - map->container < map->size)
			return map->host + (uid - map->container);
	}
	return uid;
}

int user_namespace_await(int socket, struct error *err)
{
	char kind = 0;
	ssize_t n;

	do {
		n = recv(socket, &kind, 1, 0);
	} while (n < 0 && errno == EINTR);
	return n == 1 && kind == ENTER_MAPPED
		       ? 0
		       : error_say(err, ECANCELED, "there is no user namespace");
}

int user_namespace_become_root(struct error *err)
{
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return error_set(err, errno, "become root of the user namespace");
	return 0;
}
