/* Network devices of a running VM, plugged and unplugged by QMP. */
#ifndef KATA_RUNTIME_NETWORK_PLUG_H
#define KATA_RUNTIME_NETWORK_PLUG_H

#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/network.h"
#include "kata-runtime/qmp.h"

/*
 * Gives QEMU the tap device and puts a device with the address and as many queues into slot.
 * Descriptors stay the caller's. On failure nothing of it is left.
 */
int network_plug(struct qmp *qmp, uint32_t slot, const uint8_t mac[6],
		 const struct network_queues *queues, int64_t deadline, struct error *err);

/*
 * Takes the device out of its slot. A guest that does not let go of it in time loses it all the
 * same: its tap device is closed; -ETIMEDOUT then, and the slot stays taken. What is gone already
 * is no error.
 */
int network_unplug(struct qmp *qmp, uint32_t slot, int64_t deadline, struct error *err);

#endif
