/*
 * What kata-runtime, kata-proxy and kata-shim agree on when one starts the other: descriptor
 * numbers, and the names of the descriptors beside a LAUNCH message.
 */
#ifndef KATA_LAUNCH_H
#define KATA_LAUNCH_H

/* Descriptors a daemon finds at its start; 0, 1 and 2 are /dev/null but for the shim's. */
enum {
	START_FD_CONTROL = 3, /* socketpair to the runtime: LAUNCH or ATTACH travel here */
	START_FD_LOG = 4,     /* a file or journald's socket */
	START_FD_SHARED = 5,  /* shim: SID/client, the only directory it will see */
};

/* Names in LAUNCH's fds; the runtime opens them all, the monitor opens nothing of these itself. */
#define LAUNCH_QEMU "qemu"           /* the program */
#define LAUNCH_VIRTIOFSD "virtiofsd" /* the program */
#define LAUNCH_KERNEL "kernel"       /* read-only */
#define LAUNCH_INITRD "initrd"       /* read-only */
#define LAUNCH_QMP "qmp"             /* listening socket */
#define LAUNCH_CLIENTS "clients"     /* listening socket client/proxy.sock */
#define LAUNCH_SLOT "slot"           /* the uid slot's lock */
#define LAUNCH_CAUSE "cause"         /* file that gets the cause of death */
#define LAUNCH_NET "net"             /* and a number from 0: a tap device's queue */
#define LAUNCH_VHOST "vhost"         /* and the same number: /dev/vhost-net for it */
#define LAUNCH_LOG_AGENT "log-agent" /* logs the worker writes for others */
#define LAUNCH_LOG_CONSOLE "log-console"
#define LAUNCH_LOG_QEMU "log-qemu"
#define LAUNCH_LOG_VIRTIOFSD "log-virtiofsd"

/* Descriptors QEMU finds; its arguments name these numbers. */
enum {
	LAUNCH_FD_QMP = 10,
	LAUNCH_FD_AGENT = 11,    /* listening socket of the virtio-serial port */
	LAUNCH_FD_CONSOLE = 12,  /* one end of a socketpair; the worker has the other */
	LAUNCH_FD_VIRTIOFS = 13, /* connected to virtiofsd */
	LAUNCH_FD_KERNEL = 14,
	LAUNCH_FD_INITRD = 15,
	LAUNCH_FD_NET = 16,   /* one for each interface */
	LAUNCH_FD_VHOST = 24, /* and one more where the host has vhost-net */
};

/* Network interfaces of a VM. */
enum { LAUNCH_NET_MAX = 8 };

/* virtiofsd: its listening socket, and where the share lies in the monitor's root. */
enum { LAUNCH_FD_VHOST_USER = 3 };
#define LAUNCH_SHARE "/share"

/* Uids of a VM's block, added to its base. */
enum { UID_QEMU = 0, UID_PROXY = 1, UID_SHIM = 2, UID_DECODER = 3, UID_BLOCK = 4 };

#endif
