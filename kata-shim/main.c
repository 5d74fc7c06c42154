/*
 * kata-shim: stands on the host for one process of the guest. kata-runtime forks it early into the
 * container's namespaces and cgroup, with the container's descriptors 0 to 2 and the container's
 * command as argv, which is for show only; parameters come in the environment (see kata-shim(8)).
 *
 * Rights end in this order: descriptors; what needs /proc, /dev and the terminal; root directory;
 * uid and capabilities. Only then anything that comes from the guest is read.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/cleanup.h"
#include "common/fdpass.h"
#include "common/filter.h"
#include "common/launch.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/privsep.h"
#include "common/str.h"
#include "common/wire.h"
#include "kata-shim/shim.h"
#include "kata-shim/signals.h"
#include "kata-shim/stdio.h"
#include "kata-shim/tty.h"

enum { EXIT_UNDONE = 1, EXIT_USAGE = 2 };
enum { MEMORY_KEPT = 32768 };

static const char *const variables[] = { "KATA_SANDBOX", "KATA_CONTAINER", "KATA_EXEC",
					 "KATA_UID",     "KATA_DEBUG",     "KATA_SECCOMP" };

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? value : "";
}

/* What ps shows beside argv: the command's name, without its directory. */
static void take_name(const char *command)
{
	const char *slash = strrchr(command, '/');

	prctl(PR_SET_NAME, slash != NULL ? slash + 1 : command, 0, 0, 0);
}

/* Reads the parameters and starts the log: 0, or an error when the runtime did not start us. */
static int take_parameters(uint64_t *ret_uid, bool *ret_seccomp_log, struct error *err)
{
	int r = str_to_u64(variable("KATA_UID"), UINT32_MAX, ret_uid);

	if (r < 0)
		return error_set(err, -r, "KATA_UID");
	log_start("shim", SHIM_FD_LOG, str_eq(variable("KATA_DEBUG"), "1") ? LOG_DEBUG : LOG_INFO);
	log_context(variable("KATA_SANDBOX"), variable("KATA_CONTAINER"),
		    variable("KATA_EXEC")[0] != '\0' ? variable("KATA_EXEC") : NULL);
	*ret_seccomp_log = str_eq(variable("KATA_SECCOMP"), "log");
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		unsetenv(variables[i]);
	return 0;
}

/*
 * A terminal that is nobody's becomes ours and raw at once, since its user may type before the
 * guest is ready; one that belongs to another session is left alone.
 */
static bool take_terminal(void)
{
	struct error err;

	if (!tty_is_stdio())
		return false;
	if (tty_control(STDIN_FILENO, &err) < 0 || tty_raw(STDIN_FILENO, &err) < 0) {
		log_debug("terminal is not ours", KV_ERR(&err));
		return false;
	}
	return true;
}

static int confine(uid_t uid, bool seccomp_log, struct error *err)
{
	int shared = SHIM_FD_SHARED;
	int r = privsep_enter_root(shared, err);

	if (r < 0)
		return r;
	fd_close(&shared);
	/* For those who look in from the host, as podman's top does; the filter has no open. */
	r = privsep_show_processes(err);
	if (r == 0)
		r = privsep_limit(PRIVSEP_SHIM, err);
	if (r == 0)
		r = privsep_drop(uid, uid, NULL, 0, err);
	return r < 0 ? r : privsep_finish(PRIVSEP_SHIM, uid, seccomp_log, err);
}

/*
 * There is a shim for each process, and it is idle most of the time: a buffer that is not needed
 * any more goes back to the system at once (mallopt(3)).
 */
static void keep_no_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, MEMORY_KEPT);
	mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT);
	mallopt(M_TOP_PAD, 0);
}

/* Waits until the runtime hands in the process; its life is the limit. */
static int receive_attach(struct shim_params *params, struct error *err)
{
	struct msg_attach *attach;
	void *body;
	int r = fdpass_expect(SHIM_FD_CONTROL, MSG_ATTACH, &body, INT64_MAX, err);

	if (r < 0)
		return r;
	attach = body;
	params->handle = attach->handle;
	params->terminal = attach->terminal;
	params->relay = attach->relay;
	wire_free(MSG_ATTACH, body);
	if (params->terminal && !params->controlling)
		return tty_raw(STDIN_FILENO, err);
	return 0;
}

/* Everything before the shim's work: 0, or an error that ends it. */
static int prepare(struct shim_params *params, struct stdio *stdio, uv_loop_t *loop,
		   struct error *err)
{
	bool seccomp_log = false;
	uint64_t uid;
	int r;

	r = privsep_begin(PRIVSEP_SHIM, err);
	if (r == 0)
		r = take_parameters(&uid, &seccomp_log, err);
	if (r == 0)
		r = stdio_prepare(stdio, err);
	if (r < 0)
		return r;
	params->signals = signals_open(err);
	if (params->signals < 0)
		return params->signals;
	params->controlling = take_terminal();
	r = filter_load(FILTER_SHIM_START, seccomp_log, err);
	if (r == 0)
		r = loop_start(loop, err);
	if (r < 0)
		return r;
	r = confine((uid_t)uid, seccomp_log, err);
	if (r < 0)
		uv_loop_close(loop);
	return r;
}

int main(int argc, char **argv)
{
	struct shim_params params = { .socket = "/proxy.sock",
				      .exit = SHIM_FD_EXIT,
				      .control = SHIM_FD_CONTROL };
	struct stdio stdio;
	struct error err;
	uv_loop_t loop;
	int r;

	if (getenv("KATA_UID") == NULL) {
		fprintf(stderr, "kata-shim is started by kata-runtime, see kata-shim(8)\n");
		return EXIT_USAGE;
	}
	keep_no_memory();
	take_name(argc > 0 ? argv[0] : "kata-shim");
	r = prepare(&params, &stdio, &loop, &err);
	if (r < 0) {
		log_error("shim cannot start", KV_ERR(&err));
		fdpass_send_error(SHIM_FD_CONTROL, &err);
		return SHIM_EXIT_FAILED;
	}
	r = receive_attach(&params, &err);
	if (r < 0)
		uv_loop_close(&loop);
	if (r == -ENOTCONN)
		return EXIT_UNDONE; /* the runtime took its work back */
	if (r < 0) {
		log_error("shim cannot attach", KV_ERR(&err));
		fdpass_send_error(SHIM_FD_CONTROL, &err);
		return SHIM_EXIT_FAILED;
	}
	return shim_run(&loop, &stdio, &params);
}
