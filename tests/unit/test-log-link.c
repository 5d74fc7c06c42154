/* kata-agent/log-link.c: records leave the agent as level and text, whatever is in them. */
#include "kata-agent/log-link.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

Test(log_link, parse)
{
	static const struct {
		const char *line;
		enum log_level level;
		const char *text;
	} cases[] = {
		{ "time=x level=error component=agent msg=\"it broke\" pid=1", LOG_ERROR,
		  "it broke pid=1" },
		{ "time=x level=debug component=agent msg=word pid=1", LOG_DEBUG, "word pid=1" },
		{ "time=x level=warning component=agent msg=\"\" pid=1", LOG_WARNING, " pid=1" },
		{ "time=x level=loud component=agent msg=m", LOG_INFO, "m" },
		{ "level=error", LOG_ERROR, "" },
		{ "no record at all", LOG_INFO, "no record at all" },
		{ "msg=\"not closed", LOG_INFO, "not closed" },
		{ "", LOG_INFO, "" },
	};
	char text[LOG_LINK_TEXT_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_expect(log_link_parse(cases[i].line, text) == cases[i].level, "%s",
			  cases[i].line);
		cr_expect_str_eq(text, cases[i].text);
	}
}

Test(log_link, a_long_text_is_cut)
{
	char line[LOG_LINK_LINE_MAX], text[LOG_LINK_TEXT_MAX + 1];

	memset(line, 'a', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	log_link_parse(line, text);
	cr_expect(strlen(text) == LOG_LINK_TEXT_MAX);
}

static unsigned count, errors;
static char last[LOG_LINK_TEXT_MAX + 1];

static void on_send(struct log_link *log, enum log_level level, const char *text)
{
	(void)log;
	count++;
	errors += level == LOG_ERROR;
	strcpy(last, text);
}

Test(log_link, records_reach_the_loop)
{
	static struct log_link log;
	uv_loop_t loop;
	struct error err;

	cr_assert(uv_loop_init(&loop) == 0);
	cr_assert(log_link_start(&log, &loop, -1, on_send, &err) == 0);
	log_link_use(&log, LOG_INFO);
	log_info("one", KV("number", 1));
	log_debug("not this");
	log_error("two", KV_S("text", "with \"quotes\" and\nlines"));
	while (count < 2)
		uv_run(&loop, UV_RUN_ONCE);
	/* before an error comes what was held back, so that it has its details */
	cr_expect(errors == 1 && count >= 2);
	cr_expect(strstr(last, "two") != NULL && strchr(last, '\n') == NULL, "%s", last);
	/* a writer faster than the link loses records, and neither waits nor ends */
	for (int i = 0; i < 10000; i++)
		log_info("many", KV("number", i));
	count = 0;
	log_link_flush(&log);
	cr_expect(count > 100 && count < 10000);
	log_link_use_console(&log, LOG_INFO);
	log_link_stop(&log);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_expect(uv_loop_close(&loop) == 0);
}
