/*
 * Memory and processors of a running VM, plugged by QMP. Memory comes by the virtio-mem device that
 * qemu-args.c makes, processors by ACPI. Nothing is unplugged: pages that the guest frees go back
 * to the host anyway (free page reporting).
 */
#ifndef KATA_RUNTIME_VM_PLUG_H
#define KATA_RUNTIME_VM_PLUG_H

#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/qmp.h"

/* A VM's size now, and what can be plugged into it. */
struct vm_plug {
	uint32_t memory_mib; /* with what was plugged */
	uint32_t more_mib;   /* what still can be */
	uint32_t plugged_mib;
	uint32_t vcpus;
	uint32_t more_vcpus;
};

/* Asks QEMU. A VM without the device, or without empty places for processors, has no more. */
int vm_plug_look(struct qmp *qmp, int64_t deadline, struct vm_plug *ret, struct error *err);

/*
 * Plugs mib more, and waits until the guest has taken it all. -ETIMEDOUT: it has not, and is not
 * asked for it any more. *plug is what vm_plug_look() said; the memory is in steps of
 * QEMU_PLUG_STEP_MIB, or all there is.
 */
int vm_plug_memory(struct qmp *qmp, const struct vm_plug *plug, uint32_t mib, int64_t deadline,
		   struct error *err);

/* Plugs count more processors, which the guest then has to take into use. */
int vm_plug_vcpus(struct qmp *qmp, uint32_t count, int64_t deadline, struct error *err);

#endif
