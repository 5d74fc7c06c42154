/*
 * What annotations say of a container's scope: see systemd-property.h. Pure; used by create with
 * --systemd-cgroup, in kata-runtime's process.
 */
#include "kata-runtime/systemd-property.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json.h"

enum { LETTERS_MIN = 3, MICRO = 1000000, NUMBERS_MAX = 4096 };

static const struct {
	const char *word, *type;
} types[] = {
	{ "byte", "y" },  { "int32", "i" },  { "uint32", "u" },
	{ "int64", "x" }, { "uint64", "t" }, { "double", "d" },
};

static const char *skip(const char *p)
{
	return p + strspn(p, " \t");
}

/* A number to the end of text, of the type that is set. */
static bool read_number(const char *text, struct systemd_property *p)
{
	char *end = NULL;

	errno = 0;
	switch (p->type[0]) {
	case 'i':
	case 'x':
		p->number = strtoll(text, &end, 0);
		if (p->type[0] == 'i' && (p->number > INT32_MAX || p->number < INT32_MIN))
			return false;
		break;
	case 'd':
		p->real = strtod(text, &end);
		break;
	default:
		p->positive = strtoull(text, &end, 0);
		if (text[0] == '-' || (p->type[0] == 'u' && p->positive > UINT32_MAX) ||
		    (p->type[0] == 'y' && p->positive > UINT8_MAX))
			return false;
		break;
	}
	return errno == 0 && end != text && *skip(end) == '\0';
}

/* 'TEXT' or "TEXT" without escapes: what is behind it, or NULL. */
static const char *read_text(const char *p, struct systemd_property *property)
{
	const char *end = *p == '\'' || *p == '"' ? strchr(p + 1, *p) : NULL;
	CLEANUP(freep) char *text = NULL;

	if (end == NULL || memchr(p, '\\', (size_t)(end - p)) != NULL)
		return NULL;
	text = strndup(p + 1, (size_t)(end - p) - 1);
	if (text == NULL || json_strings_add(&property->texts, text) < 0)
		return NULL;
	return skip(end + 1);
}

static bool read_texts(const char *p, struct systemd_property *property)
{
	for (p = skip(p + 1); *p != ']'; p = skip(p + 1)) {
		p = read_text(p, property);
		if (p == NULL)
			return false;
		if (*p == ']')
			break;
		if (*p != ',')
			return false;
	}
	return *skip(p + 1) == '\0';
}

/* The word before a number, as in "uint64 7", sets its type; what is behind it. */
static const char *read_type(const char *text, struct systemd_property *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		size_t len = strlen(types[i].word);

		if (str_starts(text, types[i].word) && (text[len] == ' ' || text[len] == '\t')) {
			strcpy(p->type, types[i].type);
			return skip(text + len);
		}
	}
	return text;
}

/* [byte 1, 2]: the type of the first holds for all, and those that name one name the same. */
static bool read_numbers(const char *text, struct systemd_property *property)
{
	CLEANUP(freep) char *copy = strdup(text + 1);
	char *end = copy != NULL ? strchr(copy, ']') : NULL, *rest = copy, *item;
	struct systemd_property one = { .type = "i" };

	if (end == NULL || *skip(end + 1) != '\0')
		return false;
	*end = '\0';
	property->numbers = calloc(NUMBERS_MAX, sizeof(*property->numbers));
	while (property->numbers != NULL && (item = strsep(&rest, ",")) != NULL) {
		char type = one.type[0];
		const char *digits = read_type(skip(item), &one);

		if (property->n_numbers == NUMBERS_MAX || one.type[0] == 'd' ||
		    (property->n_numbers > 0 && one.type[0] != type) || !read_number(digits, &one))
			return false;
		property->numbers[property->n_numbers++] =
			strchr("ix", one.type[0]) != NULL ? (uint64_t)one.number : one.positive;
	}
	property->type[0] = 'a';
	property->type[1] = one.type[0];
	return property->numbers != NULL;
}

static bool read_list(const char *text, struct systemd_property *p)
{
	const char *first = skip(text + 1);

	if (*first != '\'' && *first != '"' && *first != ']')
		return read_numbers(text, p);
	strcpy(p->type, "as");
	return read_texts(text, p);
}

static bool read_value(const char *text, struct systemd_property *p)
{
	const char *end;

	text = skip(text);
	if (str_eq(text, "true") || str_eq(text, "false")) {
		strcpy(p->type, "b");
		p->number = text[0] == 't';
		return true;
	}
	if (*text == '[')
		return read_list(text, p);
	if (*text == '\'' || *text == '"') {
		strcpy(p->type, "s");
		end = read_text(text, p);
		return end != NULL && *end == '\0';
	}
	strcpy(p->type, strchr(text, '.') != NULL ? "d" : "i");
	text = read_type(text, p);
	return read_number(text, p);
}

/* TimeoutStopSec=2 is what systemd's interface knows as TimeoutStopUSec, in its own unit. */
static bool use_microseconds(struct systemd_property *p)
{
	size_t len = strlen(p->name);
	uint64_t seconds = p->positive;

	if (len <= 3 || !str_eq(p->name + len - 3, "Sec") || p->name[len - 4] < 'a')
		return true;
	if (strchr("ix", p->type[0]) != NULL) {
		if (p->number < 0)
			return false;
		seconds = (uint64_t)p->number;
	} else if (p->type[0] == 'd') {
		if (!(p->real >= 0 && p->real < 1e12))
			return false;
		seconds = (uint64_t)p->real;
	} else if (strchr("yut", p->type[0]) == NULL) {
		return false;
	}
	if (seconds > UINT64_MAX / MICRO)
		return false;
	p->positive = seconds * MICRO;
	if (p->type[0] == 'd')
		p->positive = (uint64_t)(p->real * MICRO);
	strcpy(p->type, "t");
	return str_format(p->name + len - 3, sizeof(p->name) - len + 3, "USec") >= 0;
}

int systemd_property_parse(const struct spec_pair *annotation, struct systemd_property *ret,
			   struct error *err)
{
	CLEANUP(systemd_property_fini) struct systemd_property p = { 0 };
	const char *name = annotation->name;
	size_t len;

	if (!str_starts(name, SYSTEMD_PROPERTY))
		return 0;
	name += strlen(SYSTEMD_PROPERTY);
	len = strlen(name);
	if (len < LETTERS_MIN || len >= sizeof(p.name) - 1 ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != len)
		return error_say(err, EINVAL,
				 "config.json: annotations.%s: the name of a property has letters "
				 "only, three at least",
				 annotation->name);
	memcpy(p.name, name, len + 1);
	if (!read_value(annotation->value, &p) || !use_microseconds(&p))
		return error_say(
			err, EINVAL,
			"config.json: annotations.%s: expected true, false, a number such as "
			"7 or uint64 7, a text in quotes, or a list of texts or whole numbers",
			annotation->name);
	*ret = p;
	p = (struct systemd_property){ 0 };
	return 1;
}

void systemd_property_fini(struct systemd_property *property)
{
	json_strings_fini(&property->texts);
	free(property->numbers);
	property->numbers = NULL;
}

int systemd_properties_check(const struct spec_pair *annotations, uint32_t count, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < count; i++) {
		CLEANUP(systemd_property_fini) struct systemd_property p = { 0 };

		r = systemd_property_parse(&annotations[i], &p, err);
	}
	return r < 0 ? r : 0;
}
