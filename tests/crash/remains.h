/*
 * What is left of sandboxes on this host, for a test that asks hundreds of times; tests/leaks says
 * the same more slowly and of more.
 */
#ifndef KATA_TESTS_REMAINS_H
#define KATA_TESTS_REMAINS_H

#include <stddef.h>
#include <stdint.h>

struct remains {
	const char *base;    /* /run/kata-containers */
	const char *root;    /* of --root */
	const char *work;    /* sockets below it are ours too */
	const char *program; /* processes of this one are ours: the fake QEMU */
	uint32_t first_uid, n_uids;
	int netns; /* where the container's interface is; -1: none */
};

/*
 * Writes what is left to text, a line each: how many lines. Looked for: files, links, sockets,
 * processes, cgroups, mounts, interfaces, uid slots that are held, and in netns any interface and
 * qdisc that was not there from the start.
 */
size_t remains_find(const struct remains *remains, char *text, size_t size);

#endif
