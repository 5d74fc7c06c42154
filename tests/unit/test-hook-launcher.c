/* kata-runtime/hook-launcher.c: hooks are run by who still may, and nothing else is. */
#include "kata-runtime/hook-launcher.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/filter.h"
#include "common/str.h"
#include "tests/unit/hook-bundle.h"

#define SHELL(script) "{ \"path\": \"/bin/sh\", \"args\": [ \"sh\", \"-c\", \"" script "\" ] }"

TestSuite(hook_launcher, .init = bundle_set_up, .fini = bundle_tear_down);

static struct hook_launcher start(const struct spec *spec, enum spec_hook_kind first)
{
	struct hook_launcher launcher;
	struct error err = { 0 };

	cr_assert(hook_launcher_start(&launcher, PRIVSEP_RUNTIME_START, spec, "the-id", first,
				      &err) == 0,
		  "%s", err.text);
	return launcher;
}

Test(hook_launcher, none_without_hooks)
{
	CLEANUP(spec_freep) struct spec *nothing = bundle_spec("{}");
	CLEANUP(spec_freep)
	struct spec *others = bundle_spec(
		"{ \"startContainer\": [" SHELL("true") "], \"prestart\": [" SHELL("true") "] }");
	struct hook_launcher launcher = start(nothing, HOOK_PRESTART);

	cr_expect_eq(launcher.socket, -1);
	cr_expect(hook_launcher_run(&launcher, nothing, HOOK_PRESTART, 1, NULL) == 0);
	hook_launcher_end(&launcher);
	cr_expect_eq(start(NULL, HOOK_POSTSTART).socket, -1);
	/* the guest runs startContainer hooks, and prestart hooks have had their turn */
	cr_expect_eq(start(others, HOOK_CREATE_RUNTIME).socket, -1);
}

Test(hook_launcher, runs_in_order_up_to_the_first_failure)
{
	CLEANUP(spec_freep)
	struct spec *spec = bundle_spec("{ \"prestart\": [" SHELL("echo 1 >>order") "," SHELL(
		"echo 2 >>order; exit 3") "," SHELL("echo 3 >>order") "] }");
	CLEANUP(hook_launcher_end) struct hook_launcher launcher = start(spec, HOOK_PRESTART);
	struct error err = { 0 };

	cr_expect(hook_launcher_run(&launcher, spec, HOOK_PRESTART, 1, &err) == -EIO);
	cr_expect_str_eq(bundle_text("order"), "1\n2\n");
	cr_expect_str_eq(err.text, "hooks.prestart[1] /bin/sh: it exited with status 3");
	/* of another kind nothing is run, and run_all goes on behind a failure */
	hook_launcher_run_all(&launcher, spec, HOOK_POSTSTOP, 0);
	hook_launcher_run_all(&launcher, spec, HOOK_PRESTART, 1);
	cr_expect_str_eq(bundle_text("order"), "1\n2\n1\n2\n3\n");
}

Test(hook_launcher, tells_hooks_where_the_container_is)
{
	CLEANUP(spec_freep)
	struct spec *spec =
		bundle_spec("{ \"createRuntime\": [" SHELL("cat >1") "], \"poststart\": [" SHELL(
			"cat >2") "], \"poststop\": [" SHELL("cat >3") "] }");
	CLEANUP(hook_launcher_end) struct hook_launcher launcher = start(spec, HOOK_PRESTART);

	cr_assert(hook_launcher_run(&launcher, spec, HOOK_CREATE_RUNTIME, 4321, NULL) == 0);
	cr_expect(strstr(bundle_text("1"),
			 "\"id\":\"the-id\",\"status\":\"creating\",\"pid\":4321") != NULL);
	cr_assert(hook_launcher_run(&launcher, spec, HOOK_POSTSTART, 4321, NULL) == 0);
	cr_expect(strstr(bundle_text("2"), "\"status\":\"running\",\"pid\":4321") != NULL);
	cr_assert(hook_launcher_run(&launcher, spec, HOOK_POSTSTOP, 0, NULL) == 0);
	cr_expect(strstr(bundle_text("3"), "\"status\":\"stopped\",\"bundle\"") != NULL);
}

/* The line of a process's status that name, with the end of the line before it, begins. */
static void status_line(const char *path, const char *name, char *line, size_t size)
{
	const char *at = strstr(bundle_text(path), name);

	cr_assert_not_null(at, "%s has no line%s", path, name);
	snprintf(line, size, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
}

static const char *const given_up[] = { "\nCapBnd:", "\nSeccomp:", "\nNoNewPrivs:" };

/* Has the hook run when this process can execute nothing any more. It ends without a word. */
static void give_up_and_run(const struct spec *spec)
{
	struct hook_launcher launcher = HOOK_LAUNCHER_NONE;
	struct error err = { 0 };
	int r = hook_launcher_start(&launcher, PRIVSEP_RUNTIME_START, spec, "the-id",
				    HOOK_POSTSTART, &err);

	if (r == 0)
		r = filter_load(FILTER_ASKER, false, &err);
	if (r == 0)
		r = hook_launcher_run(&launcher, spec, HOOK_POSTSTART, 1, &err);
	if (r == 0)
		r = dprintf(open("verb", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), "%s",
			    bundle_text("/proc/self/status"));
	fputs(err.text, stderr);
	_exit(r > 0 ? 0 : 1);
}

/* What the verb gives up the hooks still have: as under runc. */
Test(hook_launcher, hooks_have_what_the_verb_gives_up)
{
	CLEANUP(spec_freep)
	struct spec *spec =
		bundle_spec("{ \"poststart\": [" SHELL("cat /proc/self/status >hook") "] }");
	char had[64], verb[64], hook[64];
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		give_up_and_run(spec);
	cr_assert(waitpid(pid, &status, 0) == pid && status == 0);
	for (size_t i = 0; i < ARRAY_SIZE(given_up); i++) {
		status_line("/proc/self/status", given_up[i], had, sizeof(had));
		status_line("verb", given_up[i], verb, sizeof(verb));
		status_line("hook", given_up[i], hook, sizeof(hook));
		if (geteuid() == 0 || i > 0)
			cr_expect_str_neq(verb, had);
		cr_expect_str_eq(hook, had);
	}
}

Test(hook_launcher, has_one_descriptor)
{
	CLEANUP(spec_freep)
	struct spec *spec = bundle_spec("{ \"poststop\": [" SHELL("true") "] }");
	CLEANUP(fd_close) int inherited = open("/dev/null", O_RDONLY);
	CLEANUP(hook_launcher_end) struct hook_launcher launcher = { .socket = -1 };
	int64_t late = deadline_in_ms(20000);
	char path[64];
	int count;

	cr_assert(inherited > 2);
	launcher = start(spec, HOOK_POSTSTOP);
	snprintf(path, sizeof(path), "/proc/%d/fd", launcher.pid);
	do {
		CLEANUP(dir_close) DIR *fds = opendir(path);
		struct dirent *entry;

		cr_assert_not_null(fds);
		for (count = 0; (entry = readdir(fds)) != NULL;)
			count += atoi(entry->d_name) > 2;
		usleep(1000);
	} while (count != 1 && deadline_left_ms(late) > 0);
	cr_expect_eq(count, 1);
}

/* Who owns the verb cannot have it execute what is not in config.json. */
Test(hook_launcher, runs_nothing_else)
{
	CLEANUP(spec_freep)
	struct spec *spec = bundle_spec("{ \"poststop\": [" SHELL("true") "] }");
	CLEANUP(spec_freep)
	struct spec *more =
		bundle_spec("{ \"poststop\": [" SHELL("true") "," SHELL("touch x") "] }");
	CLEANUP(spec_freep)
	struct spec *other = bundle_spec("{ \"poststop\": [" SHELL("touch x") "] }");
	struct hook_launcher launcher = start(spec, HOOK_POSTSTOP);
	struct error err = { 0 };

	cr_expect(hook_launcher_run(&launcher, other, HOOK_POSTSTOP, 0, &err) == 0, "%s", err.text);
	cr_expect_eq(launcher.socket, -1); /* nothing is to come */
	launcher = start(spec, HOOK_POSTSTOP);
	cr_expect(hook_launcher_run(&launcher, more, HOOK_POSTSTOP, 0, &err) == -EPIPE);
	hook_launcher_end(&launcher);
	launcher = start(spec, HOOK_POSTSTOP);
	cr_assert(send(launcher.socket, "x", 1, 0) == 1);
	cr_expect(hook_launcher_run(&launcher, spec, HOOK_POSTSTOP, 0, &err) == -EPIPE);
	hook_launcher_end(&launcher);
	cr_expect(access("x", F_OK) < 0);
}

/* As ^C sends it to the verb's whole group, and a manager to all of a cgroup. */
Test(hook_launcher, signals_are_for_its_verb)
{
	CLEANUP(spec_freep)
	struct spec *spec =
		bundle_spec("{ \"poststop\": [" SHELL("grep SigBlk /proc/self/status >x") "] }");
	CLEANUP(hook_launcher_end) struct hook_launcher launcher = start(spec, HOOK_POSTSTOP);
	struct error err = { 0 };

	cr_assert(kill(launcher.pid, SIGINT) == 0 && kill(launcher.pid, SIGTERM) == 0);
	cr_expect(hook_launcher_run(&launcher, spec, HOOK_POSTSTOP, 0, &err) == 0, "%s", err.text);
	cr_expect_str_eq(bundle_text("x"), "SigBlk:\t0000000000000000\n");
}

Test(hook_launcher, its_death_is_an_error)
{
	CLEANUP(spec_freep)
	struct spec *spec = bundle_spec("{ \"poststop\": [" SHELL("true") "] }");
	CLEANUP(hook_launcher_end) struct hook_launcher launcher = start(spec, HOOK_POSTSTOP);
	struct error err = { 0 };

	kill(launcher.pid, SIGKILL);
	cr_expect(hook_launcher_run(&launcher, spec, HOOK_POSTSTOP, 0, &err) == -EPIPE);
	cr_expect(strstr(err.text, "does not answer") != NULL, "%s", err.text);
}

Test(hook_launcher, ends_with_its_verb)
{
	CLEANUP(spec_freep)
	struct spec *spec = bundle_spec("{ \"poststop\": [" SHELL("true") "] }");
	int64_t late = deadline_in_ms(20000);
	int pipe_fds[2], status;
	pid_t verb, launcher = 0;

	cr_assert(pipe(pipe_fds) == 0);
	verb = fork();
	if (verb == 0) {
		launcher = start(spec, HOOK_POSTSTOP).pid;
		_exit(write(pipe_fds[1], &launcher, sizeof(launcher)) > 0 ? pause() : 1);
	}
	cr_assert(read(pipe_fds[0], &launcher, sizeof(launcher)) == sizeof(launcher));
	cr_assert(launcher > 1 && kill(launcher, 0) == 0);
	kill(verb, SIGKILL);
	cr_assert(waitpid(verb, &status, 0) == verb);
	for (char path[64], state[64] = ""; strstr(state, "Z") == NULL; usleep(1000)) {
		snprintf(path, sizeof(path), "/proc/%d/status", launcher);
		if (access(path, F_OK) < 0)
			break;
		status_line(path, "\nState:", state, sizeof(state));
		cr_assert(deadline_left_ms(late) > 0, "it lives on");
	}
}
