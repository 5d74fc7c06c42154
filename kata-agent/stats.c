/*
 * Statistics of a container: see stats.h. Called by the STATS request. The files are the kernel's;
 * which of their numbers mean what to container managers is the runtime's matter.
 */
#include "kata-agent/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-agent/cgroup.h"

enum { FILE_MAX = 16384 };

static const char *const files[] = {
	"cpu.stat",
	"io.stat",
	"memory.current",
	"memory.max",
	"memory.peak",
	"memory.events",
	"memory.stat",
	"memory.swap.current",
	"memory.swap.max",
	"pids.current",
	"pids.max",
	"hugetlb.2MB.current",
	"hugetlb.2MB.max",
	"hugetlb.2MB.events",
	"hugetlb.1GB.current",
	"hugetlb.1GB.max",
	"hugetlb.1GB.events",
};

static int add(struct msg_statistics *to, const char *file, const char *device, const char *key,
	       const char *number)
{
	struct msg_statistic *at;
	char name[STATS_NAME_MAX + 1];
	uint64_t value = UINT64_MAX;

	if (!str_eq(number, "max") && str_to_u64(number, UINT64_MAX, &value) < 0)
		return 0;
	if (to->n_values == STATS_MAX ||
	    str_format(name, sizeof(name), "%s%s%s%s%s", file, device[0] != '\0' ? ":" : "", device,
		       key[0] != '\0' ? ":" : "", key) < 0)
		return 0;
	at = &to->values[to->n_values];
	at->name = strdup(name);
	if (at->name == NULL)
		return -ENOMEM;
	at->value = value;
	to->n_values++;
	return 0;
}

/* "254:0 rbytes=1 wbytes=2", behind the first blank. */
static int parse_device(struct msg_statistics *to, const char *file, const char *device,
			char *pairs)
{
	char *pair, *equals;
	int r = 0;

	while (r == 0 && (pair = strsep(&pairs, " ")) != NULL) {
		equals = strchr(pair, '=');
		if (equals == NULL)
			continue;
		*equals = '\0';
		r = add(to, file, device, pair, equals + 1);
	}
	return r;
}

int stats_parse(const char *file, const char *text, struct msg_statistics *to)
{
	CLEANUP(freep) char *copy = strdup(text);
	char *rest = copy, *line;
	int r = 0;

	if (to->values == NULL)
		to->values = calloc(STATS_MAX, sizeof(*to->values));
	if (copy == NULL || to->values == NULL)
		return -ENOMEM;
	while (r == 0 && (line = strsep(&rest, "\n")) != NULL) {
		char *value = line, *first = strsep(&value, " ");

		if (value == NULL)
			r = add(to, file, "", "", first);
		else if (strchr(value, '=') != NULL)
			r = parse_device(to, file, first, value);
		else
			r = add(to, file, "", first, value);
	}
	return r;
}

int stats_read(int cgroup, struct msg_statistics *ret, struct error *err)
{
	CLEANUP(freep) char *text = malloc(FILE_MAX);
	struct msg_statistics statistics = { 0 };

	if (text == NULL)
		return error_set(err, ENOMEM, "read statistics");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (cgroup_read(cgroup, files[i], text, FILE_MAX) < 0)
			continue;
		if (stats_parse(files[i], text, &statistics) < 0) {
			stats_free(&statistics);
			return error_set(err, ENOMEM, "read statistics");
		}
	}
	*ret = statistics;
	return 0;
}

void stats_free(struct msg_statistics *statistics)
{
	for (uint32_t i = 0; i < statistics->n_values; i++)
		free(statistics->values[i].name);
	free(statistics->values);
	statistics->values = NULL;
	statistics->n_values = 0;
}
