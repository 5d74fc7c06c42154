/*
 * events: statistics of a container as JSON, once or every few seconds, and a word when the kernel
 * of its VM ends one of its processes for want of memory. It ends with the container.
 */
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/privsep.h"
#include "common/process.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"
#include "kata-runtime/events.h"
#include "kata-runtime/sandbox.h"

enum { AGENT_MS = 10000, LOOK_MS = 1000 }; /* how soon a want of memory is told */

struct watch {
	struct store store;
	struct state state;
	struct decoder decoder;
	int shim; /* pidfd: readable when the container has ended */
	uint64_t oom_kills;
};

static void watch_fini(struct watch *w)
{
	decoder_close(&w->decoder);
	state_fini(&w->state);
	fd_close(&w->shim);
}

/* One line, at once. */
static int print(struct json_object *o, struct error *err)
{
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return fflush(stdout) == 0 ? 0 : error_set(err, errno, "standard output");
}

/* Reads the numbers; first: what is there already is no news. */
static int look(struct watch *w, bool first, bool show, struct error *err)
{
	CLEANUP(freep) struct decoder_statistic *values = NULL;
	uint32_t count = 0;
	uint64_t kills;
	int r = decoder_statistics(&w->decoder, w->state.id, deadline_in_ms(AGENT_MS), &values,
				   &count, err);

	if (r < 0)
		return r;
	kills = events_oom_kills(values, count);
	for (uint64_t i = w->oom_kills; r == 0 && !first && i < kills; i++)
		r = print(events_oom(w->state.id), err);
	w->oom_kills = kills;
	if (r == 0 && show)
		r = print(events_stats(w->state.id, values, count), err);
	return r;
}

/* Until the container ends: also what ended it is told. */
static int follow(struct watch *w, int64_t interval_ms, struct error *err)
{
	int64_t next = deadline_in_ms(interval_ms);
	int r = 0;

	while (r == 0) {
		struct pollfd p = { .fd = w->shim, .events = POLLIN };
		int left = deadline_left_ms(next);
		int n = poll(&p, 1, left < LOOK_MS ? left : LOOK_MS);

		if (n < 0 && errno != EINTR)
			return error_set(err, errno, "wait for the container");
		if (n > 0) {
			look(w, false, false, NULL); /* its VM may be gone already */
			return 0;
		}
		left = deadline_left_ms(next);
		r = look(w, false, left == 0, err);
		if (left == 0)
			next = deadline_in_ms(interval_ms);
	}
	/* The VM may end before its shim is seen to. */
	return process_alive(w->state.shim.pid, w->state.shim.start_ticks) ? r : 0;
}

static int watch(const struct cli *cli, const char *id, bool once, int64_t interval_ms,
		 struct error *err)
{
	CLEANUP(watch_fini) struct watch w = { .decoder = DECODER_NONE, .shim = -1 };
	enum container_status status;
	int r = container_load(cli, id, &w.store, &w.state, err);

	if (r < 0)
		return r;
	status = container_status(&w.state);
	if (status == STATUS_STOPPED || status == STATUS_CREATING)
		return error_say(err, ESRCH, "container with id %s is not running", id);
	w.shim = process_open(w.state.shim.pid, w.state.shim.start_ticks, err);
	if (w.shim < 0)
		return error_say(err, ESRCH, "container with id %s is not running", id);
	r = sandbox_connect(&w.store, &w.state, &w.decoder, deadline_in_ms(AGENT_MS), err);
	if (r == 0)
		r = privsep_cut(PRIVSEP_RUNTIME_FOLLOW, true, err);
	if (r == 0)
		r = look(&w, true, once, err);
	return r < 0 || once ? r : follow(&w, interval_ms, err);
}

int cmd_events(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false, once = false;
	const char *interval = "5s";
	int64_t interval_ms = 0;
	const struct cli_option options[] = {
		{ "interval", 0, CLI_TEXT, &interval, "time between statistics, 5s" },
		{ "stats", 0, CLI_FLAG, &once, "statistics once, then end" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime events [OPTION...] ID\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	r = cli_one_id(&words, argv[0], err);
	if (r < 0)
		return r;
	if (events_parse_interval(interval, &interval_ms) < 0)
		return error_say(err, EINVAL,
				 "--interval is a time as 5s, 500ms or 1m, greater than 0, not "
				 "\"%s\"",
				 interval);
	return watch(cli, words.items[0], once, interval_ms, err);
}
