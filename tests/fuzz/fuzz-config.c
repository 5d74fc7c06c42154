/* libFuzzer: a configuration file. */
#include <stddef.h>
#include <stdint.h>

#include "kata-runtime/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = { 0 };
	struct error err;

	if (config_parse("f", (const char *)data, size, &config, &err) == 0)
		config_fini(&config);
	return 0;
}
