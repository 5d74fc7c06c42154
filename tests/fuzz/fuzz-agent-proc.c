/*
 * libFuzzer: what the agent reads of /proc and of cgroups, whose names containers choose, and of
 * the kernel's command line. The first byte says which reader gets the rest.
 */
#include <stdlib.h>
#include <string.h>

#include "kata-agent/link.h"
#include "kata-agent/log-link.h"
#include "kata-agent/modules.h"
#include "kata-agent/ps.h"
#include "kata-agent/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const stat_files[] = { "cpu.stat", "memory.stat",  "memory.events",
					  "io.stat",  "pids.current", "hugetlb.2MB.current" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_statistics statistics = { 0 };
	struct ps_stat stat = { 0 };
	const char *path;
	char *text, *line;
	uint32_t number;

	if (size < 2)
		return 0;
	text = strndup((const char *)data + 2, size - 2);
	line = malloc(LOG_LINK_TEXT_MAX + 1);
	if (text == NULL || line == NULL)
		abort();
	switch (data[0] % 6) {
	case 0:
		ps_parse_stat(text, &stat);
		break;
	case 1:
		ps_parse_uid(text, &number);
		break;
	case 2:
		stats_parse(stat_files[data[1] % 6], text, &statistics);
		stats_free(&statistics);
		break;
	case 3:
		link_parse_vsock(text, &number);
		break;
	case 4:
		log_link_parse(text, line);
		break;
	default:
		modules_parse_line(text, &path);
		break;
	}
	free(line);
	free(text);
	return 0;
}
