/*
 * Giving up rights, by a row of the table in privsep.def; the order is told in ARCHITECTURE.md
 * ("Rights"). Every failure is fatal to the caller: a process that cannot drop must not go on. One
 * thread only.
 */
#ifndef KATA_PRIVSEP_H
#define KATA_PRIVSEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/filter.h"

/* Uids of a VM's block, added to its base. */
enum {
	UID_QEMU = 0,
	UID_PROXY = 1,
	UID_SHIM = 2,
	UID_DECODER = 3,
	UID_NETMON = 4,
	UID_BLOCK = 8, /* the rest is spare */
};

/*
 * A row's user that is none of the block: uid 0 of a user namespace, the host's, and one that
 * systemd makes for a unit (systemd.exec(5), DynamicUser=), of the numbers that follow.
 */
enum { USER_MAPPED_ROOT = -1, USER_HOST_ROOT = -2, USER_DYNAMIC = -3 };
enum { USER_DYNAMIC_FIRST = 61184, USER_DYNAMIC_LAST = 65519 };

/* Network interfaces of a VM, the most queues of one, and descriptors for all of them. */
enum { LAUNCH_NET_MAX = 8, LAUNCH_QUEUES_MAX = 8 };
enum { LAUNCH_NET_FDS = LAUNCH_NET_MAX * LAUNCH_QUEUES_MAX };

/* Descriptors that a worker may have kept for the next one. */
enum { PARK_SLOTS = 16 };

/*
 * Where a program lies that is about to be executed: above every RLIMIT_NOFILE of the table but the
 * monitor's, so that no other process can put anything else there later.
 */
enum { PRIVSEP_FD_PROGRAM = 1000 };

/* The processes, and the numbers of the descriptors that they start with. */
enum privsep_process {
#define PROCESS(NAME, name, user, namespaces, root, filter, what) PRIVSEP_##NAME,
#define CAPABILITY(name, why)
#define LIMIT(resource, value, why)
#define FD(NAME, number, what)
#define FDS(NAME, number, count, what)
#define HOLDS(kinds, why)
#define TRUST(what)
#define END
#include "common/privsep.def"
#include "common/privsep-undef.h"
	PRIVSEP_COUNT
};

enum privsep_fd {
#define PROCESS(NAME, name, user, namespaces, root, filter, what)
#define CAPABILITY(name, why)
#define LIMIT(resource, value, why)
#define FD(NAME, number, what) NAME = (number),
#define FDS(NAME, number, count, what) NAME = (number),
#define HOLDS(kinds, why)
#define TRUST(what)
#define END
#include "common/privsep.def"
#include "common/privsep-undef.h"
};

enum privsep_root {
	ROOT_HOST,    /* the host's */
	ROOT_EMPTY,   /* an empty tmpfs */
	ROOT_CLIENT,  /* SID/client, which holds the proxy's socket and a /proc */
	ROOT_SANDBOX, /* the agent's socket and the share */
	ROOT_QEMU,    /* what its start needs of the host's; when it has started, empty */
	ROOT_SHARE,   /* what is handed in for the guest */
	ROOT_UNIT,    /* made by systemd */
};

/* Kinds of descriptors, as bits. */
enum privsep_kind {
	KIND_SOCKET,
	KIND_PIPE,
	KIND_EVENT, /* epoll, eventfd, signalfd, timerfd, pidfd */
	KIND_NULL,  /* /dev/null */
	KIND_TERMINAL,
	KIND_FILE,    /* a regular file, opened by root and handed in */
	KIND_PROGRAM, /* its own program */
	KIND_MEMORY,  /* memfd */
	KIND_KVM,     /* /dev/kvm and what it makes */
	KIND_TAP,     /* tap devices and vhost-net for them */
	KIND_SHARED,  /* files and directories of the share */
	KIND_BPF,     /* a loaded BPF program */
	KIND_OTHER,   /* in no row */
	KIND_COUNT
};
#define KIND(name) (1U << KIND_##name)

enum privsep_line_kind {
	PRIVSEP_LINE_END,
	PRIVSEP_LINE_CAPABILITY,
	PRIVSEP_LINE_LIMIT,
	PRIVSEP_LINE_FD,
};

struct privsep_line {
	enum privsep_line_kind kind;
	const char *name;
	int number, count; /* capability, resource or descriptor; how many of those */
	uint64_t value;    /* of a limit */
	const char *why;
};

struct privsep_row {
	const char *name, *what, *trust, *holds_why;
	int user;            /* UID_* or USER_* */
	unsigned namespaces; /* CLONE_NEW*: those that are not the host's */
	enum privsep_root root;
	enum filter filter;
	unsigned holds;                   /* KIND() bits */
	const struct privsep_line *lines; /* the last one of kind PRIVSEP_LINE_END */
};

const struct privsep_row *privsep_row(enum privsep_process process);

/* The row's capabilities, as bits. */
uint64_t privsep_capabilities(enum privsep_process process);

/* Whether a descriptor's number is one the row names. */
bool privsep_has_fd(enum privsep_process process, int number);

/* Closes every descriptor but 0, 1, 2 and the count given in keep (any order). */
int privsep_close_others(const int *keep, size_t count, struct error *err);

/* umask 077, no core dump, no SIGPIPE, default signal dispositions, empty signal mask. */
int privsep_quiet(struct error *err);

/* Both, with the descriptors of the row; those are close-on-exec afterwards. */
int privsep_begin(enum privsep_process process, struct error *err);

/*
 * For a process that stays root: the row's capabilities are all it keeps, and where bounding is set
 * all that what it executes can have. What it does not have is not asked for; without root nothing
 * is done.
 */
int privsep_cut(enum privsep_process process, bool bounding, struct error *err);

/*
 * Puts the process into a mount namespace of its own whose root is the directory dirfd (read-only,
 * nosuid, nodev, noexec), or an empty read-only tmpfs when dirfd is negative. dirfd may be O_PATH
 * and from another mount namespace; its path must lead to the same directory in ours. Needs
 * CAP_SYS_ADMIN and a directory /proc, with procfs when dirfd is given.
 */
int privsep_enter_root(int dirfd, struct error *err);

/*
 * Mounts the processes of the own pid namespace at /proc, read-only, where the root has such a
 * directory: root finds the process among its like there, who has its uid only sees himself. To
 * be called after privsep_enter_root(), with CAP_SYS_ADMIN. Where the kernel lets nobody mount one,
 * as in a container of somebody else's, the directory stays empty.
 */
int privsep_show_processes(struct error *err);

/*
 * Makes an empty read-only tmpfs the root of the mount namespace that we are in, which must not be
 * the host's, and of all its processes: what they could see is gone for them.
 */
int privsep_empty_root(struct error *err);

/*
 * Moves the program that is to be executed to PRIVSEP_FD_PROGRAM, close-on-exec; fd stays open.
 * Where RLIMIT_NOFILE is in the way, CAP_SYS_RESOURCE is needed.
 */
int privsep_place_program(int fd, struct error *err);

/* The row's resource limits. */
int privsep_limit(enum privsep_process process, struct error *err);

/*
 * For good: no supplementary groups but the count given, gid, uid, no capability in any set (the
 * bounding set included), locked securebits, no_new_privs, not dumpable; then verifies all of it.
 * uid is not 0. Needs CAP_SETPCAP.
 */
int privsep_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t count, struct error *err);

/* The same for a row that keeps capabilities: those stay effective and permitted. */
int privsep_drop_to(enum privsep_process process, uid_t uid, const gid_t *groups, size_t count,
		    struct error *err);

/*
 * What privsep_drop() promises, or systemd where the row's user is its, checked against the kernel:
 * 0, or -EPERM naming what is left.
 */
int privsep_verify(enum privsep_process process, uid_t uid, gid_t gid, struct error *err);

/*
 * Of a row whose program is root of a user namespace and confines itself further, before its exec:
 * no more than the row's capabilities in any set, no_new_privs and a filter, or -EPERM.
 */
int privsep_verify_bounds(enum privsep_process process, struct error *err);

/*
 * The last step of a row: verifies ids, capabilities (no more than the row's), root and limits,
 * loads the row's filter and verifies that. log: as filter_load().
 */
int privsep_finish(enum privsep_process process, uid_t uid, bool log, struct error *err);

#endif
