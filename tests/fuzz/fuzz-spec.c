/* libFuzzer: config.json, the process file of `exec` (first byte odd), and mount options. */
#include <stddef.h>
#include <stdint.h>

#include "kata-runtime/spec-mount.h"
#include "kata-runtime/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(const char *what, void *userdata)
{
	*(size_t *)userdata += (size_t)what[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spec_process *process = NULL;
	struct spec *spec = NULL;
	struct error err;
	size_t sum = 0;

	if (size > 0 && (data[0] & 1) != 0 && data[0] != '{') {
		if (spec_parse_process("f", (const char *)data + 1, size - 1, &process, &err) == 0)
			spec_process_warnings(process, ignore, &sum);
		spec_process_free(process);
		return 0;
	}
	if (spec_parse("f", "/b", (const char *)data, size, &spec, &err) < 0)
		return 0;
	spec_warnings(spec, ignore, &sum);
	for (uint32_t i = 0; i < spec->n_mounts; i++) {
		struct mount_options options = { 0 };

		if (mount_options_parse(&spec->mounts[i], &options, &err) == 0)
			mount_options_fini(&options);
	}
	spec_free(spec);
	return 0;
}
