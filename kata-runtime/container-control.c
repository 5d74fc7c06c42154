/*
 * What a container's processes are allowed while it runs: pause, resume, update; see container.h.
 * Runs in kata-runtime as root. state.json says "paused" only once the agent has said so.
 */
#include <errno.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "kata-runtime/container.h"
#include "kata-runtime/resources.h"
#include "kata-runtime/sandbox.h"
#include "kata-runtime/vm-grow.h"
#include "kata-runtime/vm-size.h"

enum { AGENT_MS = 10000 };

static int ask(const struct store *store, const struct state *state, enum msg_type type,
	       const void *body, struct error *err)
{
	CLEANUP(decoder_close) struct decoder decoder = DECODER_NONE;
	int64_t deadline = deadline_in_ms(AGENT_MS);
	int r = sandbox_connect(store, state, &decoder, deadline, err);

	return r < 0 ? r : decoder_request(&decoder, type, body, deadline, NULL, NULL, err);
}

static bool can_be_paused(const struct state *state)
{
	switch (container_status(state)) {
	case STATUS_CREATED:
	case STATUS_STARTING:
	case STATUS_RUNNING:
		return true;
	default:
		return false;
	}
}

int container_pause(const struct cli *cli, const char *id, struct error *err)
{
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	CLEANUP(state_fini) struct state state = { 0 };
	struct msg_pause pause = { .container = (char *)id };
	struct store store;
	int r = container_lock(cli, id, &store, &state, &lock, err);

	if (r == 0 && !can_be_paused(&state))
		r = error_say(err, EINVAL, "container not running");
	if (r == 0)
		r = ask(&store, &state, MSG_PAUSE, &pause, err);
	if (r < 0)
		return r;
	state.paused = true;
	log_info("container paused");
	return store_write_state(&store, &state, err);
}

int container_resume(const struct cli *cli, const char *id, struct error *err)
{
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	CLEANUP(state_fini) struct state state = { 0 };
	struct msg_resume resume = { .container = (char *)id };
	struct store store;
	int r = container_lock(cli, id, &store, &state, &lock, err);

	if (r == 0 && container_status(&state) != STATUS_PAUSED)
		r = error_say(err, EINVAL, "container not paused");
	if (r == 0)
		r = ask(&store, &state, MSG_RESUME, &resume, err);
	if (r < 0)
		return r;
	state.paused = false;
	log_info("container resumed");
	return store_write_state(&store, &state, err);
}

/*
 * The VM, for what the container may use from now on; state says how much that is, and until it is
 * written no other one may grow the VM.
 */
static int make_room(const struct cli *cli, const struct store *store, struct state *state,
		     const struct spec_resources *limits, struct decoder *decoder,
		     struct store_lock *ret_size, struct error *err)
{
	CLEANUP(config_fini) struct config config = { 0 };
	uint64_t memory = state->memory_limit, cpu_milli = state->cpu_milli;
	int r;

	vm_demand_limits(limits, &state->memory_limit, &state->cpu_milli);
	if (state->memory_limit == memory && state->cpu_milli == cpu_milli)
		return 0;
	r = container_config(cli, store, state, &config, err);
	return r < 0 ? r : vm_grow(store, state, &config, decoder, ret_size, err);
}

static void warn(const char *what, void *userdata)
{
	(void)userdata;
	log_warning("update asks for what this version does not apply", KV_S("field", what));
}

/* Limits that the kernel takes together: the state keeps those that update may leave out. */
static void complete(struct spec_resources *limits, struct state *state)
{
	struct resources_now now = { .memory = state->memory_limit,
				     .cpu_quota = state->cpu_quota,
				     .cpu_period = state->cpu_period };

	resources_complete(limits, &now);
	state->cpu_quota = now.cpu_quota;
	state->cpu_period = now.cpu_period;
}

int container_update(const struct cli *cli, const char *id, struct spec_resources *limits,
		     struct error *err)
{
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	CLEANUP(store_unlock) struct store_lock size = STORE_LOCK_NONE;
	CLEANUP(resources_fini) struct resources resources = { 0 };
	CLEANUP(decoder_close) struct decoder decoder = DECODER_NONE;
	CLEANUP(state_fini) struct state state = { 0 };
	struct msg_update update = { .container = (char *)id };
	struct store store;
	int r = container_lock(cli, id, &store, &state, &lock, err);

	if (r == 0 && container_status(&state) == STATUS_STOPPED)
		r = error_say(err, EINVAL, "container not running");
	if (r < 0)
		return r;
	spec_resources_warnings(limits, warn, NULL);
	complete(limits, &state);
	r = resources_make(limits, &resources, err);
	if (r == 0)
		r = sandbox_connect(&store, &state, &decoder, deadline_in_ms(AGENT_MS), err);
	if (r == 0)
		r = make_room(cli, &store, &state, limits, &decoder, &size, err);
	if (r < 0)
		return r;
	update.cgroup = resources.values;
	update.n_cgroup = resources.n_values;
	update.check_memory = limits->check_before_update;
	r = decoder_request(&decoder, MSG_UPDATE, &update, deadline_in_ms(AGENT_MS), NULL, NULL,
			    err);
	if (r < 0)
		return r;
	log_info("limits changed", KV("count", resources.n_values));
	return store_write_state(&store, &state, err);
}
