/*
 * The monitor's small world: namespaces of its own and a tmpfs root that shows only what the VM's
 * processes need. Nothing of it is ever in the host's mount table, and all of it is gone with the
 * last process in it. First, for the start of QEMU and virtiofsd, who keep a copy:
 *
 *	/usr (read-only)  /lib /lib64 /bin /sbin -> usr/...   programs and libraries
 *	/proc             of the sandbox's pid namespace
 *	/dev/null         and /dev/kvm when it is used
 *	/sys/...          the size of a huge page
 *	/share            tmpfs, shared: rootfs and volumes are handed in below it (LAUNCH_SHARE)
 *	/agent.sock -> kept/agent.sock
 *	/kept             as follows
 *
 * Then /kept is the root, and all that monitor and workers see:
 *
 *	/agent.sock       the virtio-serial port's chardev
 *	/share            moved there; virtiofsd's copy stays its peer
 *
 * A worker can be started there since kata-proxy needs no library. That of a sanitizer's build
 * does, and stays in the first root.
 */
#ifndef KATA_PROXY_MONITOR_ROOT_H
#define KATA_PROXY_MONITOR_ROOT_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

#define MONITOR_AGENT_SOCKET "/agent.sock"

/* Inodes of /share: two per container, and one per volume. */
enum { MONITOR_SHARE_INODES = 8192 };

/*
 * Leaves the caller's mount, network, ipc and uts namespaces, builds the root, enters it and
 * detaches the old one. kvm: show /dev/kvm. Needs CAP_SYS_ADMIN; the pid namespace is already
 * the sandbox's.
 */
int monitor_root_enter(bool kvm, struct error *err);

/*
 * Makes the two ends of the vhost-user connection: a listening socket for virtiofsd and one
 * connected to it for QEMU. The name they met under is gone again.
 */
int monitor_root_vhost_user(int *ret_listening, int *ret_connected, struct error *err);

/* The listening socket at MONITOR_AGENT_SOCKET, which only owner may connect to. */
int monitor_root_listen_agent(uid_t owner, struct error *err);

/*
 * A connection to MONITOR_AGENT_SOCKET, for each worker one: the descriptor, or a negative errno,
 * -EAGAIN when QEMU has not taken earlier ones. It is there once the root is sealed, too.
 */
int monitor_root_connect_agent(struct error *err);

/* Makes the root, /share excepted, read-only: call it when all sockets are made. */
int monitor_root_seal(struct error *err);

/* Goes from the first root to the second, sealed one: call it when QEMU and virtiofsd run. */
int monitor_root_leave(struct error *err);

#endif
