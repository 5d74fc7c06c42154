/*
 * Growing a VM: see vm-grow.h. Called by create for a container that joins one, and by update; in
 * kata-runtime's process, as root. Talks to QEMU, whose answers vm-plug.c checks, and by the
 * decoder to the agent.
 */
#include "kata-runtime/vm-grow.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-runtime/container.h"
#include "kata-runtime/pod.h"
#include "kata-runtime/qemu-args.h"
#include "kata-runtime/qmp.h"
#include "kata-runtime/vm-plug.h"
#include "kata-runtime/vm-size.h"

enum {
	LOCK_MS = 60000, /* another one grows; its guest may be slow */
	QMP_MS = 10000,
	AGENT_MS = 20000,
	TAKE_MS = 20000, /* a guest takes what is plugged, */
	TAKE_MIB_MS = 2, /* and for each MiB */
};

struct sum {
	const struct store *store;
	const struct state *except;
	struct vm_demand demand;
};

static void add(struct vm_demand *demand, const struct state *state)
{
	/* Of a pod's sandbox container nobody expects that it uses anything. */
	if (state->memory_limit != 0 || !state->pause)
		vm_demand_add(demand, state->memory_limit, state->cpu_milli);
}

/* One that has stopped uses nothing any more. */
static int add_other(const char *sid, void *userdata)
{
	CLEANUP(state_fini) struct state state = { 0 };
	struct sum *sum = userdata;

	if (!str_eq(sid, sum->except->sid) &&
	    store_read_state(sum->store, sid, &state, NULL) == 0 && !state.departed &&
	    container_status(&state) != STATUS_STOPPED)
		add(&sum->demand, &state);
	return 0;
}

static int add_all(struct sum *sum, struct error *err)
{
	const char *sandbox = sum->except->sandbox;

	add(&sum->demand, sum->except);
	add_other(sandbox, sum);
	return store_each_member(sum->store, sandbox, add_other, sum, err);
}

static int grow_memory(struct qmp *qmp, const struct vm_plug *plug, uint32_t need,
		       struct error *err)
{
	uint32_t missing = need > plug->memory_mib ? need - plug->memory_mib : 0;
	uint32_t mib = (missing + QEMU_PLUG_STEP_MIB - 1) / QEMU_PLUG_STEP_MIB * QEMU_PLUG_STEP_MIB;

	if (missing == 0)
		return 0;
	if (mib > plug->more_mib)
		mib = plug->more_mib;
	/* A part of a step is rounding, of the host's memory. */
	if (mib + QEMU_PLUG_STEP_MIB <= missing)
		return error_say(err, ENOSPC,
				 "%u MiB more are needed, and this VM can get %u: how many was "
				 "decided when it was started (hypervisor.default_maxmemory)",
				 missing, plug->more_mib);
	return mib == 0 ? 0
			: vm_plug_memory(qmp, plug, mib,
					 deadline_in_ms(TAKE_MS + (int64_t)mib * TAKE_MIB_MS), err);
}

/* Quotas beyond what there is are no error: as on a host with few processors. */
static int grow_vcpus(struct qmp *qmp, const struct vm_plug *plug, uint32_t need,
		      struct decoder *decoder, struct error *err)
{
	uint32_t missing = need > plug->vcpus ? need - plug->vcpus : 0;
	uint32_t count = missing < plug->more_vcpus ? missing : plug->more_vcpus;
	struct msg_online online = { .vcpus = plug->vcpus + count };
	int r = 0;

	if (count < missing)
		log_warning("the VM cannot get as many processors as its containers may use",
			    KV("missing", missing - count));
	if (count > 0)
		r = vm_plug_vcpus(qmp, count, deadline_in_ms(QMP_MS), err);
	/* Also when they were plugged before: what came in between may have failed. */
	if (r == 0 && online.vcpus > 1)
		r = decoder_request(decoder, MSG_ONLINE, &online, deadline_in_ms(AGENT_MS), NULL,
				    NULL, err);
	return r;
}

static int grow(const struct store *store, const struct state *state, const struct vm_size *need,
		struct decoder *decoder, struct error *err)
{
	CLEANUP(qmp_close) struct qmp qmp = QMP_CLOSED;
	int64_t deadline = deadline_in_ms(QMP_MS);
	struct vm_plug plug;
	char path[PATH_MAX];
	int r = store_path(store, state->sandbox, "qmp.sock", path, err);

	if (r == 0)
		r = qmp_open(&qmp, path, deadline, err);
	if (r == 0)
		r = vm_plug_look(&qmp, deadline, &plug, err);
	if (r == 0)
		r = grow_memory(&qmp, &plug, need->memory_mib, err);
	if (r == 0)
		r = grow_vcpus(&qmp, &plug, need->vcpus, decoder, err);
	if (r == 0)
		log_info("the VM is large enough", KV("memory_mib", need->memory_mib),
			 KV("before_mib", plug.memory_mib), KV("vcpus", need->vcpus),
			 KV("before_vcpus", plug.vcpus));
	return r;
}

int vm_grow(const struct store *store, const struct state *state, const struct config *config,
	    struct decoder *decoder, struct store_lock *ret_lock, struct error *err)
{
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	struct sum sum = { .store = store, .except = state };
	struct vm_host host = vm_size_host();
	struct vm_size need;
	int r = store_lock_size(store, state->sandbox, deadline_in_ms(LOCK_MS), &lock, err);

	if (r == 0)
		r = add_all(&sum, err);
	/* When nobody has a limit it is as large as it has to be. */
	if (r == 0 && (sum.demand.memory != 0 || sum.demand.cpu_milli != 0)) {
		r = vm_size_need(&sum.demand, config, &host, &need, err);
		if (r == 0)
			r = grow(store, state, &need, decoder, err);
		if (r < 0)
			return error_prefix(err, "make the VM larger");
	}
	if (r < 0)
		return r;
	*ret_lock = lock;
	lock.fd = -1;
	return 0;
}
