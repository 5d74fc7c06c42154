/* Log records over the link: see log-link.h. Part of struct agent; runs in its loop. */
#include "kata-agent/log-link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/str.h"

static const struct {
	const char *name;
	enum log_level level;
} levels[] = {
	{ "error", LOG_ERROR },
	{ "warning", LOG_WARNING },
	{ "info", LOG_INFO },
	{ "debug", LOG_DEBUG },
};

/* Behind "KEY=value " at the start of *line, or where it is. Returns the value, or NULL. */
static const char *skip_field(const char **line, const char *key, size_t *ret_len)
{
	size_t key_len = strlen(key);
	const char *value = *line + key_len;

	if (strncmp(*line, key, key_len) != 0)
		return NULL;
	*ret_len = strcspn(value, " ");
	*line = value + *ret_len + (value[*ret_len] == ' ');
	return value;
}

enum log_level log_link_parse(const char *line, char *ret_text)
{
	enum log_level level = LOG_INFO;
	const char *value;
	size_t len, sentence;

	skip_field(&line, "time=", &len);
	value = skip_field(&line, "level=", &len);
	for (size_t i = 0; value != NULL && i < ARRAY_SIZE(levels); i++) {
		if (strlen(levels[i].name) == len && memcmp(value, levels[i].name, len) == 0)
			level = levels[i].level;
	}
	skip_field(&line, "component=", &len);
	if (str_starts(line, "msg=\"")) {
		line += 5;
		sentence = strcspn(line, "\""); /* a quote inside would be \x22 */
		snprintf(ret_text, LOG_LINK_TEXT_MAX + 1, "%.*s%s", (int)sentence, line,
			 line[sentence] == '\0' ? "" : line + sentence + 1);
	} else {
		snprintf(ret_text, LOG_LINK_TEXT_MAX + 1, "%s",
			 str_starts(line, "msg=") ? line + 4 : line);
	}
	return level;
}

static void send_line(struct log_link *log, const char *line)
{
	char text[LOG_LINK_TEXT_MAX + 1];
	enum log_level level = log_link_parse(line, text);

	if (text[0] != '\0')
		log->send(log, level, text);
}

/* A line longer than any record is cut into pieces. */
static void split_lines(struct log_link *log)
{
	char *newline;

	log->line[log->used] = '\0';
	while ((newline = strchr(log->line, '\n')) != NULL || log->used == sizeof(log->line) - 1) {
		size_t len = newline != NULL ? (size_t)(newline - log->line) : log->used;
		size_t taken = len + (newline != NULL);

		log->line[len] = '\0';
		send_line(log, log->line);
		log->used -= taken;
		memmove(log->line, log->line + taken, log->used);
		log->line[log->used] = '\0';
	}
}

void log_link_flush(struct log_link *log)
{
	ssize_t n;

	while ((n = read(log->read_fd, log->line + log->used, sizeof(log->line) - 1 - log->used)) >
	       0) {
		log->used += (size_t)n;
		split_lines(log);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)events;
	if (status == 0)
		log_link_flush(poll->data);
}

int log_link_start(struct log_link *log, uv_loop_t *loop, int console,
		   void (*send)(struct log_link *log, enum log_level level, const char *text),
		   struct error *err)
{
	int fds[2], r;

	/* Full, it loses records rather than to wait for itself. */
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_set(err, errno, "make the log's pipe");
	log->console = console;
	log->send = send;
	log->read_fd = fds[0];
	log->write_fd = fds[1];
	r = uv_poll_init(loop, &log->poll, log->read_fd);
	log->poll.data = log;
	if (r == 0)
		r = uv_poll_start(&log->poll, UV_READABLE, on_poll);
	return r < 0 ? error_set(err, -r, "poll the log's pipe") : 0;
}

void log_link_use(struct log_link *log, enum log_level level)
{
	log_start("agent", log->write_fd, level);
}

void log_link_use_console(struct log_link *log, enum log_level level)
{
	log_start("agent", log->console, level);
}

void log_link_stop(struct log_link *log)
{
	uv_close((uv_handle_t *)&log->poll, NULL);
	fd_close(&log->read_fd);
	fd_close(&log->write_fd);
}
