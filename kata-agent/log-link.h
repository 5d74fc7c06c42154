/*
 * The agent's log on its way to the host: records are written to a pipe of the agent's own, as to
 * any log file, and leave it as LOG events on channel 0 of the link. Until the link is up they go
 * to the console.
 */
#ifndef KATA_AGENT_LOG_LINK_H
#define KATA_AGENT_LOG_LINK_H

#include <stddef.h>
#include <uv.h>

#include "common/log.h"

enum { LOG_LINK_LINE_MAX = 4096, LOG_LINK_TEXT_MAX = 1023 };

struct log_link {
	int console; /* borrowed */
	int write_fd, read_fd;
	uv_poll_t poll;
	void (*send)(struct log_link *log, enum log_level level, const char *text);
	char line[LOG_LINK_LINE_MAX];
	size_t used;
};

/* send is called from the loop, once per record. */
int log_link_start(struct log_link *log, uv_loop_t *loop, int console,
		   void (*send)(struct log_link *log, enum log_level level, const char *text),
		   struct error *err);

/* Later records go to the link, or to the console again. */
void log_link_use(struct log_link *log, enum log_level level);
void log_link_use_console(struct log_link *log, enum log_level level);

/* Sends what waits in the pipe, now. */
void log_link_flush(struct log_link *log);

void log_link_stop(struct log_link *log);

/*
 * Takes a record in the log's file form apart: its level, and as text the sentence and the fields
 * that are not the host's own to write (time, level, component). text has LOG_LINK_TEXT_MAX + 1.
 */
enum log_level log_link_parse(const char *line, char *ret_text);

#endif
