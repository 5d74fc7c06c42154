/*
 * logs: what all components of a sandbox have logged, by time; also when the sandbox is gone. The
 * records are printed as they are in the files, where what a guest wrote is escaped.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/config.h"
#include "kata-runtime/container.h"
#include "kata-runtime/store.h"

#define SUFFIX ".log"

struct record {
	char *line;
	const char *time; /* within line, or that of the record before in the same file */
	size_t number;    /* in the order of reading */
};

struct records {
	struct record *items;
	size_t count, room;
};

static void records_fini(struct records *records)
{
	for (size_t i = 0; i < records->count; i++)
		free(records->items[i].line);
	free(records->items);
}

/* A record begins with its time, which sorts as text; anything else goes with what is before. */
static int add(struct records *records, const char *line, const char **time)
{
	struct record record = { .line = strdup(line), .number = records->count };

	if (record.line == NULL)
		return -ENOMEM;
	if (records->count == records->room) {
		size_t room = records->room == 0 ? 256 : 2 * records->room;
		struct record *items = reallocarray(records->items, room, sizeof(*items));

		if (items == NULL) {
			free(record.line);
			return -ENOMEM;
		}
		records->items = items;
		records->room = room;
	}
	if (str_starts(line, "time="))
		*time = record.line;
	record.time = *time;
	records->items[records->count++] = record;
	return 0;
}

static int read_file(const char *path, struct records *records, struct error *err)
{
	CLEANUP(file_close) FILE *file = fopen(path, "re");
	CLEANUP(freep) char *line = NULL;
	const char *time = "";
	size_t size = 0;
	int r = 0;

	if (file == NULL)
		return error_set(err, errno, "%s", path);
	while (r == 0 && getline(&line, &size, file) > 0)
		r = add(records, line, &time);
	return r < 0 ? error_set(err, -r, "%s", path) : 0;
}

static int read_all(const char *dir, struct records *records, struct error *err)
{
	CLEANUP(dir_close) DIR *stream = opendir(dir);
	struct dirent *entry;
	char path[PATH_MAX];
	int r = 0;

	if (stream == NULL && errno != ENOENT)
		return error_set(err, errno, "%s", dir);
	while (r == 0 && stream != NULL && (entry = readdir(stream)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len > strlen(SUFFIX) && str_eq(entry->d_name + len - strlen(SUFFIX), SUFFIX) &&
		    str_format(path, sizeof(path), "%s/%s", dir, entry->d_name) == 0)
			r = read_file(path, records, err);
	}
	return r;
}

/* By the time up to the blank behind it; those of one moment stay as they were read. */
static int compare(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	size_t x_len = strcspn(x->time, " "), y_len = strcspn(y->time, " ");
	int r = strncmp(x->time, y->time, x_len < y_len ? x_len : y_len);

	if (r == 0)
		r = (int)(x_len > y_len) - (int)(x_len < y_len);
	return r != 0 ? r : (int)(x->number > y->number) - (int)(x->number < y->number);
}

static int print_sorted(struct records *records, struct error *err)
{
	/* Within a file, too: a process writes records that it kept when something went wrong. */
	qsort(records->items, records->count, sizeof(*records->items), compare);
	for (size_t i = 0; i < records->count; i++)
		fputs(records->items[i].line, stdout);
	return fflush(stdout) == 0 ? 0 : error_set(err, errno, "standard output");
}

/* word is a sandbox id, or a container's of --root, which may be gone. */
static int find_sandbox(const struct cli *cli, const char *word, char sid[SID_SIZE],
			struct error *err)
{
	struct store store;
	int r = store_open(&store, cli->root, NULL, false, err);

	if (r < 0 || container_find_sandbox(&store, word, sid, NULL) == 0)
		return r;
	/* Gone: the word, or what the id would be of its only container. */
	if (sid_check(word, NULL) == 0)
		memcpy(sid, word, SID_SIZE);
	else
		r = store_sid(&store, word, sid, err);
	return r;
}

static int print_logs(const struct cli *cli, const char *word, struct error *err)
{
	CLEANUP(config_fini) struct config config = { 0 };
	CLEANUP(records_fini) struct records records = { 0 };
	char sid[SID_SIZE], dir[PATH_MAX];
	int r = config_load(cli->config_file, &config, err);

	if (r == 0)
		r = find_sandbox(cli, word, sid, err);
	if (r == 0 && str_format(dir, sizeof(dir), "%s/%s", config.runtime.log_dir, sid) < 0)
		r = error_set(err, ENAMETOOLONG, "%s", config.runtime.log_dir);
	if (r == 0)
		r = read_all(dir, &records, err);
	if (r == 0 && records.count == 0)
		r = error_say(err, ENOENT,
			      "no log in %s; where there is journald: journalctl KATA_SANDBOX=%s",
			      dir, sid);
	return r < 0 ? r : print_sorted(&records, err);
}

int cmd_logs(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime logs SANDBOX\n\n"
		       "SANDBOX is the id of a sandbox or of its container, which may be "
		       "gone.\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (words.count != 1)
		return error_say(err, EINVAL, "logs: one sandbox or container id is needed");
	return print_logs(cli, words.items[0], err);
}
