/*
 * Log records to journald or to a file: see log.h. Every component uses it; the descriptor belongs
 * to the caller. The ring holds formatted records below the level until an error asks for them.
 */
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/str.h"

enum { RECORD_MAX = 4096, RING_RECORDS = 64, RING_RECORD_MAX = 384, CONTEXT_MAX = 132 };

static struct {
	const char *component;
	int fd;
	bool journal;
	enum log_level level;
	char sandbox[CONTEXT_MAX], container[CONTEXT_MAX], exec[CONTEXT_MAX];
	char ring[RING_RECORDS][RING_RECORD_MAX];
	unsigned ring_next;
} log_state = { .component = "kata", .fd = -1, .level = LOG_INFO };

/* A record under construction; values are cut, and the last fields left out, to fit in size. */
struct record {
	char text[RECORD_MAX];
	size_t used, size;
};

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_ERROR:
		return "error";
	case LOG_WARNING:
		return "warning";
	case LOG_INFO:
		return "info";
	case LOG_DEBUG:
		break;
	}
	return "debug";
}

static bool is_journal(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM;
}

void log_start(const char *component, int fd, enum log_level level)
{
	tzset(); /* reads a file, which is out of reach later */
	log_state.component = component;
	log_state.fd = fd;
	log_state.journal = fd >= 0 && is_journal(fd);
	log_state.level = level;
}

void log_context(const char *sandbox, const char *container, const char *exec)
{
	snprintf(log_state.sandbox, CONTEXT_MAX, "%s", sandbox != NULL ? sandbox : "");
	snprintf(log_state.container, CONTEXT_MAX, "%s", container != NULL ? container : "");
	snprintf(log_state.exec, CONTEXT_MAX, "%s", exec != NULL ? exec : "");
}

/* File form: key=value, quoted where the value is not one plain word. */
static void put_file(struct record *r, const char *key, const char *escaped)
{
	bool quote = escaped[0] == '\0' || strpbrk(escaped, " =") != NULL;
	int n = snprintf(r->text + r->used, r->size - r->used, quote ? "%s%s=\"%s\"" : "%s%s=%s",
			 r->used > 0 ? " " : "", key, escaped);

	if (n > 0 && (size_t)n < r->size - r->used - 1) /* a newline follows */
		r->used += (size_t)n;
}

/* Journal form (systemd's native protocol): KEY=value lines; our own keys begin with KATA_. */
static void put_journal(struct record *r, const char *key, const char *escaped)
{
	char name[64] = "KATA_";
	size_t i = 5;
	int n;

	if (str_eq(key, "msg")) {
		snprintf(name, sizeof(name), "MESSAGE");
	} else if (str_eq(key, "priority")) {
		snprintf(name, sizeof(name), "PRIORITY");
	} else if (str_eq(key, "identifier")) {
		snprintf(name, sizeof(name), "SYSLOG_IDENTIFIER");
	} else {
		for (const char *p = key; *p != '\0' && i < sizeof(name) - 1; p++, i++)
			name[i] = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : '_';
		name[i] = '\0';
	}
	n = snprintf(r->text + r->used, r->size - r->used, "%s=%s\n", name, escaped);
	if (n > 0 && (size_t)n < r->size - r->used)
		r->used += (size_t)n;
}

static void put(struct record *r, bool journal, const char *key, const char *text, size_t len)
{
	const size_t around = strlen(key) + sizeof("KATA_=\n"), least = 8;
	char escaped[LOG_TEXT_MAX];
	size_t room = r->size - r->used;

	if (room < around + least)
		return;
	room -= around;
	str_escape(escaped, room < sizeof(escaped) ? room : sizeof(escaped), text, len);
	if (journal)
		put_journal(r, key, escaped);
	else
		put_file(r, key, escaped);
}

static void put_text(struct record *r, bool journal, const char *key, const char *text)
{
	put(r, journal, key, text, strlen(text));
}

static void put_number(struct record *r, bool journal, const char *key, long long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", number);
	put_text(r, journal, key, text);
}

static void put_head(struct record *r, bool journal, enum log_level level, const char *component,
		     const char *sentence, size_t len)
{
	struct timespec now;
	struct tm tm;
	char text[64], date[32];

	if (journal) {
		put_number(r, true, "priority", level);
		put_text(r, true, "component", component);
		str_format(text, sizeof(text), "kata-%s", component);
		put_text(r, true, "identifier", text);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(text, sizeof(text), "%s.%06ldZ", date, now.tv_nsec / 1000);
		put_text(r, false, "time", text);
		put_text(r, false, "level", level_name(level));
		put_text(r, false, "component", component);
	}
	put(r, journal, "msg", sentence, len);
	if (log_state.sandbox[0] != '\0')
		put_text(r, journal, "sandbox", log_state.sandbox);
	if (log_state.container[0] != '\0')
		put_text(r, journal, "container", log_state.container);
	if (log_state.exec[0] != '\0')
		put_text(r, journal, "exec", log_state.exec);
}

/* A log that cannot be written is not the program's failure: the record is lost, work goes on. */
static void emit(int fd, bool journal, struct record *r)
{
	ssize_t n;

	if (journal) {
		n = send(fd, r->text, r->used, MSG_NOSIGNAL | MSG_DONTWAIT);
	} else {
		r->text[r->used++] = '\n';
		n = write(fd, r->text, r->used);
	}
	(void)n;
}

static void ring_flush(void)
{
	for (unsigned i = 0; i < RING_RECORDS; i++) {
		char *text = log_state.ring[(log_state.ring_next + i) % RING_RECORDS];
		struct record r = { .used = strlen(text) };

		if (r.used == 0)
			continue;
		memcpy(r.text, text, r.used);
		emit(log_state.fd, log_state.journal, &r);
		text[0] = '\0';
	}
}

void log_write(enum log_level level, const char *sentence, const struct log_kv *fields)
{
	struct record r = { .size = level > log_state.level ? RING_RECORD_MAX : RECORD_MAX };
	int saved = errno;

	put_head(&r, log_state.journal, level, log_state.component, sentence, strlen(sentence));
	put_number(&r, log_state.journal, "pid", getpid());
	for (const struct log_kv *f = fields; f->key != NULL; f++) {
		if (f->text != NULL)
			put_text(&r, log_state.journal, f->key, f->text);
		else
			put_number(&r, log_state.journal, f->key, f->number);
	}
	if (level > log_state.level) {
		memcpy(log_state.ring[log_state.ring_next++ % RING_RECORDS], r.text, r.used);
		log_state.ring[(log_state.ring_next - 1) % RING_RECORDS][r.used] = '\0';
	} else if (log_state.fd >= 0) {
		if (level == LOG_ERROR)
			ring_flush();
		emit(log_state.fd, log_state.journal, &r);
	}
	errno = saved;
}

void log_foreign(int fd, const char *component, enum log_level level, const char *text, size_t len)
{
	bool journal = fd >= 0 && is_journal(fd);
	struct record r = { .size = RECORD_MAX };

	if (fd < 0 || level > log_state.level)
		return;
	put_head(&r, journal, level, component, text, len);
	emit(fd, journal, &r);
}

int log_open_journal(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX,
				       .sun_path = "/run/systemd/journal/socket" };
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return steal_fd(&fd);
}

int log_open_file(const char *dir, const char *component, struct error *err)
{
	char path[4096];
	int fd;

	if (str_format(path, sizeof(path), "%s/%s.log", dir, component) < 0)
		return error_set(err, ENAMETOOLONG, "log file in %s", dir);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640);
	if (fd < 0)
		return error_set(err, errno, "open log %s", path);
	return fd;
}
