/*
 * kata-proxy: one program, three kinds of process. kata-runtime starts the monitor, and the monitor
 * starts the worker, or has a unit of systemd's start it; nobody else has a reason to run it.
 */
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "kata-proxy/monitor.h"
#include "kata-proxy/unit.h"
#include "kata-proxy/worker.h"

static int usage(FILE *to, int status)
{
	fputs("usage: kata-proxy monitor SANDBOX\n"
	      "       kata-proxy worker SANDBOX [--debug] [--guest-debug] [--seccomp-log]\n"
	      "                         [--vhost-user-vsock] [--vhost-vsock=CID] [--shim-uid=UID]\n"
	      "       kata-proxy unit SANDBOX\n"
	      "       kata-proxy --version\n"
	      "It is started by kata-runtime, with descriptors, or by systemd; see "
	      "kata-proxy(8).\n",
	      to);
	return status;
}

int main(int argc, char *argv[])
{
	if (argc == 2 && str_eq(argv[1], "--version")) {
		printf("kata-proxy %s\n", KATA_VERSION);
		return 0;
	}
	if (argc == 2 && str_eq(argv[1], "--help"))
		return usage(stdout, 0);
	if (argc == 3 && str_eq(argv[1], "monitor"))
		return monitor_run(argv[2]);
	if (argc == 3 && str_eq(argv[1], "unit"))
		return unit_run(argv[2]);
	if (argc >= 3 && str_eq(argv[1], "worker"))
		return worker_run(argc - 2, argv + 2);
	return usage(stderr, 2);
}
