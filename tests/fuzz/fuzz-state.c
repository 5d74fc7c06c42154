/* libFuzzer: state.json; what is taken has to be written and read again the same. */
#include <stdlib.h>
#include <string.h>

#include "kata-runtime/cgroup.h"
#include "kata-runtime/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state first = { 0 }, second = { 0 };
	struct cgroup cgroup = { .count = 0 };
	struct error err;
	char *a = NULL, *b = NULL;

	if (state_parse("f", (const char *)data, size, &first, &err) < 0)
		return 0;
	if (cgroup_load(&first.cgroups, false, &cgroup, &err) == 0)
		cgroup_fini(&cgroup);
	if (state_format(&first, &a, &err) < 0 ||
	    state_parse("f", a, strlen(a), &second, &err) < 0 ||
	    state_format(&second, &b, &err) < 0 || strcmp(a, b) != 0)
		abort();
	free(a);
	free(b);
	state_fini(&first);
	state_fini(&second);
	return 0;
}
