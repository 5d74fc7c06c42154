/*
 * Kill points: kata-runtime is killed at, and made to fail at, one system call after the other of
 * create, start, exec, kill and delete; whatever the point, `delete --force` then succeeds within
 * two seconds and nothing is left. QEMU, virtiofsd and the agent are fake-vm, all else is real.
 *
 *	crash-points [--killed | --failing] [VERB...]    a line of TAP for each verb and way
 *	crash-points --sample N --config FILE --rootfs DIR [VERB...]
 *
 * SIGKILL at every call, and each of the errors at each call that may fail. --sample: $KATA_RUNTIME
 * with real VMs, killed at N of the calls that have an effect. Needs root, and $KATA_BUILD for the
 * fakes.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "tests/crash/stage.h"
#include "tests/crash/traced.h"

enum { DELETE_MS = 2000, FAILURES_SHOWN = 5 };

static struct {
	struct stage stage;
	bool killed, failing; /* what is done at each point: one of them or both */
	unsigned sample;      /* points for each verb, with real VMs; 0: all, with fakes */
	int64_t slowest_ms;   /* delete --force */
	unsigned tests, failures_here;
} rig;

static const int errors[] = { ENOSPC, EMFILE, EIO, ENOMEM };

/* --- verbs ----------------------------------------------------------------------------------- */

static int make_nothing(struct stage *stage)
{
	(void)stage;
	return 0;
}

static const struct verb {
	const char *name;
	int (*before)(struct stage *stage);
	const char *words[8];
} verbs[] = {
	{ "create",
	  make_nothing,
	  { "create", "--bundle", rig.stage.bundle, "--pid-file", rig.stage.pid_file, "c1" } },
	{ "start", stage_created, { "start", "c1" } },
	{ "exec", stage_running, { "exec", "c1", "true" } },
	{ "kill", stage_running, { "kill", "c1", "KILL" } },
	{ "delete", stage_killed, { "delete", "c1" } },
	{ "delete --force", stage_running, { "delete", "--force", "c1" } },
};

/* --- one point ------------------------------------------------------------------------------- */

static __attribute__((format(printf, 3, 4))) void
complain(const struct verb *verb, const struct traced *t, const char *fmt, ...)
{
	va_list args;

	if (rig.failures_here++ >= FAILURES_SHOWN)
		return;
	printf("# %s, call %u (number %ld), %s: ", verb->name, t->point, t->call,
	       t->errnum == 0 ? "killed" : strerrorname_np(t->errnum));
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

static void say_lines(const char *text)
{
	if (rig.failures_here <= FAILURES_SHOWN)
		stage_say_lines(text);
}

static void clean_up(const struct verb *verb, const struct traced *t)
{
	static char left[STAGE_LEFT_SIZE];
	int64_t since = deadline_now_ms(), took;
	int status;

	status = stage_runtime(&rig.stage, "delete", "--force", "c1", NULL);
	took = deadline_now_ms() - since;
	rig.slowest_ms = took > rig.slowest_ms ? took : rig.slowest_ms;
	if (status != 0) {
		complain(verb, t, "delete --force exits with %d", status);
		say_lines(stage_printed(&rig.stage));
	}
	if (took > DELETE_MS)
		complain(verb, t, "delete --force took %lld ms", (long long)took);
	if (!stage_is_clean(&rig.stage, left)) {
		complain(verb, t, "left behind:");
		say_lines(left);
		stage_die("what is left would be found again behind every other point");
	}
}

/* Its last words have some. */
static bool says_why(const char *printed)
{
	const char *msg = strstr(printed, "level=error msg=\"");

	return msg != NULL && msg[strlen("level=error msg=\"")] != '"';
}

/* Whether the call was reached. */
static bool try_point(const struct verb *verb, struct traced *t)
{
	static char left[STAGE_LEFT_SIZE];
	char *argv[STAGE_WORDS_MAX] = { 0 };
	size_t n = stage_command(&rig.stage, argv);

	for (size_t i = 0; i < ARRAY_SIZE(verb->words) && verb->words[i] != NULL; i++)
		argv[n++] = (char *)verb->words[i];
	stage_printed(&rig.stage);
	if (verb->before(&rig.stage) != 0)
		stage_die("%s: the container could not be made: %s", verb->name,
			  stage_printed(&rig.stage));
	stage_printed(&rig.stage);
	if (!traced_run(t, argv))
		stage_die("%s cannot be traced", rig.stage.runtime);
	if (!t->reached && (!WIFEXITED(t->status) || WEXITSTATUS(t->status) != 0))
		complain(verb, t, "fails by itself (status 0x%x): %s", t->status,
			 stage_printed(&rig.stage));
	if (t->reached && t->errnum != 0 && t->call != SYS_write && WIFEXITED(t->status) &&
	    WEXITSTATUS(t->status) != 0 && !says_why(stage_printed(&rig.stage)))
		complain(verb, t, "exits with %d and does not say why", WEXITSTATUS(t->status));
	/* A create that could say that it failed has taken everything back. */
	if (t->reached && t->errnum != 0 && str_eq(verb->name, "create") && WIFEXITED(t->status) &&
	    WEXITSTATUS(t->status) != 0 && !stage_is_clean(&rig.stage, left)) {
		complain(verb, t, "create fails and leaves:");
		say_lines(left);
	}
	clean_up(verb, t);
	return t->reached;
}

static void report(const struct verb *verb, const char *way, unsigned points)
{
	printf("%s %u - %s %s at %u calls\n", rig.failures_here == 0 ? "ok" : "not ok", ++rig.tests,
	       verb->name, way, points);
	fflush(stdout);
	rig.failures_here = 0;
}

/* A few of the points, spread evenly, the last one included. */
static void try_sample(const struct verb *verb)
{
	struct traced t = { .set = TRACED_EFFECTS, .stdout_fd = rig.stage.log };
	unsigned total;

	try_point(verb, &t); /* to its end */
	total = t.count;
	for (unsigned i = 1; i <= rig.sample; i++) {
		t.point = total * i / rig.sample;
		try_point(verb, &t);
	}
	report(verb, "killed", rig.sample);
}

static void try_killed(const struct verb *verb)
{
	struct traced t = { .set = TRACED_ALL, .stdout_fd = rig.stage.log };
	unsigned points = 0;

	for (t.point = 1; try_point(verb, &t); t.point++)
		points++;
	report(verb, "killed", points);
}

static void try_failing(const struct verb *verb)
{
	struct traced t = { .set = TRACED_FALLIBLE, .stdout_fd = rig.stage.log };
	unsigned points = 0;

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		t.errnum = errors[i];
		for (t.point = 1; try_point(verb, &t); t.point++)
			points++;
	}
	report(verb, "failing", points);
}

static void try_verb(const struct verb *verb)
{
	if (rig.sample > 0) {
		try_sample(verb);
		return;
	}
	if (rig.killed)
		try_killed(verb);
	if (rig.failing)
		try_failing(verb);
}

static bool is_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (str_eq(verbs[i].name, name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	unsigned planned = 0;
	bool named = false;

	rig.killed = rig.failing = true;
	for (int i = 1; i < argc; i++) {
		if (str_eq(argv[i], "--killed"))
			rig.failing = false;
		else if (str_eq(argv[i], "--failing"))
			rig.killed = false;
		else if (str_eq(argv[i], "--sample") && i + 1 < argc)
			rig.sample = (unsigned)atoi(argv[++i]);
		else if (str_eq(argv[i], "--config") && i + 1 < argc)
			rig.stage.installed_config = argv[++i];
		else if (str_eq(argv[i], "--rootfs") && i + 1 < argc)
			rig.stage.rootfs = argv[++i];
		else if (is_verb(argv[i]))
			named = true;
		else
			stage_die("there is no verb %s", argv[i]);
	}
	if ((rig.sample > 0) != (rig.stage.installed_config != NULL))
		stage_die("--sample, --config and --rootfs belong together");
	stage_make(&rig.stage);
	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
			bool wanted = !named;

			for (int k = 1; k < argc; k++)
				wanted = wanted || str_eq(argv[k], verbs[i].name);
			if (wanted && pass == 0)
				planned += rig.sample > 0 ? 1 : rig.killed + rig.failing;
			else if (wanted)
				try_verb(&verbs[i]);
		}
		if (pass == 0)
			printf("1..%u\n", planned);
	}
	printf("# the slowest delete --force took %lld ms\n", (long long)rig.slowest_ms);
	return stage_remove(&rig.stage) == 0 ? 0 : 1;
}
