/*
 * Log records: a constant sentence, what varies in key=value fields, and a context (component,
 * sandbox, container, exec, pid) that every record carries.
 *
 *	log_info("container started", KV("pid", pid), KV_S("image", name));
 *
 * A record goes to one descriptor: journald's native socket (a datagram socket) or a file, one
 * line each. Records below the level are kept in a ring in memory and written out before the next
 * error, so that a quiet log has its details when they are needed. Levels: error (work failed),
 * warning (went on), info (one line per life step), debug (each message; no contents, never an
 * environment). One thread; the only global state of common/.
 */
#ifndef KATA_LOG_H
#define KATA_LOG_H

#include <stdbool.h>
#include <stddef.h>

struct error;

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_INFO = 6, LOG_DEBUG = 7 }; /* syslog(3) */

enum { LOG_TEXT_MAX = 1024 }; /* a value is escaped, and cut at this many bytes */

struct log_kv {
	const char *key; /* [a-z_]+ */
	const char *text;
	long long number; /* used when text is NULL */
};

#define KV(k, n) ((struct log_kv){ .key = (k), .number = (long long)(n) })
#define KV_S(k, s) ((struct log_kv){ .key = (k), .text = (s) != NULL ? (s) : "" })

/*
 * Starts the log: component is a constant; fd is borrowed and may be -1 (nothing is written).
 * A datagram socket is taken for journald's.
 */
void log_start(const char *component, int fd, enum log_level level);

/* Sets what every later record carries; NULL leaves a field out. Copied. */
void log_context(const char *sandbox, const char *container, const char *exec);

void log_write(enum log_level level, const char *sentence, const struct log_kv *fields);
#define LOG_FIELDS(...) ((const struct log_kv[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })
#define log_error(sentence, ...) log_write(LOG_ERROR, sentence, LOG_FIELDS(__VA_ARGS__))
#define log_warning(sentence, ...) log_write(LOG_WARNING, sentence, LOG_FIELDS(__VA_ARGS__))
#define log_info(sentence, ...) log_write(LOG_INFO, sentence, LOG_FIELDS(__VA_ARGS__))
#define log_debug(sentence, ...) log_write(LOG_DEBUG, sentence, LOG_FIELDS(__VA_ARGS__))

/* An error's text as the field "error" of a record. */
#define KV_ERR(e) KV_S("error", (e)->text)

/*
 * Writes one record for another component (the guest's agent or console, QEMU's stderr) to fd,
 * which is borrowed. text holds len bytes from a source that is not trusted: it is escaped and
 * cut, and never taken as a format or a field name.
 */
void log_foreign(int fd, const char *component, enum log_level level, const char *text, size_t len);

/* Opens journald's native socket when the host has one: a descriptor, or -1. */
int log_open_journal(void);

/* Opens DIR/COMPONENT.log for appending, 0640: a descriptor, or a negative errno. */
int log_open_file(const char *dir, const char *component, struct error *err);

#endif
