/* kata-runtime/cli.h: sorting of options and words, and what a failure looks like to a manager. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/cli.h"

struct targets {
	bool all;
	const char *file;
	struct cli_list env;
};

/* Parses a NULL-terminated line; rest_after as cli_parse(). */
static int parse(char **argv, int rest_after, struct targets *t, struct cli_list *words,
		 struct error *err)
{
	const struct cli_option options[] = {
		{ "all", 'a', CLI_FLAG, &t->all, "" },
		{ "file", 'f', CLI_TEXT, &t->file, "" },
		{ "env", 'e', CLI_LIST, &t->env, "" },
	};
	int argc = 0;

	while (argv[argc] != NULL)
		argc++;
	return cli_parse(options, ARRAY_SIZE(options), argc, argv, rest_after, words, err);
}
#define ARGV(...) ((char *[]){ (char *)"verb", __VA_ARGS__, NULL })

Test(cli, options_stand_before_and_after_words)
{
	struct cli_list words = { 0 };
	struct error err = { 0 };
	struct targets t = { 0 };

	cr_assert_eq(parse(ARGV("id", "--all", "--file=x", "9"), 0, &t, &words, &err), 0);
	cr_assert(t.all);
	cr_assert_str_eq(t.file, "x");
	cr_assert_eq(words.count, 2);
	cr_assert_str_eq(words.items[0], "id");
	cr_assert_str_eq(words.items[1], "9");
	cli_list_free(&words);
}

Test(cli, values_in_all_forms)
{
	struct cli_list words = { 0 };
	struct error err = { 0 };
	struct targets t = { .all = true };

	cr_assert_eq(parse(ARGV("-e", "A=1", "--env", "B=2", "--env=C=3", "-eD=4", "--all=false",
				"-f", "-"),
			   0, &t, &words, &err),
		     0, "%s", err.text);
	cr_assert_eq(t.env.count, 4);
	cr_assert_str_eq(t.env.items[0], "A=1");
	cr_assert_str_eq(t.env.items[2], "C=3");
	cr_assert_str_eq(t.env.items[3], "D=4");
	cr_assert(!t.all);
	cr_assert_str_eq(t.file, "-");
	cli_list_free(&words);
	cli_list_free(&t.env);
}

/* runc is written in Go, whose flags are these. */
Test(cli, forms_of_go)
{
	struct cli_list words = { 0 };
	struct error err = { 0 };
	struct targets t = { 0 };

	cr_assert_eq(parse(ARGV("-env", "A=1", "-env=B=2", "--e", "C=3", "--f=x", "-all=1", "id"),
			   0, &t, &words, &err),
		     0, "%s", err.text);
	cr_assert_eq(t.env.count, 3);
	cr_assert_str_eq(t.env.items[0], "A=1");
	cr_assert_str_eq(t.env.items[1], "B=2");
	cr_assert_str_eq(t.env.items[2], "C=3");
	cr_assert_str_eq(t.file, "x");
	cr_assert(t.all);
	cr_assert_eq(words.count, 1);
	cli_list_free(&words);
	cr_assert_eq(parse(ARGV("--all=F"), 0, &t, &words, &err), 0);
	cr_assert(!t.all);
	cli_list_free(&t.env);
}

Test(cli, the_verb_stands_behind_options_and_their_values)
{
	bool flag;
	const char *text;
	const struct cli_option options[] = {
		{ "debug", 'd', CLI_FLAG, &flag, "" },
		{ "root", 'r', CLI_TEXT, &text, "" },
	};
	struct {
		char **argv;
		int argc, at;
	} rows[] = {
		{ ARGV("run", "-d"), 3, 1 },
		{ ARGV("--debug", "run"), 3, 2 },
		{ ARGV("--root", "/r", "run"), 4, 3 },
		{ ARGV("-root", "/r", "run"), 4, 3 },
		{ ARGV("-r", "run", "run"), 4, 3 },
		{ ARGV("--root=/r", "--no-such", "run"), 4, 3 },
		{ ARGV("-r/r", "run"), 3, 2 },
		{ ARGV("--root"), 2, 2 },
		{ ARGV("--debug"), 2, 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		cr_expect_eq(cli_leading_options(options, ARRAY_SIZE(options), rows[i].argc,
						 rows[i].argv),
			     rows[i].at, "row %zu", i);
}

/* exec ID sh -c 'a b': the command keeps its own options */
Test(cli, a_command_keeps_its_options)
{
	struct cli_list words = { 0 };
	struct error err = { 0 };
	struct targets t = { 0 };

	cr_assert_eq(parse(ARGV("-a", "id", "sh", "-c", "a b", "--file"), 2, &t, &words, &err), 0);
	cr_assert_eq(words.count, 5);
	cr_assert_str_eq(words.items[2], "-c");
	cr_assert_str_eq(words.items[3], "a b");
	cr_assert_str_eq(words.items[4], "--file");
	cr_assert(t.file == NULL);
	cli_list_free(&words);
}

Test(cli, double_dash_ends_options)
{
	struct cli_list words = { 0 };
	struct error err = { 0 };
	struct targets t = { 0 };

	cr_assert_eq(parse(ARGV("--", "--all"), 0, &t, &words, &err), 0);
	cr_assert(!t.all);
	cr_assert_eq(words.count, 1);
	cli_list_free(&words);
}

Test(cli, one_id)
{
	struct cli_list words = { .count = 1 };
	struct error err = { 0 };

	cr_expect(cli_one_id(&words, "start", &err) == 0);
	words.count = 0;
	cr_expect(cli_one_id(&words, "start", &err) == -EINVAL);
	words.count = 2;
	cr_expect(cli_one_id(&words, "start", &err) == -EINVAL);
	cr_expect_str_eq(err.text, "start: one container id is needed, 2 words were given");
}

Test(cli, what_is_wrong_is_named)
{
	static char *lines[][4] = {
		{ (char *)"verb", (char *)"--nosuch", NULL },
		{ (char *)"verb", (char *)"-z", NULL },
		{ (char *)"verb", (char *)"--file", NULL },
		{ (char *)"verb", (char *)"--all=maybe", NULL },
		{ (char *)"verb", (char *)"--allx", NULL },
	};
	static const char *const named[] = { "--nosuch", "-z", "--file", "maybe", "--allx" };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct cli_list words = { 0 };
		struct error err = { 0 };
		struct targets t = { 0 };

		cr_expect_eq(parse(lines[i], 0, &t, &words, &err), -EINVAL, "row %zu", i);
		cr_expect(strstr(err.text, named[i]) != NULL, "row %zu: %s", i, err.text);
		cli_list_free(&words);
	}
}

/* containerd takes the last line of a file that several calls share; podman parses all of it. */
Test(cli, a_failure_is_one_json_line)
{
	char path[] = "/tmp/kata-test-cli.XXXXXX", text[4096] = "";
	CLEANUP(fd_close) int fd = mkstemp(path);
	struct cli cli = { .log_file = path, .log_json = true };
	struct error err = { 0 };
	struct json_object *o, *field;

	cr_assert_geq(fd, 0);
	error_say(&err, EINVAL, "exec: \"no\tsuch\\\": \x01 executable file not found in $PATH");
	cr_assert_neq(freopen("/dev/null", "w", stderr), NULL);
	cli_report(&cli, &err);
	cr_assert_gt(pread(fd, text, sizeof(text) - 1, 0), 0);
	unlink(path);
	cr_assert_eq(strchr(text, '\n') - text, (long)strlen(text) - 1, "one line: %s", text);
	o = json_tokener_parse(text);
	cr_assert_neq(o, NULL);
	cr_assert(json_object_object_get_ex(o, "level", &field));
	cr_assert_str_eq(json_object_get_string(field), "error");
	cr_assert(json_object_object_get_ex(o, "msg", &field));
	cr_assert_str_eq(json_object_get_string(field), err.text);
	cr_assert(json_object_object_get_ex(o, "time", &field));
	cr_assert_eq(strlen(json_object_get_string(field)), strlen("2026-11-23T18:48:49Z"));
	json_object_put(o);
}

/* In one write, or lines of calls that share a file would mix. */
Test(cli, a_failure_is_one_line_of_text)
{
	const char *wanted = " level=error msg=\"a \\\"b\\\\ c\\n1\\t2\\x01 \xc3\xa9\"\n";
	struct cli cli = { 0 };
	struct error err = { 0 };
	int pair[2], kept = dup(STDERR_FILENO);
	char text[4096] = "";

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	error_say(&err, EINVAL, "a \"b\\ c\n1\t2\x01 \xc3\xa9");
	dup2(pair[1], STDERR_FILENO);
	cli_report(&cli, &err);
	dup2(kept, STDERR_FILENO);
	cr_assert_gt(recv(pair[0], text, sizeof(text) - 1, MSG_DONTWAIT), 0);
	cr_expect_eq(strncmp(text, "time=\"20", 8), 0, "%s", text);
	cr_assert_neq(strchr(text, ' '), NULL);
	cr_expect_str_eq(strchr(text, ' '), wanted);
	cr_expect_eq(recv(pair[0], text, sizeof(text) - 1, MSG_DONTWAIT), -1);
	close(pair[0]);
	close(pair[1]);
	close(kept);
}
