/*
 * From a VM's configuration to QEMU's argument vector. Pure: touches no file, starts nothing.
 *
 * Every file and socket reaches QEMU as a descriptor with a number of common/launch.h, so that
 * QEMU opens nothing by name but its own modules. What the arguments were measured with:
 * QEMU 7.2, Debian's cloud kernel.
 */
#ifndef KATA_QEMU_ARGS_H
#define KATA_QEMU_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/launch.h"
#include "kata-runtime/accel.h"
#include "kata-runtime/argv.h"

struct error;

/* Names the guest sees: of the agent's virtio-serial port and of the shared files. */
#define QEMU_AGENT_PORT "agent.0"
#define QEMU_SHARE_TAG "share"

/* The device that gives the guest more memory: see vm-plug.h. */
#define QEMU_PLUG_ID "plug"

enum {
	QEMU_MEMORY_MIN_MIB = 96,      /* the least a distribution's kernel boots with */
	QEMU_MEMORY_MAX_MIB = 1 << 24, /* 16 TiB */
	QEMU_VCPUS_MAX = 240,
	QEMU_ROOT_PORTS = 8,      /* PCIe slots "rp0".., one for each network interface */
	QEMU_PLUG_STEP_MIB = 128, /* what a guest can take at once */
	QEMU_CMDLINE_MAX = 2047   /* bytes an x86 kernel takes */
};

/*
 * A network interface: number N is netdev "netN" and device "nicN" in slot "rpN", whether it was
 * there at the start or was plugged later. At the start its tap device's queues are behind the
 * descriptors from LAUNCH_FD_NET + N * LAUNCH_QUEUES_MAX on.
 */
struct qemu_net {
	uint8_t mac[6];
	uint32_t queues; /* 1 to LAUNCH_QUEUES_MAX */
	bool vhost;      /* those from LAUNCH_FD_VHOST on are there, one for each queue */
};

struct qemu_config {
	const char *program; /* argv[0] */
	const char *sandbox; /* its first 12 characters name the VM in process lists */
	enum accel accel;
	uint32_t vcpus;
	uint32_t max_vcpus; /* 0: none can be plugged */
	uint32_t memory_mib;
	uint32_t plug_memory_mib;  /* that can be plugged, in steps; 0: none */
	const char *kernel_params; /* behind ours, so that they win; may be NULL */
	const struct qemu_net *nets;
	uint32_t n_nets;       /* at most LAUNCH_NET_MAX */
	enum launch_link link; /* to the agent, behind LAUNCH_FD_AGENT */
	uint32_t cid;          /* LAUNCH_LINK_VHOST_VSOCK: the guest's, and the host's port */
	bool share;            /* there is a virtiofsd behind LAUNCH_FD_VIRTIOFS */
	bool debug;            /* the guest kernel talks on its console */
	uint32_t tsc_khz;      /* of the guest's time stamp counter; 0: it finds out by itself */
};

/*
 * Makes the argument vector; *ret is freed with argv_fini(). -EINVAL: a value out of its range,
 * named in *err; -E2BIG: the kernel's command line gets too long; -ENOMEM.
 */
int qemu_args_make(const struct qemu_config *config, struct argv *ret, struct error *err);

#endif
