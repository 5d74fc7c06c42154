/*
 * What kata-runtime and kata-proxy agree on when one starts the other: the names of the
 * descriptors beside a LAUNCH message. The numbers that descriptors have at a process's start, and
 * the uids, are in privsep.h.
 */
#ifndef KATA_LAUNCH_H
#define KATA_LAUNCH_H

#include "common/privsep.h"

/* Names in LAUNCH's fds; the runtime opens them all, the monitor opens nothing of these itself. */
#define LAUNCH_QEMU "qemu"           /* the program */
#define LAUNCH_VIRTIOFSD "virtiofsd" /* the program */
#define LAUNCH_KERNEL "kernel"       /* read-only */
#define LAUNCH_INITRD "initrd"       /* read-only */
#define LAUNCH_QMP "qmp"             /* listening socket */
#define LAUNCH_CLIENTS "clients"     /* listening socket client/proxy.sock */
#define LAUNCH_MONITOR "monitor"     /* listening socket monitor.sock, for root's orders */
#define LAUNCH_UNIT "unit"           /* listening socket unit/launch.sock, for the worker's unit */
#define LAUNCH_SLOT "slot"           /* the uid slot's lock */
#define LAUNCH_CAUSE "cause"         /* file that gets the cause of death */
#define LAUNCH_OOM "oom"             /* the cgroup's file that counts whom the kernel killed */
#define LAUNCH_NET "net"     /* and a number from 0: interface * LAUNCH_QUEUES_MAX + queue */
#define LAUNCH_VHOST "vhost" /* and the same number: /dev/vhost-net for it */
#define LAUNCH_VSOCK "vsock" /* /dev/vhost-vsock with the guest's CID */
#define LAUNCH_VSOCK_LISTENING "vsock-listening" /* the port for that guest */
#define LAUNCH_LOG_AGENT "log-agent"             /* logs the worker writes for others */
#define LAUNCH_LOG_CONSOLE "log-console"
#define LAUNCH_LOG_QEMU "log-qemu"
#define LAUNCH_LOG_VIRTIOFSD "log-virtiofsd"

/* How the worker reaches the agent; LAUNCH carries the number. */
enum launch_link {
	LAUNCH_LINK_VIRTIO_SERIAL,
	LAUNCH_LINK_VHOST_USER_VSOCK, /* the worker is the guest's vsock device */
	LAUNCH_LINK_VHOST_VSOCK,      /* the host's kernel is; the worker listens at a port */
	LAUNCH_LINK_COUNT
};

/* On the guest kernel's command line, from the runtime to the agent: dial the host's vsock port. */
#define LAUNCH_KERNEL_LINK "kata.link=vsock:"
enum { LAUNCH_VSOCK_PORT = 1025 };

/* Where the share lies in the monitor's root. */
#define LAUNCH_SHARE "/share"

#endif
