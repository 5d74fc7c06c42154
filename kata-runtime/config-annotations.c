/*
 * Annotations of a bundle that change the configuration of its VM: see config.h. Called by create
 * and, for what a VM was made with, by later verbs; in kata-runtime's process, as root. Who writes
 * annotations is not trusted: hypervisor.enable_annotations and the lists of paths decide.
 */
#include <errno.h>
#include <fnmatch.h>
#include <json-c/json.h>
#include <limits.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/config-keys.h"
#include "kata-runtime/json.h"

static const struct config_key *find_key(const char *annotation)
{
	if (!str_starts(annotation, CONFIG_ANNOTATIONS))
		return NULL;
	annotation += strlen(CONFIG_ANNOTATIONS);
	for (const struct config_key *key = config_keys; key->name != NULL; key++)
		if (key->annotation != NULL && str_eq(key->annotation, annotation))
			return key;
	return NULL;
}

/* Whether the whole of name is what the expression says, of which it is known that it is one. */
static bool matches(const char *expression, const char *name)
{
	regmatch_t match;
	regex_t regex;
	bool whole;

	if (regcomp(&regex, expression, REG_EXTENDED) != 0)
		return false;
	/* The longest match at the first place: the whole name is that when it matches at all. */
	whole = regexec(&regex, name, 1, &match, 0) == 0 && match.rm_so == 0 &&
		(size_t)match.rm_eo == strlen(name);
	regfree(&regex);
	return whole;
}

bool config_takes(const struct config *config, const char *annotation)
{
	const struct wire_strings *allowed = &config->hypervisor.enable_annotations;
	const struct config_key *key = find_key(annotation);

	for (uint32_t i = 0; key != NULL && i < allowed->count; i++)
		if (matches(allowed->items[i], key->annotation) ||
		    matches(allowed->items[i], strchr(key->annotation, '.') + 1))
			return true;
	return false;
}

/* An annotation's text as the value that a file would have; what is none stays a text. */
static struct json_object *value_of(const struct config_key *key, const char *text)
{
	char *end;

	if (key->type == CONFIG_BOOL && (str_eq(text, "true") || str_eq(text, "false")))
		return json_object_new_boolean(text[0] == 't');
	if (key->type == CONFIG_NUMBER && text[0] >= '0' && text[0] <= '9') {
		unsigned long long number = strtoull(text, &end, 10);

		if (*end == '\0' && number <= INT64_MAX)
			return json_object_new_int64((int64_t)number);
	}
	return json_object_new_string(text);
}

/* Links would lead a path that matches elsewhere, and so would its own dots. */
static int check_path(const struct json_at *at, const struct config *config,
		      const struct config_key *key, const char *path, struct error *err)
{
	const struct wire_strings *patterns = (const void *)((const char *)config + key->patterns);
	CLEANUP(freep) char *real = realpath(path, NULL);

	for (uint32_t i = 0; real != NULL && str_eq(real, path) && i < patterns->count; i++)
		if (fnmatch(patterns->items[i], path, FNM_PATHNAME | FNM_PERIOD) == 0)
			return 0;
	return json_error(at, err, "%s is no file that the configuration's list of valid paths has",
			  path);
}

static int apply(struct config *config, const struct config_key *key, const char *name,
		 const char *text, bool check, struct error *err)
{
	struct json_at document = { .file = "config.json" };
	struct json_at annotations = { .file = document.file,
				       .up = &document,
				       .key = "annotations" };
	CLEANUP(json_freep) struct json_object *value = NULL;
	struct json_at at = { .file = document.file, .up = &annotations, .key = name };
	CLEANUP(freep) char *longer = NULL;
	int r = 0;

	if (key->appends) {
		const char *before = *(char **)(void *)((char *)config + key->offset);

		if (asprintf(&longer, "%s%s%s", before, before[0] != '\0' ? " " : "", text) < 0)
			return error_set(err, ENOMEM, "configuration");
		text = longer;
	}
	if (check && key->patterns != 0)
		r = check_path(&at, config, key, text, err);
	value = value_of(key, text);
	if (value == NULL)
		return error_set(err, ENOMEM, "configuration");
	at.value = value;
	return r < 0 ? r : config_read_value(&at, key, config, err);
}

static bool is_among(const struct wire_strings *names, const char *name)
{
	for (uint32_t i = 0; i < names->count; i++)
		if (str_eq(names->items[i], name))
			return true;
	return false;
}

int config_annotate(struct config *config, const struct spec_pair *annotations, uint32_t count,
		    const struct wire_strings *taken, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < count; i++) {
		const char *name = annotations[i].name;
		const struct config_key *key = find_key(name);

		if (key != NULL &&
		    (taken != NULL ? is_among(taken, name) : config_takes(config, name)))
			r = apply(config, key, name, annotations[i].value, taken == NULL, err);
	}
	return r;
}
