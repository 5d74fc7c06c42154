/* The command line's parts that every verb uses: see cli.h. */
#include "kata-runtime/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

void cli_list_free(struct cli_list *list)
{
	free(list->items);
	*list = (struct cli_list){ 0 };
}

static int list_add(struct cli_list *list, char *item, struct error *err)
{
	char **items = reallocarray(list->items, (size_t)list->count + 2, sizeof(char *));

	if (items == NULL)
		return error_set(err, ENOMEM, "command line");
	items[list->count++] = item;
	items[list->count] = NULL;
	list->items = items;
	return 0;
}

/*
 * The option that the word names, in the ways of Go's flag package, whose runc is: one dash or two
 * before a name or a letter, then "=value" or nothing. And as elsewhere: "-nvalue".
 */
static const struct cli_option *find_option(const struct cli_option *options, size_t count,
					    char *word, char **ret_value)
{
	char *name = word + (word[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "=");

	*ret_value = name[len] == '=' ? name + len + 1 : NULL;
	for (size_t i = 0; i < count; i++)
		if ((strlen(options[i].name) == len && strncmp(options[i].name, name, len) == 0) ||
		    (len == 1 && options[i].letter == name[0]))
			return &options[i];
	*ret_value = word + 2;
	for (size_t i = 0; i < count; i++)
		if (word[1] != '-' && options[i].letter != 0 && options[i].letter == word[1])
			return &options[i];
	return NULL;
}

/* What Go takes for a bool: 1, 0, or -1. */
static int truth(const char *text)
{
	static const char *const words[] = { "true",  "1", "t", "T", "TRUE",  "True",
					     "false", "0", "f", "F", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (str_eq(words[i], text))
			return i < ARRAY_SIZE(words) / 2;
	return -1;
}

static int set_option(const struct cli_option *option, char *value, struct error *err)
{
	switch (option->kind) {
	case CLI_FLAG:
		if (value != NULL && truth(value) < 0)
			return error_say(err, EINVAL, "--%s is true or false, not \"%s\"",
					 option->name, value);
		*(bool *)option->target = value == NULL || truth(value) > 0;
		return 0;
	case CLI_TEXT:
		*(const char **)option->target = value;
		return 0;
	case CLI_LIST:
		return list_add(option->target, value, err);
	}
	return error_say(err, EINVAL, "--%s cannot be set", option->name);
}

int cli_parse(const struct cli_option *options, size_t count, int argc, char **argv, int rest_after,
	      struct cli_list *words, struct error *err)
{
	bool raw = false;
	int r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		const struct cli_option *option;
		char *value;

		if (raw || argv[i][0] != '-' || argv[i][1] == '\0') {
			r = list_add(words, argv[i], err);
			if (rest_after > 0 && words->count == rest_after)
				raw = true;
			continue;
		}
		if (str_eq(argv[i], "--")) {
			raw = true;
			continue;
		}
		option = find_option(options, count, argv[i], &value);
		if (option == NULL)
			return error_say(err, EINVAL, "%s: there is no option %s", argv[0],
					 argv[i]);
		if (option->kind != CLI_FLAG && value == NULL) {
			if (i + 1 == argc)
				return error_say(err, EINVAL, "%s: option %s needs a value",
						 argv[0], argv[i]);
			value = argv[++i];
		}
		r = set_option(option, value, err);
	}
	return r;
}

int cli_leading_options(const struct cli_option *options, size_t count, int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
		const struct cli_option *option;
		char *value;

		option = find_option(options, count, argv[i], &value);
		i += option != NULL && option->kind != CLI_FLAG && value == NULL ? 2 : 1;
	}
	return i < argc ? i : argc;
}

int cli_one_id(const struct cli_list *words, const char *verb, struct error *err)
{
	if (words->count == 1)
		return 0;
	return error_say(err, EINVAL, "%s: one container id is needed, %d words were given", verb,
			 words->count);
}

void cli_print_options(const struct cli_option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char name[64];

		snprintf(name, sizeof(name), "--%s%s", options[i].name,
			 options[i].kind == CLI_FLAG ? "" : " VALUE");
		if (options[i].letter != 0)
			printf("  -%c, %-24s %s\n", options[i].letter, name, options[i].help);
		else
			printf("      %-24s %s\n", name, options[i].help);
	}
}

static void now_rfc3339(char text[32])
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* In one write: the file may be shared by several calls. */
static void write_line(int fd, const char *line, int n)
{
	if (n > 0 && write(fd, line, (size_t)n) != n)
		fprintf(stderr, "the log file cannot be written: %s\n", error_reason(errno));
}

/* One JSON object and a newline. */
static void report_json(int fd, const char *time_text, const char *text)
{
	struct json_object *o = json_object_new_object();
	CLEANUP(freep) char *line = NULL;
	int n;

	json_object_object_add(o, "level", json_object_new_string("error"));
	json_object_object_add(o, "msg", json_object_new_string(text));
	json_object_object_add(o, "time", json_object_new_string(time_text));
	n = asprintf(&line, "%s\n",
		     json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	write_line(fd, line, n);
	json_object_put(o);
}

/* What stands for a character between the quotes of a line of text. */
static void quote(char ret[5], char c)
{
	if (c == '\n' || c == '\t')
		snprintf(ret, 5, "\\%c", c == '\n' ? 'n' : 't');
	else if (c == '"' || c == '\\')
		snprintf(ret, 5, "\\%c", c);
	else
		snprintf(ret, 5, (unsigned char)c < ' ' || c == 0x7f ? "\\x%02x" : "%c", c);
}

/* As logrus, which runc and containerd use, writes it. */
static void report_text(int fd, const char *time_text, const char *text)
{
	char line[4 * ERROR_TEXT_MAX + 64];
	int n = snprintf(line, sizeof(line), "time=\"%s\" level=error msg=\"", time_text);

	for (const char *p = text; *p != '\0'; p++) {
		quote(line + n, *p);
		n += (int)strlen(line + n);
	}
	n += snprintf(line + n, sizeof(line) - (size_t)n, "\"\n");
	write_line(fd, line, n);
}

void cli_report(const struct cli *cli, const struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char now[32];

	now_rfc3339(now);
	if (cli->log_file == NULL) {
		report_text(STDERR_FILENO, now, err->text);
		return;
	}
	fd = open(cli->log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		fprintf(stderr, "open log file %s: %s\n", cli->log_file, error_reason(errno));
	else if (cli->log_json)
		report_json(fd, now, err->text);
	else
		report_text(fd, now, err->text);
	fprintf(stderr, "%s\n", err->text);
}
