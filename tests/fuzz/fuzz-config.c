/* libFuzzer: a configuration file, and a text as the value of each annotation for one. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/config-keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void annotate(const char *text, size_t len)
{
	static const char all[] = "{\"hypervisor\":{\"enable_annotations\":[\".*\"],"
				  "\"valid_kernel_paths\":[\"/[a-u]*/*\"]}}";
	CLEANUP(freep) char *value = strndup(text, len);

	for (const struct config_key *key = config_keys; key->name != NULL; key++) {
		struct config config = { 0 };
		char name[128];
		struct spec_pair pair = { name, value };
		struct error err;

		if (key->annotation == NULL || value == NULL)
			continue;
		snprintf(name, sizeof(name), "%s%s", CONFIG_ANNOTATIONS, key->annotation);
		if (config_parse("f", all, sizeof(all) - 1, &config, &err) < 0)
			__builtin_trap();
		config_annotate(&config, &pair, 1, NULL, &err);
		config_fini(&config);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = { 0 };
	struct error err;

	if (config_parse("f", (const char *)data, size, &config, &err) == 0)
		config_fini(&config);
	annotate((const char *)data, size);
	return 0;
}
