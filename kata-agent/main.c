/*
 * kata-agent: process 1 of the guest. It takes typed requests over one link to the host, makes
 * containers of them, carries their streams, and reaps. With --no-init it serves on a socket
 * without a VM, for tests.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/deadline.h"
#include "common/error.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-agent/agent.h"
#include "kata-agent/init.h"
#include "kata-agent/link.h"

enum { PORT_DEADLINE_MS = 10000 };

struct arguments {
	int socket;
	bool no_init;
	const char *share, *cgroup;
};

static const char usage[] = "usage: kata-agent --no-init --socket FD --share DIR [--cgroup DIR]\n"
			    "Without options it is started by the guest's kernel as process 1.\n";

static int take_number(const char *text, int *ret_number)
{
	uint64_t number;
	int r = str_to_u64(text, INT_MAX, &number);

	if (r == 0)
		*ret_number = (int)number;
	return r;
}

/* 0 to go on, 1 when all is said, negative for what cannot be. */
static int parse(int argc, char **argv, struct arguments *args)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "no-init", no_argument, NULL, 'n' },
		{ "share", required_argument, NULL, 'd' },
		{ "cgroup", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ 0 },
	};
	int option, r = 0;

	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			r = take_number(optarg, &args->socket);
			break;
		case 'n':
			args->no_init = true;
			break;
		case 'd':
			args->share = optarg;
			break;
		case 'c':
			args->cgroup = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		case 'v':
			puts("kata-agent " KATA_VERSION);
			return 1;
		default:
			return -EINVAL;
		}
	}
	return r;
}

/* The agent's memory is also that of its forked children, which containers can see. */
static int prepare(struct arguments *args, struct link_source *ret_source, struct error *err)
{
	uint32_t port;
	int r;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "forbid debugging");
	if (args->no_init) {
		log_start("agent", STDERR_FILENO, LOG_INFO);
		if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
			return error_set(err, errno, "become the reaper");
		return link_from_socket(ret_source, args->socket, err);
	}
	r = init_guest(err);
	if (r == 0 && link_wants_vsock(&port))
		return link_find_vsock(ret_source, port, err);
	return r < 0 ? r : link_find_port(ret_source, deadline_in_ms(PORT_DEADLINE_MS), err);
}

static int serve(struct arguments *args, struct error *err)
{
	static struct agent agent;
	struct agent_options options = { .share = args->share,
					 .cgroup = args->cgroup,
					 .guest = !args->no_init,
					 .console = STDERR_FILENO };
	struct link_source source;
	int r = prepare(args, &source, err);

	if (r == 0)
		r = agent_start(&agent, &options, &source, err);
	return r < 0 ? r : agent_run(&agent, err);
}

/* As pid 1 the kernel passes unknown words of its command line on: they are not for us. */
int main(int argc, char **argv)
{
	struct arguments args = { .socket = -1, .share = INIT_RUN "/share", .cgroup = INIT_CGROUP };
	struct error err;
	int r = 0;

	if (getpid() != 1 || (argc > 1 && str_eq(argv[1], "--no-init")))
		r = parse(argc, argv, &args);
	if (r > 0)
		return EXIT_SUCCESS;
	if (r < 0 || (getpid() != 1 && (!args.no_init || args.socket < 0))) {
		fputs(usage, stderr);
		return EXIT_FAILURE;
	}
	if (serve(&args, &err) < 0) {
		log_error("the agent ends", KV_ERR(&err));
		return EXIT_FAILURE; /* as pid 1: the kernel panics, and QEMU ends */
	}
	return EXIT_SUCCESS;
}
