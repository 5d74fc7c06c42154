/* The connection to the worker's unit: see unit-link.h. Called by vm.c in the monitor. */
#include "kata-proxy/unit-link.h"

#include <errno.h>

#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/wire.h"

enum {
	START_MS = 10000, /* as long as a worker of the monitor's own may take */
	WORD_MS = 1000,   /* for the rest of a message whose start has come */
};

int unit_link_start(int unit, const struct spawn *spawn, struct error *err)
{
	struct msg_worker_fd numbers[SPAWN_FDS_MAX];
	int fds[SPAWN_FDS_MAX + 1] = { spawn->program };
	struct msg_worker message = { .fds = numbers, .n_fds = (uint32_t)spawn->n_fds };
	int r;

	message.args.items = (char **)(uintptr_t)spawn->args;
	while (spawn->args[message.args.count] != NULL)
		message.args.count++;
	for (size_t i = 0; i < spawn->n_fds; i++) {
		numbers[i].number = (uint32_t)spawn->fds[i].to;
		fds[i + 1] = spawn->fds[i].from;
	}
	r = fdpass_ask(unit, MSG_WORKER, &message, fds, spawn->n_fds + 1, MSG_DONE,
		       deadline_in_ms(START_MS), err);
	return r < 0 ? error_prefix(err, "%s's unit", spawn->name) : 0;
}

void unit_link_stop(int unit)
{
	fdpass_send(unit, MSG_WORKER_STOP, NULL, NULL, 0, deadline_in_ms(WORD_MS), NULL);
}

int unit_link_read(int unit, int *ret_status, struct error *err)
{
	void *body;
	int r = fdpass_expect(unit, MSG_WORKER_ENDED, &body, deadline_in_ms(WORD_MS), err);

	if (r < 0)
		return r;
	*ret_status = (int)((const struct msg_worker_ended *)body)->status;
	wire_free(MSG_WORKER_ENDED, body);
	return 0;
}
