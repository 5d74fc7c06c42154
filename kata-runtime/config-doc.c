/* The configuration as text: the manual page's list of keys, and what was understood. */
#include <json-c/json.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/config-keys.h"
#include "kata-runtime/config.h"
#include "kata-runtime/json.h"

/* Text for man(7): hyphens that can be copied, backslashes that stay. */
static void put_roff(FILE *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '-')
			fputs("\\-", out);
		else if (*p == '\\')
			fputs("\\e", out);
		else
			fputc(*p, out);
	}
}

static void put_choices(FILE *out, const struct config_key *key)
{
	for (size_t i = 0; key->choices[i] != NULL; i++) {
		fputs(i == 0 ? "" : key->choices[i + 1] == NULL ? " or " : ", ", out);
		put_roff(out, key->choices[i]);
	}
}

static void put_type(FILE *out, const struct config_key *key)
{
	switch (key->type) {
	case CONFIG_PATH:
		fputs("Absolute path", out);
		break;
	case CONFIG_DAEMON:
		fputs("Absolute path, or auto", out);
		break;
	case CONFIG_TEXT:
	case CONFIG_RANGE:
		fputs("String", out);
		break;
	case CONFIG_NUMBER:
		fprintf(out, "Number from %u to %u", key->min, key->max);
		if (key->unit != NULL)
			fprintf(out, ", %s", key->unit);
		break;
	case CONFIG_BOOL:
		fputs("true or false", out);
		break;
	case CONFIG_CHOICE:
		fputs("String: ", out);
		put_choices(out, key);
		break;
	case CONFIG_REGEXES:
		fputs("List of regular expressions", out);
		break;
	case CONFIG_PATTERNS:
		fputs("List of absolute paths, with *, ? and []", out);
		break;
	}
}

static void put_default(FILE *out, const struct config_key *key)
{
	switch (key->type) {
	case CONFIG_PATH:
	case CONFIG_DAEMON:
	case CONFIG_TEXT:
	case CONFIG_RANGE:
		put_roff(out, key->shown != NULL     ? key->shown
			      : key->text[0] != '\0' ? key->text
						     : "empty");
		break;
	case CONFIG_NUMBER:
		fprintf(out, "%u", key->number);
		break;
	case CONFIG_BOOL:
		fputs(key->number != 0 ? "true" : "false", out);
		break;
	case CONFIG_CHOICE:
		put_roff(out, key->choices[key->number]);
		break;
	case CONFIG_REGEXES:
	case CONFIG_PATTERNS:
		fputs("empty", out);
		break;
	}
}

void config_document(FILE *out)
{
	const char *section = "";

	for (const struct config_key *key = config_keys; key->name != NULL; key++) {
		if (!str_eq(section, key->section))
			fprintf(out, ".SS \"%s\"\n", key->section);
		section = key->section;
		fprintf(out, ".TP\n.B %s\n", key->name);
		put_type(out, key);
		fputs(".\nDefault: ", out);
		put_default(out, key);
		fputs(".\n.br\n", out);
		put_roff(out, key->meaning);
		fputc('\n', out);
		if (key->annotation != NULL) {
			fputs(".br\nAnnotation: ", out);
			put_roff(out, CONFIG_ANNOTATIONS);
			put_roff(out, key->annotation);
			fputs(key->appends ? ", which is put behind it.\n" : ".\n", out);
		}
	}
}

static struct json_object *list_of(const struct wire_strings *list)
{
	struct json_object *o = json_object_new_array();

	for (uint32_t i = 0; i < list->count; i++)
		json_object_array_add(o, json_object_new_string(list->items[i]));
	return o;
}

static struct json_object *value_of(const struct config *config, const struct config_key *key)
{
	const void *at = (const char *)config + key->offset;

	switch (key->type) {
	case CONFIG_PATH:
	case CONFIG_DAEMON:
	case CONFIG_TEXT:
	case CONFIG_RANGE:
		return json_object_new_string(*(char *const *)at);
	case CONFIG_NUMBER:
		return json_object_new_uint64(*(const uint32_t *)at);
	case CONFIG_BOOL:
		return json_object_new_boolean(*(const bool *)at);
	case CONFIG_CHOICE:
		return json_object_new_string(key->choices[*(const uint32_t *)at]);
	case CONFIG_REGEXES:
	case CONFIG_PATTERNS:
		return list_of(at);
	}
	return NULL;
}

void config_print_paths(FILE *out)
{
	fprintf(out, "%s/configuration.json\n%s/configuration.json\n%s/configuration.d/*.json\n",
		KATA_SYSCONFDIR, KATA_DEFAULTSDIR, KATA_SYSCONFDIR);
}

void config_print(const struct config *config, FILE *out)
{
	CLEANUP(json_freep) struct json_object *document = json_object_new_object();
	struct json_object *section;

	for (const struct config_key *key = config_keys; key->name != NULL; key++) {
		if (!json_object_object_get_ex(document, key->section, &section)) {
			section = json_object_new_object();
			json_object_object_add(document, key->section, section);
		}
		json_object_object_add(section, key->name, value_of(config, key));
	}
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
}
