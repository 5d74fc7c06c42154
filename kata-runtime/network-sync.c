/* From a namespace to a VM: see network-sync.h. Runs in the watcher's process (netmon.c). */
#include "kata-runtime/network-sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-runtime/network-scan.h"
#include "kata-runtime/network-tap.h"

static bool slot_used(const struct network *network, int32_t slot)
{
	for (uint32_t i = 0; i < network->n_links; i++)
		if (network->links[i].slot == slot)
			return true;
	return false;
}

/* Whether the device in that slot has lost its interface, or the interface has another address. */
static bool slot_lost(const struct network *network, int32_t slot)
{
	return network->taps[slot].index != 0 && !slot_used(network, slot);
}

/*
 * Whether each interface has its device and each device its interface. What came or went while an
 * earlier look was under way is in the last one, but nothing was done about it.
 */
static bool is_settled(const struct network *network)
{
	for (int32_t slot = 0; slot < LAUNCH_NET_MAX; slot++)
		if (slot_lost(network, slot))
			return false;
	return !slot_used(network, -1);
}

/* Takes out the devices that are lost. */
static int unplug_lost(struct network_sync *sync, struct network *now, bool *ret_changed,
		       struct error *err)
{
	struct error why;
	int result = 0;

	for (int32_t slot = 0; slot < LAUNCH_NET_MAX; slot++) {
		struct network_tap *tap = &now->taps[slot];
		int r;

		if (!slot_lost(now, slot))
			continue;
		*ret_changed = true;
		r = sync->ops->unplug(sync->context, (uint32_t)slot, err);
		if (tap->target > 0)
			network_tap_remove(sync->netlink, tap, &why); /* when it is there */
		if (r < 0)
			result = r;
		else
			tap->index = 0;
		log_info("a network interface was taken from the VM", KV("slot", slot),
			 KV("errno", -r));
	}
	return result;
}

static int32_t free_slot(const struct network *network)
{
	for (int32_t slot = 0; slot < LAUNCH_NET_MAX; slot++)
		if (network->taps[slot].index == 0 && !slot_used(network, slot))
			return slot;
	return -1;
}

static int plug(struct network_sync *sync, struct network *now, struct network_link *link,
		struct error *err)
{
	int32_t slot = free_slot(now);
	char name[NETWORK_NAME_SIZE];
	CLEANUP(network_queues_close) struct network_queues queues;
	struct network_join join = { .host = sync->host };
	struct error why;
	int r;

	network_queues_init(&queues);
	if (slot < 0)
		return error_say(err, ENOSPC, "the VM has no free slot for a network interface");
	network_tap_name(name, sync->sid, (uint32_t)slot);
	join.vcpus = sync->ops->vcpus(sync->context);
	r = network_tap_join(sync->netlink, link, name, &join, &queues, err);
	if (r < 0)
		return r;
	r = sync->ops->plug(sync->context, (uint32_t)slot, link->mac, &queues, err);
	if (r < 0) {
		network_tap_part(sync->netlink, link->index, &why);
		return r;
	}
	link->slot = slot;
	log_info("a network interface was given to the VM", KV_S("name", link->name),
		 KV("slot", slot), KV("queues", queues.n));
	return 0;
}

static int plug_new(struct network_sync *sync, struct network *now, bool *ret_changed,
		    struct error *err)
{
	int result = 0;

	for (uint32_t i = 0; i < now->n_links; i++) {
		struct network_link *link = &now->links[i];
		int r;

		if (link->slot >= 0)
			continue;
		r = plug(sync, now, link, err);
		if (r < 0)
			result = error_prefix(err, "interface %s", link->name);
		*ret_changed = *ret_changed || r == 0;
	}
	return result;
}

static void follow_mtu(struct network_sync *sync, struct network *now)
{
	for (uint32_t i = 0; i < now->n_links; i++) {
		const struct network_link *link = &now->links[i];
		struct network_tap *tap = link->slot >= 0 ? &now->taps[link->slot] : NULL;
		struct error err;

		if (tap == NULL || tap->index == 0 || tap->mtu == link->mtu)
			continue;
		if (network_tap_set_mtu(sync->netlink, tap->index, link->mtu, &err) < 0)
			log_warning("a tap device keeps its MTU", KV_ERR(&err));
		else
			tap->mtu = link->mtu;
	}
}

static bool has_taps(const struct network *network)
{
	for (int i = 0; i < LAUNCH_NET_MAX; i++)
		if (network->taps[i].index != 0)
			return true;
	return false;
}

int network_sync_run(struct network_sync *sync, struct error *err)
{
	CLEANUP(freep) struct network *now = malloc(sizeof(*now));
	bool changed = false;
	struct error later;
	int r, told = 0;

	if (now == NULL)
		return error_set(err, ENOMEM, "network");
	r = network_scan(sync->netlink, sync->sid, now, err);
	/* Nothing there, and nothing was before. */
	if (r == 0 && !sync->told && now->n_links == 0 && !has_taps(now)) {
		sync->last = *now;
		sync->told = true;
	}
	if (r < 0 || (sync->told && is_settled(now) && memcmp(now, &sync->last, sizeof(*now)) == 0))
		return r;
	r = unplug_lost(sync, now, &changed, err);
	if (r == 0)
		r = plug_new(sync, now, &changed, err);
	follow_mtu(sync, now);
	/* The last word on what there is, the tap devices included. */
	if (changed)
		told = network_scan(sync->netlink, sync->sid, now, &later);
	if (told == 0)
		told = sync->ops->tell(sync->context, now, &later);
	if (now->skipped[0] != '\0' && !str_eq(now->skipped, sync->last.skipped))
		log_warning("parts of the network are not given to the VM",
			    KV_S("parts", now->skipped));
	sync->last = *now;
	sync->told = told == 0;
	if (r == 0 && told < 0)
		*err = later;
	return r < 0 ? r : told;
}
