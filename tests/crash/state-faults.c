/*
 * What can happen to the state on disk: damaged files, several verbs at once, a pid that is another
 * process's by now, a /run that is empty since the host was started again.
 *
 *	state-faults                                with fakes
 *	state-faults --config FILE --rootfs DIR     $KATA_RUNTIME, with real VMs
 *
 * A line of TAP each. Needs root, and $KATA_BUILD for the fakes. /run is a file system of our own.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "kata-runtime/store.h"
#include "tests/crash/stage.h"
#include "tests/crash/traced.h"
#include "tests/crash/victims.h"

enum {
	DELETE_MS = 2000,
	AT_ONCE = 6,
	VERB_MS = 60000,
	FIRST_MS = 300, /* for the second to do what it does */
};

static struct stage stage;
static bool failed;

static __attribute__((format(printf, 2, 3))) void must(bool holds, const char *fmt, ...)
{
	va_list args;

	if (holds)
		return;
	printf("# ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	failed = true;
}

static void make_running(void)
{
	unlink(stage.pid_file);
	stage_printed(&stage);
	if (stage_running(&stage) != 0)
		stage_die("the container could not be made: %s", stage_printed(&stage));
	stage_printed(&stage);
}

/* delete --force always works, and leaves nothing. */
static void remove_all(void)
{
	char left[STAGE_LEFT_SIZE];
	int64_t since = deadline_now_ms();
	int status = stage_runtime(&stage, "delete", "--force", "c1", NULL);

	must(status == 0, "delete --force exits with %d: %s", status, stage_printed(&stage));
	must(deadline_now_ms() - since <= DELETE_MS, "delete --force took %lld ms",
	     (long long)(deadline_now_ms() - since));
	if (!stage_is_clean(&stage, left))
		stage_die("left behind: %s", left);
}

/* --- damage ---------------------------------------------------------------------------------- */

static void write_text(const char *path, const char *text, size_t len)
{
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		stage_die("%s: %s", path, strerror(errno));
}

static size_t read_text(const char *path, char *text, size_t size)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size);

	if (n <= 0)
		stage_die("%s: %s", path, strerror(errno));
	return (size_t)n;
}

static void truncate_it(const char *path)
{
	char text[16384];
	size_t len = read_text(path, text, sizeof(text));

	write_text(path, text, len / 2);
}

static void empty_it(const char *path)
{
	write_text(path, "", 0);
}

static void corrupt(const char *path)
{
	char text[16384];
	size_t len = read_text(path, text, sizeof(text));

	for (size_t i = len / 3; i < len / 3 + 32 && i < len; i++)
		text[i] ^= (char)0x95;
	write_text(path, text, len);
}

static void make_newer(const char *path)
{
	struct json_object *state = json_object_from_file(path);

	json_object_object_add(state, "version", json_object_new_int(99));
	if (json_object_to_file(path, state) < 0)
		stage_die("%s: %s", path, json_util_get_last_err());
	json_object_put(state);
}

static void give_away(const char *path)
{
	if (chown(path, 65534, 65534) < 0)
		stage_die("%s: %s", path, strerror(errno));
}

static void open_to_all(const char *path)
{
	if (chmod(path, 0666) < 0)
		stage_die("%s: %s", path, strerror(errno));
}

static void remove_it(const char *path)
{
	unlink(path);
}

static void replace_by_link(const char *path)
{
	unlink(path);
	if (symlink("/etc/passwd", path) < 0)
		stage_die("%s: %s", path, strerror(errno));
}

/* What is done to state.json, and words that an error about it has. */
static const struct {
	const char *name;
	void (*damage)(const char *path);
	const char *words;
	bool both; /* to intent.json, too */
} damages[] = {
	{ "truncated", truncate_it, "state.json", false },
	{ "truncated, and so is the intent", truncate_it, "state.json", true },
	{ "empty", empty_it, "state.json", false },
	{ "corrupted", corrupt, "state.json", true },
	{ "of a newer version", make_newer, "version is 99, this program knows", true },
	{ "of another owner", give_away, "others may write it", true },
	{ "open to all", open_to_all, "others may write it", true },
	{ "gone", remove_it, "state.json", true },
	{ "a link", replace_by_link, "state.json", true },
};

static void try_damage(size_t i)
{
	char path[192], intent[192];
	const char *said;

	make_running();
	snprintf(path, sizeof(path), "%s/c1/state.json", stage.root);
	snprintf(intent, sizeof(intent), "%s/c1/intent.json", stage.root);
	damages[i].damage(path);
	if (damages[i].both)
		damages[i].damage(intent);
	must(stage_runtime(&stage, "state", "c1", NULL) == 1, "state does not fail");
	said = stage_printed(&stage);
	must(strstr(said, "the state of the container cannot be used") != NULL &&
		     strstr(said, damages[i].words) != NULL,
	     "state says: %s", said);
	must(stage_runtime(&stage, "kill", "c1", "KILL", NULL) == 1, "kill does not fail");
	must(stage_runtime(&stage, "start", "c1", NULL) == 1, "start does not fail");
	must(stage_runtime(&stage, "delete", "c1", NULL) == 1, "delete does not fail");
	must(stage_created(&stage) == 1, "the id can be used again");
	stage_printed(&stage);
	must(stage_runtime(&stage, "list", NULL) == 0, "list fails");
	said = stage_printed(&stage);
	must(strstr(said, "container c1: ") != NULL, "list says: %s", said);
	remove_all();
}

/* --- several at once ------------------------------------------------------------------------- */

/* How many of AT_ONCE calls of a verb, begun together, succeed. */
static int race(char *const words[])
{
	pid_t pids[AT_ONCE];
	int won = 0;

	for (int i = 0; i < AT_ONCE; i++)
		pids[i] = stage_begin(&stage, words);
	for (int i = 0; i < AT_ONCE; i++) {
		int status = stage_wait(pids[i], deadline_in_ms(VERB_MS));

		must(status == 0 || status == 1, "%s exits with %d", words[0], status);
		won += status == 0;
	}
	return won;
}

static void try_races(void)
{
	char *const create[] = {
		(char *)"create", (char *)"--bundle", stage.bundle, (char *)"--pid-file",
		stage.pid_file,   (char *)"c1",       NULL
	};
	char *const start[] = { (char *)"start", (char *)"c1", NULL };
	char *const delete[] = { (char *)"delete", (char *)"c1", NULL };
	char *const force[] = { (char *)"delete", (char *)"--force", (char *)"c1", NULL };
	char left[STAGE_LEFT_SIZE];
	int won;

	unlink(stage.pid_file);
	won = race(create);
	must(won == 1, "%d of %d create succeed", won, AT_ONCE);
	won = race(start);
	must(won == 1, "%d of %d start succeed", won, AT_ONCE);
	must(stage_runtime(&stage, "exec", "c1", "true", NULL) == 0, "no exec: %s",
	     stage_printed(&stage));
	must(stage_runtime(&stage, "kill", "c1", "KILL", NULL) == 0, "kill fails");
	for (int i = 0; i < 1000 && stage_ended(stage_shim(&stage)) < 0; i++)
		usleep(5000);
	won = race(delete);
	must(won == 1, "%d of %d delete succeed", won, AT_ONCE);
	if (!stage_is_clean(&stage, left))
		stage_die("left behind: %s", left);
	make_running();
	won = race(force);
	must(won == AT_ONCE, "%d of %d delete --force succeed: %s", won, AT_ONCE,
	     stage_printed(&stage));
	remove_all();
}

/* Stopped at the first call of one kind behind the first of another. */
struct stop_at {
	struct traced traced;
	long after, at;
	bool seen;
};

static bool is_there(void *userdata)
{
	struct stop_at *s = userdata;

	if (s->seen)
		return s->traced.call == s->at;
	s->seen = s->traced.call == s->after;
	return false;
}

static pid_t begin_stopped(long after, long at, const char *const words[])
{
	struct stop_at s = { .after = after, .at = at };
	char *argv[STAGE_WORDS_MAX] = { 0 };
	size_t n = stage_command(&stage, argv);

	s.traced = (struct traced){ .set = TRACED_ALL,
				    .stdout_fd = stage.log,
				    .act = is_there,
				    .userdata = &s,
				    .stop = true };
	for (size_t i = 0; words[i] != NULL; i++)
		argv[n++] = (char *)words[i];
	if (!traced_run(&s.traced, argv) || s.traced.pid == 0)
		stage_die("%s was not stopped: %s", words[0], stage_printed(&stage));
	return s.traced.pid;
}

/*
 * A verb hangs with the lock; one delete has seen that, and before it looks who it is another one
 * has killed that verb and has the lock itself.
 */
static void try_force_beside_holder(void)
{
	static const char *const start[] = { "start", "c1", NULL };
	static const char *const force[] = { "delete", "--force", "c1", NULL };
	pid_t holder, first, second;
	int status;

	unlink(stage.pid_file);
	if (stage_created(&stage) != 0)
		stage_die("the container could not be made: %s", stage_printed(&stage));
	holder = begin_stopped(SYS_ftruncate, SYS_fsync, start);
	usleep((STORE_HOLDER_OLD_MS + 100) * 1000); /* as old as nobody is by right */
	second = begin_stopped(SYS_flock, SYS_close, force);
	first = begin_stopped(SYS_ftruncate, SYS_pidfd_send_signal, force);
	status = stage_wait(holder, deadline_in_ms(DELETE_MS));
	must(status == 128 + SIGKILL, "the holder ends with %d", status);
	kill(second, SIGCONT);
	usleep(FIRST_MS * 1000);
	kill(first, SIGCONT);
	status = stage_wait(first, deadline_in_ms(VERB_MS));
	must(status == 0, "the first delete ends with %d: %s", status, stage_printed(&stage));
	status = stage_wait(second, deadline_in_ms(VERB_MS));
	must(status == 0, "the second delete ends with %d: %s", status, stage_printed(&stage));
	remove_all();
}

/* No process of the container is left, as after a start of the host. */
static void end_all_processes(void)
{
	int64_t deadline = deadline_in_ms(DELETE_MS * 2);
	char left[STAGE_LEFT_SIZE];

	victim_strike(&stage, VICTIM_MONITOR, KILLED);
	do {
		usleep(5000);
		stage_reap();
		remains_find(&stage.remains, left, sizeof(left));
	} while (strstr(left, "process ") != NULL && deadline_left_ms(deadline) > 0);
	must(strstr(left, "process ") == NULL, "without its monitor there is: %s", left);
}

/* --- another process's pid ------------------------------------------------------------------- */

/* The numbers of shim and monitor belong to a bystander, who began at another time. */
static void try_pid_reuse(void)
{
	static const char *const names[] = { "shim", "monitor" };
	struct json_object *state, *ref;
	pid_t bystander = fork();
	char path[192];

	if (bystander == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	usleep(50000); /* start times are told in hundredths of a second */
	make_running();
	end_all_processes();
	snprintf(path, sizeof(path), "%s/c1/state.json", stage.root);
	state = json_object_from_file(path);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (json_object_object_get_ex(state, names[i], &ref))
			json_object_object_add(ref, "pid", json_object_new_int(bystander));
	if (json_object_to_file(path, state) < 0)
		stage_die("%s: %s", path, json_util_get_last_err());
	json_object_put(state);
	stage_printed(&stage);
	must(stage_runtime(&stage, "state", "c1", NULL) == 0, "state fails");
	must(strstr(stage_printed(&stage), "\"status\": \"stopped\"") != NULL, "it lives");
	must(stage_runtime(&stage, "kill", "c1", "KILL", NULL) == 1, "kill does not fail");
	remove_all();
	must(stage_ended(bystander) < 0, "the bystander was killed");
	kill(bystander, SIGKILL);
	stage_wait(bystander, deadline_in_ms(VERB_MS));
}

/* --- the host was started again --------------------------------------------------------------- */

static void try_empty_run(void)
{
	char *const command[] = { (char *)"rm", (char *)"-rf", (char *)"/run/kata-containers",
				  stage.root, NULL };
	pid_t pid;

	make_running();
	end_all_processes();
	pid = fork();
	if (pid == 0) {
		execvp(command[0], command);
		_exit(99);
	}
	must(stage_wait(pid, deadline_in_ms(VERB_MS)) == 0, "rm fails");
	stage_printed(&stage);
	must(stage_runtime(&stage, "list", NULL) == 0, "list fails: %s", stage_printed(&stage));
	must(stage_runtime(&stage, "state", "c1", NULL) == 1, "state does not fail");
	must(strstr(stage_printed(&stage), "container does not exist: c1") != NULL,
	     "no word of it");
	must(stage_runtime(&stage, "delete", "--force", "c1", NULL) == 0, "delete --force fails");
	/* The cgroups would be gone too; here gc finds them. */
	must(stage_runtime(&stage, "gc", NULL) == 0, "gc fails: %s", stage_printed(&stage));
	make_running();
	must(stage_runtime(&stage, "exec", "c1", "true", NULL) == 0, "no exec: %s",
	     stage_printed(&stage));
	remove_all();
}

/* --- all ------------------------------------------------------------------------------------- */

static unsigned tests, failures;

static void report(const char *what, const char *more)
{
	printf("%s %u - %s%s\n", failed ? "not ok" : "ok", ++tests, what, more);
	fflush(stdout);
	failures += failed;
	failed = false;
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (str_eq(argv[i], "--config"))
			stage.installed_config = argv[i + 1];
		else if (str_eq(argv[i], "--rootfs"))
			stage.rootfs = argv[i + 1];
	}
	stage_make(&stage);
	if (mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755") < 0)
		stage_die("/run: %s", strerror(errno));
	printf("1..%zu\n", ARRAY_SIZE(damages) + 4);
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		try_damage(i);
		report("state.json is ", damages[i].name);
	}
	try_races();
	report("verbs at once: one wins", "");
	try_force_beside_holder();
	report("two delete --force beside a verb that hangs", "");
	try_pid_reuse();
	report("a pid of another process is left alone", "");
	try_empty_run();
	report("an empty /run", "");
	return stage_remove(&stage) == 0 && failures == 0 ? 0 : 1;
}
