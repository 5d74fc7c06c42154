/* Causes of death: see cause.h. Called by the verbs, as root. */
#include "kata-runtime/cause.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/container.h"

#define SIGNALS_FILE "signals"
#define EXIT_FILE "exit"
#define VM_ENDED "the VM ended: "
#define PANIC "guest panic"

enum {
	SIGNALS_SIZE = 4096, /* far more signals than anybody sends; the first are kept */
	EXIT_SIZE = 64,
	/* A process that is asked to end has that long; docker gives 10 s, pods often 30 s. */
	GRACE_MS = 60000,
};

/* A file of a container's directory: whether it is there. */
static bool read_file(const struct store *store, const char *sid, const char *name, char *text,
		      size_t size)
{
	CLEANUP(fd_close) int fd = -1;
	char path[PATH_MAX];
	ssize_t n;

	text[0] = '\0';
	if (store_path(store, sid, name, path, NULL) < 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? 0 : read(fd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	return fd >= 0;
}

void cause_read(const struct store *store, const struct state *state, char text[CAUSE_SIZE])
{
	char raw[CAUSE_SIZE / 2], *rest = raw, *line;
	size_t used = 0;

	text[0] = '\0';
	read_file(store, state->sandbox, "cause", raw, sizeof(raw));
	while ((line = strsep(&rest, "\n")) != NULL && used + 2 < CAUSE_SIZE) {
		if (line[0] == '\0')
			continue;
		str_escape(text + used, CAUSE_SIZE - 1 - used, line, strlen(line));
		used += strlen(text + used);
		text[used++] = '\n';
		text[used] = '\0';
	}
}

/* --- judging -------------------------------------------------------------------------------- */

/* The last line that begins with a word, behind it, up to its end: its length, 0: there is none. */
static size_t find_line(const char *text, const char *word, const char **ret)
{
	size_t len = 0;

	for (const char *line = text; *line != '\0';
	     line += strcspn(line, "\n"), line += *line != '\0')
		if (str_starts(line, word)) {
			*ret = line + strlen(word);
			len = strcspn(*ret, "\n");
		}
	return len;
}

/* The line of who ended first: the one that has none of the words. */
static size_t find_first(const char *text, const char **ret)
{
	static const char *const words[] = { "oom ", "reason ", "console ", "then ", "host oom " };

	for (const char *line = text; *line != '\0';
	     line += strcspn(line, "\n"), line += *line != '\0') {
		bool other = false;

		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			other = other || str_starts(line, words[i]);
		if (!other) {
			*ret = line;
			return strcspn(line, "\n");
		}
	}
	return 0;
}

static bool is_killed(const char *text, size_t len)
{
	static const char end[] = " signal 9";

	return memmem(text, len, end, sizeof(end) - 1) != NULL;
}

/* A VM that ended: the guest's panic and the host's kernel go before who died of it. */
static void judge_vm(const struct cause_facts *facts, char line[CAUSE_LINE_SIZE])
{
	const char *first = "monitor killed, and the VM with it", *reason = "", *host;
	size_t len = find_first(facts->text, &first);
	size_t reason_len = find_line(facts->text, "reason ", &reason);

	if (reason_len > strlen(VM_ENDED) && str_starts(reason, VM_ENDED)) {
		reason += strlen(VM_ENDED);
		reason_len -= strlen(VM_ENDED);
	}
	if (len > 0 && str_starts(reason, PANIC))
		snprintf(line, CAUSE_LINE_SIZE, "%.*s", (int)reason_len, reason);
	else if ((facts->host_oom || find_line(facts->text, "host oom ", &host) > 0) &&
		 (len == 0 || is_killed(first, len)))
		snprintf(line, CAUSE_LINE_SIZE, "host OOM: %.*s",
			 len == 0 ? (int)strlen(first) : (int)len, first);
	else
		snprintf(line, CAUSE_LINE_SIZE, "%.*s", len == 0 ? (int)strlen(first) : (int)len,
			 first);
}

/* What `kill` sent once. */
struct sent {
	int signal; /* 0: nothing */
	int64_t ms;
	bool hard;
};

static bool may_end(int signal)
{
	return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGQUIT;
}

static bool next_sent(const char **signals, struct sent *ret)
{
	int used = 0;

	if (*signals == NULL ||
	    sscanf(*signals, "%d %" SCNd64 "%n", &ret->signal, &ret->ms, &used) != 2)
		return false;
	ret->hard = str_starts(*signals + used, " hard");
	*signals += strcspn(*signals, "\n");
	*signals += **signals != '\0';
	return true;
}

/* How the container's process ended, as its shim has heard. */
struct ended {
	bool known;
	int code;
	int64_t ms;
};

static struct ended parse_exit(const char *text)
{
	struct ended ended = { 0 };

	ended.known = text != NULL && sscanf(text, "%d %" SCNd64, &ended.code, &ended.ms) == 2;
	return ended;
}

/*
 * The signal of which it ended: the last one whose number the code tells, else the last one that
 * asked it to end, unless it went on for long after that. Without a code only the time is missing.
 */
static struct sent find_sent(const struct cause_facts *facts, const struct ended *ended)
{
	struct sent exact = { 0 }, asked = { 0 }, sent;
	const char *rest = facts->signals;

	while (next_sent(&rest, &sent)) {
		if (ended->known && (sent.ms > ended->ms || sent.hard))
			continue;
		if (ended->known && ended->code == 128 + sent.signal)
			exact = sent;
		if (may_end(sent.signal) && (sent.signal != SIGKILL || !ended->known) &&
		    (!ended->known || ended->ms - sent.ms <= GRACE_MS))
			asked = sent;
	}
	return exact.signal != 0 ? exact : asked;
}

static void say_operator(char line[CAUSE_LINE_SIZE], const struct sent *sent)
{
	const char *name = sigabbrev_np(sent->signal);

	snprintf(line, CAUSE_LINE_SIZE, "operator: signal %d%s%s%s", sent->signal,
		 name != NULL ? " (SIG" : "", name != NULL ? name : "", name != NULL ? ")" : "");
}

static void add(char line[CAUSE_LINE_SIZE], const char *between, const char *text)
{
	size_t used = strlen(line);

	snprintf(line + used, CAUSE_LINE_SIZE - used, "%s%s", used > 0 ? between : "", text);
}

/* A container's process that ended before its VM, or whose shim was killed. */
static void judge_container(const struct cause_facts *facts, const struct ended *ended,
			    char line[CAUSE_LINE_SIZE])
{
	bool killed = !ended->known || ended->code == 128 + SIGKILL;
	struct sent sent = find_sent(facts, ended);
	const char *oom = "";
	size_t len = find_line(facts->text, "oom ", &oom);
	char text[48];

	if (sent.signal != 0 && (sent.signal == SIGKILL || len == 0 || !killed))
		say_operator(line, &sent);
	else if (len > 0 && killed)
		snprintf(line, CAUSE_LINE_SIZE, "guest OOM: %.*s", (int)len, oom);
	else if (!ended->known && facts->host_oom)
		add(line, "", "host OOM: a process in the container's cgroup was killed");
	else if (!ended->known && facts->exit != NULL)
		add(line, "", "shim ended before the container's process");
	if (!ended->known)
		return;
	snprintf(text, sizeof(text), "container exited %d", ended->code);
	add(line, "; ", text);
}

/* Its shim was killed, or the VM, for a SIGKILL that the agent did not take. */
static bool judge_hard(const struct cause_facts *facts, char line[CAUSE_LINE_SIZE])
{
	const char *rest = facts->signals, *first;
	struct sent sent;

	while (find_first(facts->text, &first) == 0 && next_sent(&rest, &sent))
		if (sent.hard) {
			say_operator(line, &sent);
			add(line, "", ", which the agent did not take");
			return true;
		}
	return false;
}

void cause_judge(const struct cause_facts *facts, char line[CAUSE_LINE_SIZE])
{
	struct ended ended = parse_exit(facts->exit);
	const char *first;

	line[0] = '\0';
	if (facts->stopped && ended.known)
		judge_container(facts, &ended, line);
	else if (facts->stopped && judge_hard(facts, line))
		return;
	/* The monitor writes who ended first, and lives for a moment more. */
	else if (facts->vm_ended || find_first(facts->text, &first) > 0)
		judge_vm(facts, line);
	else if (facts->stopped)
		judge_container(facts, &ended, line);
}

/* --- the facts ------------------------------------------------------------------------------ */

static bool counts_oom(const struct state *state)
{
	CLEANUP(cgroup_fini) struct cgroup cgroup = { 0 };

	return cgroup_load(&state->cgroups, false, &cgroup, NULL) == 0 &&
	       cgroup_oom_killed(&cgroup);
}

/* In the cgroup of the container, or of its VM's first one, which has the VM's processes. */
static bool is_host_oom(const struct store *store, const struct state *state)
{
	CLEANUP(state_fini) struct state first = { 0 };

	if (counts_oom(state))
		return true;
	return !str_eq(state->sid, state->sandbox) &&
	       store_read_state(store, state->sandbox, &first, NULL) == 0 && counts_oom(&first);
}

void cause_note_signal(const struct store *store, const struct state *state, int signal,
		       int64_t since, bool hard)
{
	CLEANUP(fd_close) int fd = -1;
	char path[PATH_MAX], text[64];
	struct stat st;
	int n = snprintf(text, sizeof(text), "%d %" PRId64 "%s\n", signal, since,
			 hard ? " hard" : "");

	if (store_path(store, state->sid, SIGNALS_FILE, path, NULL) < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size + n >= SIGNALS_SIZE)
		return;
	/* A part of a number would be another one. */
	if (write(fd, text, (size_t)n) != n && ftruncate(fd, st.st_size) < 0)
		unlink(path);
}

int cause_open_exit(const struct store *store, const struct state *state, struct error *err)
{
	char path[PATH_MAX];
	int fd, r = store_path(store, state->sid, EXIT_FILE, path, err);

	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? error_set(err, errno, "make %s", path) : fd;
}

void cause_vm_headline(const struct store *store, const struct state *state,
		       char line[CAUSE_LINE_SIZE])
{
	char text[CAUSE_SIZE];
	struct cause_facts facts = { .text = text, .vm_ended = true };

	cause_read(store, state, text);
	facts.host_oom = is_host_oom(store, state);
	line[0] = '\0';
	if (text[0] != '\0' || facts.host_oom)
		cause_judge(&facts, line);
}

void cause_headline(const struct store *store, const struct state *state,
		    char line[CAUSE_LINE_SIZE])
{
	char text[CAUSE_SIZE], signals[SIGNALS_SIZE], exit[EXIT_SIZE];
	struct cause_facts facts = { .text = text, .signals = signals };

	line[0] = '\0';
	facts.stopped = container_status(state) == STATUS_STOPPED;
	facts.vm_ended = state->monitor.pid != 0 &&
			 !process_alive(state->monitor.pid, state->monitor.start_ticks);
	if (!facts.stopped && !facts.vm_ended)
		return;
	cause_read(store, state, text);
	facts.host_oom = is_host_oom(store, state);
	read_file(store, state->sid, SIGNALS_FILE, signals, sizeof(signals));
	if (read_file(store, state->sid, EXIT_FILE, exit, sizeof(exit)))
		facts.exit = exit;
	cause_judge(&facts, line);
}
