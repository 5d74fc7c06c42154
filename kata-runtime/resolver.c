/*
 * The name servers of a resolv.conf: see resolver.h. Called by container-create.c. A host whose own
 * resolver listens at 127.0.0.53 has that in its resolv.conf; docker and podman do not hand it on,
 * containerd does. A container with a network of its own reaches no such server, not under runc
 * either, and finds out only by its names not being found.
 */
#include "kata-runtime/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"

enum { TEXT_MAX = 65536 };

static bool is_loopback(const char *address)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, address, &four) == 1)
		return (ntohl(four.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, address, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool resolver_unreachable(const char *text, char ret[RESOLVER_SIZE])
{
	bool found = false;

	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		char address[RESOLVER_SIZE];

		line += *line == '\n';
		if (sscanf(line, "nameserver%*[ \t]%63[^ \t\r\n#;]", address) != 1)
			continue;
		if (!is_loopback(address) || str_eq(address, "127.0.0.11"))
			return false;
		if (!found)
			memcpy(ret, address, RESOLVER_SIZE);
		found = true;
	}
	return found;
}

bool resolver_unreachable_file(const char *path, char ret[RESOLVER_SIZE])
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	CLEANUP(freep) char *text = calloc(1, TEXT_MAX);
	struct stat st;

	return fd >= 0 && text != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       read(fd, text, TEXT_MAX - 1) > 0 && resolver_unreachable(text, ret);
}

int resolver_check(const struct spec *spec, bool strict, struct error *err)
{
	const char *hint = "no container reaches that: give it another name server (docker's "
			   "--dns), or the host's /run/systemd/resolve/resolv.conf";
	char server[RESOLVER_SIZE];

	for (uint32_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *m = &spec->mounts[i];

		if (!str_eq(m->destination, "/etc/resolv.conf") ||
		    !resolver_unreachable_file(m->source, server))
			continue;
		if (strict)
			return error_say(err, ENOTSUP,
					 "/etc/resolv.conf names only servers on the loopback "
					 "device, as %s; %s",
					 server, hint);
		log_warning("/etc/resolv.conf names only servers on the loopback device",
			    KV_S("server", server), KV_S("hint", hint));
	}
	return 0;
}
