/*
 * update: change limits of a container. They come as an OCI linux.resources object, or one by one
 * as options of runc's names; what is 0 or not named stays as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"
#include "kata-runtime/size.h"

struct update_arguments {
	const char *resources, *memory, *reservation, *swap, *quota, *period, *burst, *idle;
	const char *shares, *cpus, *mems, *pids, *weight, *kernel, *kernel_tcp, *rt_period;
	const char *rt_runtime, *l3, *mb;
	bool help;
	struct cli_list words;
};

static int parse(int argc, char **argv, struct update_arguments *a, struct error *err)
{
	const char *ignored = "accepted, without meaning here";
	const struct cli_option options[] = {
		{ "resources", 'r', CLI_TEXT, &a->resources, "file with all of them, - is stdin" },
		{ "memory", 0, CLI_TEXT, &a->memory, "limit of memory, bytes or as 64m" },
		{ "memory-reservation", 0, CLI_TEXT, &a->reservation,
		  "memory that is kept for it" },
		{ "memory-swap", 0, CLI_TEXT, &a->swap, "limit of memory and swap together" },
		{ "cpu-quota", 0, CLI_TEXT, &a->quota, "microseconds it may run in a period" },
		{ "cpu-period", 0, CLI_TEXT, &a->period, "length of a period in microseconds" },
		{ "cpu-burst", 0, CLI_TEXT, &a->burst, "microseconds it may save up" },
		{ "cpu-idle", 0, CLI_TEXT, &a->idle, "1: run only when nothing else does" },
		{ "cpu-share", 0, CLI_TEXT, &a->shares, "weight beside others, 1024 is usual" },
		{ "cpuset-cpus", 0, CLI_TEXT, &a->cpus, "processors of the guest, as 0-1" },
		{ "cpuset-mems", 0, CLI_TEXT, &a->mems, "memory nodes of the guest" },
		{ "pids-limit", 0, CLI_TEXT, &a->pids, "number of its processes and threads" },
		{ "blkio-weight", 0, CLI_TEXT, &a->weight, "weight of block I/O, 10 to 1000" },
		{ "kernel-memory", 0, CLI_TEXT, &a->kernel, ignored },
		{ "kernel-memory-tcp", 0, CLI_TEXT, &a->kernel_tcp, ignored },
		{ "cpu-rt-period", 0, CLI_TEXT, &a->rt_period, ignored },
		{ "cpu-rt-runtime", 0, CLI_TEXT, &a->rt_runtime, ignored },
		{ "l3-cache-schema", 0, CLI_TEXT, &a->l3, ignored },
		{ "mem-bw-schema", 0, CLI_TEXT, &a->mb, ignored },
		{ "help", 'h', CLI_FLAG, &a->help, "print this" },
	};
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &a->words, err);

	if (r == 0 && a->help) {
		printf("usage: kata-runtime update [OPTION...] ID\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
	}
	return r == 0 && !a->help ? cli_one_id(&a->words, argv[0], err) : r;
}

static int load(const char *file, struct spec_resources *limits, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;

	if (str_eq(file, "-"))
		return spec_load_resources(STDIN_FILENO, "standard input", limits, err);
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_set(err, errno, "--resources %s", file);
	return spec_load_resources(fd, file, limits, err);
}

static int set_text(char **to, const char *text, struct error *err)
{
	if (text == NULL)
		return 0;
	free(*to);
	*to = strdup(text);
	return *to != NULL ? 0 : error_set(err, ENOMEM, "update");
}

/* The options, over what a file said. */
static int set(const struct update_arguments *a, struct spec_resources *limits, struct error *err)
{
	int64_t shares = 0, period = 0, weight = 0;
	const struct {
		const char *name, *text;
		int64_t *to;
		bool bytes;
	} numbers[] = {
		{ "memory", a->memory, &limits->memory_limit, true },
		{ "memory-reservation", a->reservation, &limits->memory_reservation, true },
		{ "memory-swap", a->swap, &limits->memory_swap, true },
		{ "cpu-quota", a->quota, &limits->cpu_quota, false },
		{ "cpu-period", a->period, &period, false },
		{ "cpu-burst", a->burst, &limits->cpu_burst, false },
		{ "cpu-idle", a->idle, &limits->cpu_idle, false },
		{ "cpu-share", a->shares, &shares, false },
		{ "pids-limit", a->pids, &limits->pids_limit, false },
		{ "blkio-weight", a->weight, &weight, false },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(numbers); i++)
		if (numbers[i].text != NULL &&
		    size_parse(numbers[i].text, numbers[i].bytes, numbers[i].to) < 0)
			r = error_say(err, EINVAL, "--%s: \"%s\" is no number%s", numbers[i].name,
				      numbers[i].text, numbers[i].bytes ? " of bytes" : "");
	if (r == 0 && (shares < 0 || period < 0 || weight < 0 || weight > 1000))
		r = error_say(err, EINVAL, "update: a number is out of its range");
	if (r < 0)
		return r;
	limits->has_cpu_idle = limits->has_cpu_idle || a->idle != NULL;
	limits->cpu_shares = shares != 0 ? (uint64_t)shares : limits->cpu_shares;
	limits->cpu_period = period != 0 ? (uint64_t)period : limits->cpu_period;
	limits->blkio_weight = weight != 0 ? (uint32_t)weight : limits->blkio_weight;
	r = set_text(&limits->cpus, a->cpus, err);
	return r < 0 ? r : set_text(&limits->mems, a->mems, err);
}

int cmd_update(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(spec_resources_fini) struct spec_resources limits = { 0 };
	struct update_arguments a = { 0 };
	int r = parse(argc, argv, &a, err);

	if (r == 0 && !a.help) {
		if (a.resources != NULL)
			r = load(a.resources, &limits, err);
		if (r == 0)
			r = set(&a, &limits, err);
		if (r == 0)
			r = container_update(cli, a.words.items[0], &limits, err);
	}
	cli_list_free(&a.words);
	return r;
}
