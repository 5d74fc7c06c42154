/*
 * libFuzzer: texts of the kernel whose words others choose: names of processes and paths of mounts,
 * and the lists of uids. The first byte says which reader gets the rest.
 */
#include <stdlib.h>
#include <string.h>

#include "common/process.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/network-tap.h"
#include "kata-runtime/uids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_mounts(const char *text)
{
	struct cgroup_mounts mounts = { .count = 0 };
	struct cgroup cgroup = { .count = 0 };
	struct error err;

	if (cgroup_parse_mounts(text, &mounts, &err) < 0)
		return;
	if (mounts.count > CGROUP_HIERARCHIES_MAX)
		abort();
	for (size_t i = 0; i < mounts.count; i++)
		if (mounts.items[i].path == NULL || mounts.items[i].path[0] != '/')
			abort();
	if (cgroup_plan_on(&mounts, "/kata/x", true, &cgroup, &err) == 0)
		cgroup_fini(&cgroup);
	cgroup_mounts_fini(&mounts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uid_range range;
	struct error err;
	uint8_t mac[6];
	int32_t target;
	uint64_t ticks;
	char state;
	char *text;

	if (size == 0)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (text == NULL)
		return 0;
	switch (data[0] % 4) {
	case 0:
		read_mounts(text);
		break;
	case 1:
		if (uids_parse_range(text, &range, &err) == 0 &&
		    (range.count == 0 || range.start + range.count < range.start))
			abort();
		break;
	case 2:
		network_tap_parse_alias(text, &target, mac);
		break;
	default:
		if (process_parse_stat(text, &state, &ticks) == 0 && state == '\0')
			abort();
		break;
	}
	free(text);
	return 0;
}
