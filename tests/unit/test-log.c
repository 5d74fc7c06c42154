/*
 * common/log.c: records as journald and a file's reader get them. Journald is the other end of a
 * datagram socket pair. Values are hostile: no value makes a second record or another field.
 */
#include "common/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/str.h"

#define BYTES_OF(literal) literal, sizeof(literal) - 1

static int log_file = -1;        /* what the log writes in file form */
static int ends[2] = { -1, -1 }; /* journald's end, and the log's */
static char text[65536];         /* what was read last */

static void begin(void)
{
	char path[] = "/tmp/test-log-XXXXXX";

	log_file = mkostemp(path, O_CLOEXEC);
	cr_assert(log_file >= 0);
	unlink(path);
	cr_assert(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
	log_context(NULL, NULL, NULL);
}

static void end(void)
{
	fd_close(&log_file);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

TestSuite(log, .init = begin, .fini = end);

/* Takes all that the file holds, and empties it. */
static const char *take_file(void)
{
	ssize_t n = pread(log_file, text, sizeof(text) - 1, 0);

	cr_assert(n >= 0 && strlen(text) <= sizeof(text) - 1);
	text[n] = '\0';
	cr_assert(strlen(text) == (size_t)n, "a zero byte in the log");
	cr_assert(ftruncate(log_file, 0) == 0 && lseek(log_file, 0, SEEK_SET) == 0);
	return text;
}

/* Takes one record from journald's end; "" when there is none. */
static const char *take_record(void)
{
	ssize_t n = recv(ends[0], text, sizeof(text) - 1, MSG_DONTWAIT);

	cr_assert(n >= 0 || errno == EAGAIN);
	text[n < 0 ? 0 : n] = '\0';
	cr_assert(n < 0 || strlen(text) == (size_t)n);
	return text;
}

static size_t count_lines(const char *from)
{
	size_t n = 0;

	for (; (from = strchr(from, '\n')) != NULL; from++)
		n++;
	return n;
}

/* Every byte is printable UTF-8 or the newline that ends a line. */
static void check_printable(const char *from)
{
	cr_assert(str_is_utf8(from, strlen(from)));
	cr_assert(from[0] == '\0' || from[strlen(from) - 1] == '\n', "no newline at the end");
	for (; *from != '\0'; from++)
		cr_assert((unsigned char)*from >= 0x20 ? *from != 0x7f : *from == '\n');
}

/* The quotes of a file's line come in pairs. */
static void check_quotes(const char *line)
{
	size_t n = 0;

	for (; *line != '\0'; line++) {
		n += *line == '"';
		cr_assert(*line != '\n' || n % 2 == 0, "a quote stays open");
	}
}

/* Whether line holds "key=value" as a field of its own. */
static bool has_field(const char *line, const char *field)
{
	char before[512], middle[512];

	cr_assert(str_format(before, sizeof(before), " %s\n", field) == 0);
	cr_assert(str_format(middle, sizeof(middle), " %s ", field) == 0);
	return strstr(line, before) != NULL || strstr(line, middle) != NULL;
}

/* --- file form -------------------------------------------------------------------------------- */

Test(log, file_form)
{
	int year, month, day, hour, minute, second, micro, used = 0;
	const char *line;
	char pid[32];

	log_start("shim", log_file, LOG_INFO);
	log_info("container started", KV("n", -5), KV("big", 1LL << 62), KV_S("word", "plain"),
		 KV_S("words", "two words"), KV_S("empty", ""), KV_S("null", NULL),
		 KV_S("pair", "a=b"), KV_S("odd", "q\"b\\n\nt\t\x1b[0m"));
	line = take_file();
	cr_assert(sscanf(line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%6dZ level=%n", &year, &month, &day,
			 &hour, &minute, &second, &micro, &used) == 7);
	cr_assert(used == 39 && year > 2020, "%s", line);
	cr_assert(str_starts(line + used, "info component=shim msg=\"container started\" pid="));
	str_format(pid, sizeof(pid), "pid=%d", getpid());
	cr_assert(has_field(line, pid));
	cr_assert(has_field(line, "n=-5") && has_field(line, "big=4611686018427387904"));
	cr_assert(has_field(line, "word=plain") && has_field(line, "words=\"two words\""));
	cr_assert(has_field(line, "empty=\"\"") && has_field(line, "null=\"\""));
	cr_assert(has_field(line, "pair=\"a=b\""));
	cr_assert(has_field(line, "odd=q\\x22b\\x5cn\\x0at\\x09\\x1b[0m"), "%s", line);
	cr_assert(count_lines(line) == 1);
}

Test(log, context)
{
	const char *line;

	log_start("runtime", log_file, LOG_INFO);
	log_context("sb", "c t", NULL);
	log_info("x");
	line = take_file();
	cr_assert(strstr(line, " msg=x sandbox=sb container=\"c t\" pid=") != NULL, "%s", line);
	log_context("sb", NULL, "e1");
	log_info("x");
	line = take_file();
	cr_assert(strstr(line, " msg=x sandbox=sb exec=e1 pid=") != NULL, "%s", line);
	log_context(NULL, NULL, NULL);
	log_info("x");
	line = take_file();
	cr_assert(strstr(line, " msg=x pid=") != NULL, "%s", line);
}

Test(log, context_is_copied_and_bounded)
{
	char name[1000];

	log_start("runtime", log_file, LOG_INFO);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	log_context(name, name, name);
	memset(name, 'm', sizeof(name) - 1);
	log_info("x", KV_S("last", "there"));
	take_file();
	cr_assert(strstr(text, "sandbox=nnn") != NULL);
	cr_assert(strstr(text, "mmm") == NULL && has_field(text, "last=there"));
}

Test(log, levels)
{
	static const enum log_level all[] = { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
	static const char *const names[] = { "error", "warning", "info", "debug" };

	for (size_t limit = 0; limit < ARRAY_SIZE(all); limit++) {
		log_start("shim", log_file, all[limit]);
		for (size_t i = ARRAY_SIZE(all); i-- > 1;) { /* no error, which would flush */
			char want[32];

			log_write(all[i], "x", LOG_FIELDS());
			take_file();
			str_format(want, sizeof(want), "level=%s", names[i]);
			cr_assert(i > limit ? text[0] == '\0' : has_field(text, want), "%s", text);
		}
	}
}

Test(log, keeps_errno)
{
	log_start("shim", log_file, LOG_INFO);
	errno = EXDEV;
	log_error("x");
	cr_assert(errno == EXDEV);
	log_start("shim", 9999, LOG_INFO);
	errno = EXDEV; /* each write fails */
	log_error("x");
	log_info("x", KV("n", 1));
	cr_assert(errno == EXDEV);
}

Test(log, error_field)
{
	struct error err = { 0 };

	log_start("shim", log_file, LOG_INFO);
	error_set(&err, ENOENT, "open %s", "a\nlevel=info");
	log_error("cannot start", KV_ERR(&err));
	take_file();
	cr_assert(has_field(text, "error=\"open a\\x0alevel=info: not found\""), "%s", text);
}

/* --- the ring --------------------------------------------------------------------------------- */

/* What was too quiet to be written comes before the next error, in its order, once. */
Test(log, ring)
{
	log_start("shim", log_file, LOG_INFO);
	log_debug("first", KV("n", 1));
	log_debug("second", KV("n", 2));
	log_info("third");
	cr_assert(strstr(take_file(), "msg=third") != NULL && count_lines(text) == 1);
	log_error("fourth");
	take_file();
	cr_assert(count_lines(text) == 3, "%s", text);
	cr_assert(strstr(text, "level=debug") != NULL && strstr(text, "msg=first") != NULL);
	cr_assert(strstr(text, "msg=first") < strstr(text, "msg=second"));
	cr_assert(strstr(text, "msg=second") < strstr(text, "msg=fourth"));
	log_error("fifth");
	cr_assert(count_lines(take_file()) == 1);
}

Test(log, ring_is_bounded)
{
	log_start("shim", log_file, LOG_WARNING);
	for (int i = 0; i < 1000; i++)
		log_debug("detail", KV("n", i));
	log_error("failed");
	take_file();
	cr_assert(count_lines(text) == 65, "%zu", count_lines(text));
	cr_assert(has_field(text, "n=936") && has_field(text, "n=999"));
	cr_assert(!has_field(text, "n=935"));
}

/* Long records are kept short but whole: every line ends, every quote closes, none is torn. */
Test(log, ring_of_long_records)
{
	char value[2000];

	log_start("shim", log_file, LOG_INFO);
	for (size_t len = 0; len < 600; len++) {
		for (size_t i = 0; i < len; i += 3)
			memcpy(value + i, len % 2 != 0 ? "\xe2\x82\xac" : " \n\xff", 4);
		value[len] = '\0';
		log_debug("detail", KV_S("value", value), KV("after", 7));
		if (len % 50 == 49) {
			log_error("failed");
			take_file();
			check_printable(text);
			check_quotes(text);
			cr_assert(count_lines(text) == 51);
		}
	}
}

/* --- hostile values --------------------------------------------------------------------------- */

Test(log, any_bytes)
{
	unsigned seed = 11;

	for (int round = 0; round < 600; round++) {
		size_t len = (size_t)rand_r(&seed) % (round % 3 == 0 ? 9000 : 40);
		char *value = malloc(len + 1);

		cr_assert(value != NULL);
		for (size_t i = 0; i < len; i++)
			value[i] = (char)(1 + rand_r(&seed) % 255);
		value[len] = '\0';
		log_start("shim", log_file, LOG_INFO);
		log_info(value, KV_S("a", value), KV_S("b", value), KV_S("c", value),
			 KV_S("d", value), KV_S("e", value), KV_S("f", value));
		take_file();
		cr_assert(count_lines(text) == 1 && strlen(text) < 4200, "%zu", strlen(text));
		check_printable(text);
		check_quotes(text);
		log_start("shim", ends[1], LOG_INFO);
		log_info(value, KV_S("a", value), KV_S("b", value), KV_S("c", value),
			 KV_S("d", value), KV_S("e", value), KV_S("f", value));
		take_record();
		check_printable(text);
		cr_assert(str_starts(text, "PRIORITY=6\n") && strlen(text) < 4200);
		cr_assert(count_lines(text) >= 5 && count_lines(text) <= 12);
		for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
			cr_assert(strcspn(line, "=") <=
				  strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"));
		free(value);
	}
}

Test(log, long_value_is_cut)
{
	char value[5000];

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	log_start("shim", log_file, LOG_INFO);
	log_info("x", KV_S("value", value), KV("after", 7));
	take_file();
	cr_assert(strstr(text, "vvv... after=7\n") != NULL && strlen(text) < LOG_TEXT_MAX + 150);
}

/* --- journald's form -------------------------------------------------------------------------- */

Test(log, journal_form)
{
	char want[512];

	log_start("proxy", ends[1], LOG_INFO);
	log_context("sb", "ct", "ex");
	log_warning("it is late", KV("ms", 12), KV_S("why", "a\nPRIORITY=0"));
	str_format(want, sizeof(want),
		   "PRIORITY=4\nKATA_COMPONENT=proxy\nSYSLOG_IDENTIFIER=kata-proxy\n"
		   "MESSAGE=it is late\nKATA_SANDBOX=sb\nKATA_CONTAINER=ct\nKATA_EXEC=ex\n"
		   "KATA_PID=%d\nKATA_MS=12\nKATA_WHY=a\\x0aPRIORITY=0\n",
		   getpid());
	cr_assert_str_eq(take_record(), want);
	cr_assert_str_eq(take_record(), "");
}

/* Each record of the ring is a datagram of its own. */
Test(log, journal_ring)
{
	char value[1000];

	memset(value, '\n', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	log_start("proxy", ends[1], LOG_INFO);
	log_debug("detail", KV_S("value", value), KV("after", 1));
	log_debug("detail2");
	cr_assert_str_eq(take_record(), "");
	log_error("failed");
	take_record();
	check_printable(text);
	cr_assert(str_starts(text, "PRIORITY=7\n") && strstr(text, "MESSAGE=detail\n") != NULL);
	cr_assert(strlen(text) < 400 && strstr(text, "...\n") != NULL);
	cr_assert(strstr(take_record(), "MESSAGE=detail2\n") != NULL);
	cr_assert(strstr(take_record(), "MESSAGE=failed\n") != NULL);
	cr_assert_str_eq(take_record(), "");
}

Test(log, odd_keys)
{
	char key[300];

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	log_start("proxy", ends[1], LOG_INFO);
	log_info("x", KV("a-b.C9", 1), KV(key, 2), KV("z", 3));
	take_record();
	cr_assert(strstr(text, "\nKATA_A_B___=1\n") != NULL, "%s", text);
	cr_assert(strstr(text, "\nKATA_Z=3\n") != NULL);
	check_printable(text);
}

/* A reader that has stopped reading holds nobody up; one that is gone kills nobody. */
Test(log, journal_full_or_gone)
{
	log_start("proxy", ends[1], LOG_INFO);
	for (int i = 0; i < 5000; i++)
		log_info("much");
	cr_assert(strstr(take_record(), "MESSAGE=much\n") != NULL);
	fd_close(&ends[0]);
	log_error("nobody hears");
}

Test(log, file_gone)
{
	log_start("proxy", log_file, LOG_INFO);
	fd_close(&log_file);
	log_error("nobody hears");
	log_start("proxy", 9999, LOG_INFO);
	log_error("nobody hears");
}

/* --- others' records -------------------------------------------------------------------------- */

Test(log, foreign)
{
	log_start("proxy", -1, LOG_INFO);
	log_context("sb", NULL, NULL);
	log_foreign(log_file, "console", LOG_INFO, BYTES_OF("a\0b\x1b]0;t\a %s%n level=error"));
	take_file();
	cr_assert(strstr(text, " level=info component=console msg=\"a\\x00b\\x1b]0;t\\x07 %s%n "
			       "level=error\" sandbox=sb\n") != NULL,
		  "%s", text);
	cr_assert(count_lines(text) == 1);

	log_foreign(ends[1], "agent", LOG_WARNING, BYTES_OF("x\nPRIORITY=0"));
	cr_assert_str_eq(take_record(), "PRIORITY=4\nKATA_COMPONENT=agent\n"
					"SYSLOG_IDENTIFIER=kata-agent\nMESSAGE=x\\x0aPRIORITY=0\n"
					"KATA_SANDBOX=sb\n");

	log_foreign(log_file, "agent", LOG_DEBUG, BYTES_OF("too quiet"));
	log_foreign(-1, "agent", LOG_ERROR, BYTES_OF("nowhere"));
	cr_assert_str_eq(take_file(), "");
	log_foreign(log_file, "agent", LOG_INFO, "", 0);
	cr_assert(strstr(take_file(), "msg=\"\"") != NULL);
}

/* Bytes without an end, of any kind and length; no byte behind them is read. */
Test(log, foreign_bytes)
{
	unsigned seed = 13;

	log_start("proxy", -1, LOG_INFO);
	for (int round = 0; round < 300; round++) {
		size_t len = (size_t)rand_r(&seed) % (round % 2 == 0 ? 70000 : 30);
		char *bytes = malloc(len + 1);

		cr_assert(bytes != NULL);
		bytes = realloc(bytes, len > 0 ? len : 1);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)rand_r(&seed);
		log_foreign(log_file, "console", LOG_INFO, bytes, len);
		take_file();
		check_printable(text);
		check_quotes(text);
		cr_assert(count_lines(text) == 1 && strlen(text) < LOG_TEXT_MAX + 150);
		free(bytes);
	}
}

/* --- opening ---------------------------------------------------------------------------------- */

Test(log, open_file)
{
	char dir[] = "/tmp/test-log-XXXXXX", path[64], long_dir[5000];
	struct error err = { 0 };
	struct stat st;
	int fd;

	cr_assert(mkdtemp(dir) != NULL);
	umask(0);
	str_format(path, sizeof(path), "%s/shim.log", dir);
	for (int i = 0; i < 2; i++) {
		fd = log_open_file(dir, "shim", &err);
		cr_assert(fd >= 0, "%s", err.text);
		cr_assert(fcntl(fd, F_GETFD) == FD_CLOEXEC);
		cr_assert(write(fd, "line\n", 5) == 5);
		close(fd);
	}
	cr_assert(stat(path, &st) == 0 && st.st_size == 10 && (st.st_mode & 07777) == 0640);
	unlink(path);
	cr_assert(symlink("/dev/null", path) == 0);
	cr_assert(log_open_file(dir, "shim", &err) == -ELOOP); /* no link is followed */
	unlink(path);
	rmdir(dir);
	cr_assert(log_open_file(dir, "shim", &err) == -ENOENT && strstr(err.text, path) != NULL);
	memset(long_dir, 'd', sizeof(long_dir) - 1);
	long_dir[sizeof(long_dir) - 1] = '\0';
	cr_assert(log_open_file(long_dir, "shim", &err) == -ENAMETOOLONG);
}
