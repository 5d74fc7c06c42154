/* features: what this runtime can do, as the JSON that engines ask every registered runtime for. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/features.h"

int cmd_features(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	struct json_object *features;
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	(void)cli;
	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime features\n");
		return 0;
	}
	if (words.count != 0)
		return error_say(err, EINVAL, "features: no word is taken, \"%s\" was given",
				 words.items[0]);
	features = features_make();
	printf("%s\n", json_object_to_json_string_ext(
			       features, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(features);
	return fflush(stdout) == 0 ? 0 : error_set(err, errno, "standard output");
}
