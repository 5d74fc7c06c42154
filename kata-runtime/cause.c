/* Causes of death: see cause.h. Called by the verbs, as root. */
#include "kata-runtime/cause.h"

#include <errno.h>
#include <fcntl.h>
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

#define SIGNAL_FILE "signal"
#define VM_ENDED "the VM ended: "
#define PANIC "guest panic"

void cause_read(const struct store *store, const struct state *state, char text[CAUSE_SIZE])
{
	char path[PATH_MAX], raw[CAUSE_SIZE / 2], *rest = raw, *line;
	CLEANUP(fd_close) int fd = -1;
	size_t used = 0;
	ssize_t n;

	text[0] = '\0';
	if (store_path(store, state->sandbox, "cause", path, NULL) < 0)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? 0 : read(fd, raw, sizeof(raw) - 1);
	if (n <= 0)
		return;
	raw[n] = '\0';
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
	static const char *const words[] = { "oom ", "reason ", "console ", "then " };

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
	const char *first = "monitor killed, and the VM with it", *reason = "";
	size_t len = find_first(facts->text, &first);
	size_t reason_len = find_line(facts->text, "reason ", &reason);

	if (reason_len > strlen(VM_ENDED) && str_starts(reason, VM_ENDED)) {
		reason += strlen(VM_ENDED);
		reason_len -= strlen(VM_ENDED);
	}
	if (len > 0 && str_starts(reason, PANIC))
		snprintf(line, CAUSE_LINE_SIZE, "%.*s", (int)reason_len, reason);
	else if (facts->host_oom && (len == 0 || is_killed(first, len)))
		snprintf(line, CAUSE_LINE_SIZE, "host OOM: %.*s",
			 len == 0 ? (int)strlen(first) : (int)len, first);
	else
		snprintf(line, CAUSE_LINE_SIZE, "%.*s", len == 0 ? (int)strlen(first) : (int)len,
			 first);
}

static bool may_end(int signal)
{
	return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGQUIT;
}

/* A container whose VM lives. */
static void judge_container(const struct cause_facts *facts, char line[CAUSE_LINE_SIZE])
{
	const char *oom = "", *name = sigabbrev_np(facts->signal);
	size_t len = find_line(facts->text, "oom ", &oom);

	if (may_end(facts->signal) && (len == 0 || !facts->oom_later))
		snprintf(line, CAUSE_LINE_SIZE, "operator: signal %d%s%s%s", facts->signal,
			 name != NULL ? " (SIG" : "", name != NULL ? name : "",
			 name != NULL ? ")" : "");
	else if (len > 0)
		snprintf(line, CAUSE_LINE_SIZE, "guest OOM: %.*s", (int)len, oom);
	else if (facts->host_oom)
		snprintf(line, CAUSE_LINE_SIZE,
			 "host OOM: a process in the container's cgroup was "
			 "killed");
}

void cause_judge(const struct cause_facts *facts, char line[CAUSE_LINE_SIZE])
{
	const char *first;

	line[0] = '\0';
	/* The monitor writes who ended first, and lives for a moment more. */
	if (facts->vm_ended || find_first(facts->text, &first) > 0)
		judge_vm(facts, line);
	else if (facts->stopped)
		judge_container(facts, line);
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

static int last_signal(const struct store *store, const struct state *state)
{
	CLEANUP(fd_close) int fd = -1;
	char path[PATH_MAX], text[16] = "";
	uint64_t number;
	ssize_t n;

	if (store_path(store, state->sid, SIGNAL_FILE, path, NULL) < 0)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return str_to_u64(text, SIGRTMAX, &number) == 0 ? (int)number : 0;
}

void cause_note_signal(const struct store *store, const struct state *state, int signal)
{
	CLEANUP(fd_close) int fd = -1;
	char path[PATH_MAX], text[16];
	int n = snprintf(text, sizeof(text), "%d\n", signal);

	if (store_path(store, state->sid, SIGNAL_FILE, path, NULL) < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && write(fd, text, (size_t)n) != n)
		unlink(path); /* a part of a number would be another one */
}

static bool is_later(const struct store *store, const struct state *state)
{
	char cause[PATH_MAX], signal[PATH_MAX];
	struct stat a, b;

	return store_path(store, state->sandbox, "cause", cause, NULL) == 0 &&
	       store_path(store, state->sid, SIGNAL_FILE, signal, NULL) == 0 &&
	       stat(cause, &a) == 0 && stat(signal, &b) == 0 &&
	       (a.st_mtim.tv_sec > b.st_mtim.tv_sec ||
		(a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec > b.st_mtim.tv_nsec));
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
	char text[CAUSE_SIZE];
	struct cause_facts facts = { .text = text };

	line[0] = '\0';
	facts.stopped = container_status(state) == STATUS_STOPPED;
	facts.vm_ended = state->monitor.pid != 0 &&
			 !process_alive(state->monitor.pid, state->monitor.start_ticks);
	if (!facts.stopped && !facts.vm_ended)
		return;
	cause_read(store, state, text);
	facts.host_oom = is_host_oom(store, state);
	facts.signal = last_signal(store, state);
	facts.oom_later = is_later(store, state);
	cause_judge(&facts, line);
}
