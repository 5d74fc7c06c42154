/*
 * Kill points: kata-runtime is killed at, and made to fail at, one system call after the other of
 * create, start, exec, kill and delete; whatever the point, `delete --force` then succeeds within
 * two seconds and nothing is left. QEMU, virtiofsd and the agent are fake-vm, all else is real.
 *
 *	crash-points [--all] [VERB...]    a line of TAP for each verb and way
 *	crash-points --sample N --config FILE --rootfs DIR [VERB...]
 *
 * Without --all: SIGKILL at every call that has an effect, since between two of them it makes no
 * difference, and at each call that may fail one error, in turn. With --all: SIGKILL at every call,
 * and each of the errors. --sample: $KATA_RUNTIME with real VMs, killed at N of the calls. Needs
 * root, and $KATA_BUILD for the fakes.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "kata-runtime/store.h"
#include "kata-runtime/uids.h"
#include "tests/crash/remains.h"
#include "tests/crash/traced.h"

enum { DELETE_MS = 2000, SETTLE_MS = 1500, FAILURES_SHOWN = 5 };

static struct {
	char work[64], build[3000], netns_path[64];
	char runtime[4096], config[4096], bundle[128], root[128], pid_file[128];
	pid_t holder; /* of the network namespace */
	int log;      /* what the runtime prints */
	struct remains remains;
	bool all;
	unsigned sample;    /* points for each verb, with real VMs; 0: all, with fakes */
	const char *rootfs; /* of the real ones */
	int64_t slowest_ms; /* delete --force */
	unsigned tests, failures_here;
} rig;

static const int errors[] = { ENOSPC, EMFILE, EIO, ENOMEM };

static _Noreturn void give_up(void);

static __attribute__((format(printf, 1, 2), noreturn)) void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("Bail out! ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	give_up();
}

/* --- running --------------------------------------------------------------------------------- */

/* Processes whose parent was killed are ours now. */
static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
}

enum { WORDS_MAX = 16 };

/* The runtime with its global options: how many words that are. */
static size_t command_line(char *argv[WORDS_MAX])
{
	char *const words[] = { rig.runtime, (char *)"--root", rig.root, (char *)"--kata-config",
				rig.config };

	memcpy(argv, words, sizeof(words));
	return ARRAY_SIZE(words);
}

/*
 * Reaps the orphans meanwhile, as whoever gets them has to: a pid namespace does not end before the
 * last zombie in it is gone.
 */
static int wait_for(pid_t pid)
{
	int status;
	pid_t ended;

	while ((ended = waitpid(-1, &status, 0)) != pid)
		if (ended < 0 && errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (dup2(null, 0) < 0 || dup2(rig.log, 1) < 0 || dup2(rig.log, 2) < 0)
			_exit(98);
		execvp(argv[0], argv);
		_exit(99);
	}
	return wait_for(pid);
}

/* The words end with a NULL. */
static int runtime(const char *verb, ...)
{
	char *argv[WORDS_MAX];
	size_t n = command_line(argv);
	va_list words;

	argv[n++] = (char *)verb;
	va_start(words, verb);
	while ((argv[n] = va_arg(words, char *)) != NULL && n + 1 < WORDS_MAX)
		n++;
	va_end(words);
	return run(argv);
}

/* As far as that goes, nothing stays behind a test that ends early. */
static _Noreturn void give_up(void)
{
	char *remove[] = { (char *)"rm", (char *)"-rf", rig.work, NULL };

	if (rig.runtime[0] != '\0')
		runtime("delete", "--force", "c1", NULL);
	if (rig.work[0] != '\0')
		run(remove);
	exit(1);
}

/* --- verbs ----------------------------------------------------------------------------------- */

static int make_created(void)
{
	return runtime("create", "--bundle", rig.bundle, "--pid-file", rig.pid_file, "c1", NULL);
}

static int make_running(void)
{
	int r = make_created();

	return r != 0 ? r : runtime("start", "c1", NULL);
}

static int make_nothing(void)
{
	return 0;
}

/* The shim, which is our child by now, ends soon behind the signal. */
static int make_killed(void)
{
	int64_t deadline = deadline_in_ms(SETTLE_MS * 4);
	int pid = 0, r = make_running();
	FILE *file;

	if (r == 0)
		r = runtime("kill", "c1", "KILL", NULL);
	file = fopen(rig.pid_file, "re");
	if (r != 0 || file == NULL || fscanf(file, "%d", &pid) != 1)
		r = 1;
	if (file != NULL)
		fclose(file);
	while (r == 0 && kill(pid, 0) == 0 && deadline_left_ms(deadline) > 0) {
		usleep(2000);
		reap();
	}
	return r;
}

static const struct verb {
	const char *name;
	int (*before)(void);
	const char *words[8];
} verbs[] = {
	{ "create",
	  make_nothing,
	  { "create", "--bundle", rig.bundle, "--pid-file", rig.pid_file, "c1" } },
	{ "start", make_created, { "start", "c1" } },
	{ "exec", make_running, { "exec", "c1", "true" } },
	{ "kill", make_running, { "kill", "c1", "KILL" } },
	{ "delete", make_killed, { "delete", "c1" } },
	{ "delete --force", make_running, { "delete", "--force", "c1" } },
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
	if (rig.failures_here > FAILURES_SHOWN)
		return;
	while (*text != '\0') {
		int n = (int)strcspn(text, "\n");

		printf("#   %.*s\n", n, text);
		text += n + (text[n] == '\n');
	}
}

/* What the runtime printed since the last call. */
static const char *printed(void)
{
	static char text[4096];
	ssize_t n = pread(rig.log, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	if (ftruncate(rig.log, 0) < 0 || lseek(rig.log, 0, SEEK_SET) < 0)
		die("log: %s", strerror(errno));
	return text;
}

/* Nothing is left, at once or when what was killed has come to its end. */
static bool is_clean(char *text, size_t size)
{
	int64_t deadline = deadline_in_ms(SETTLE_MS);

	for (;;) {
		reap();
		if (remains_find(&rig.remains, text, size) == 0)
			return true;
		if (deadline_left_ms(deadline) == 0)
			return false;
		usleep(10000);
	}
}

static void clean_up(const struct verb *verb, const struct traced *t)
{
	static char left[16384];
	int64_t since = deadline_now_ms(), took;
	int status;

	status = runtime("delete", "--force", "c1", NULL);
	took = deadline_now_ms() - since;
	rig.slowest_ms = took > rig.slowest_ms ? took : rig.slowest_ms;
	if (status != 0) {
		complain(verb, t, "delete --force exits with %d", status);
		say_lines(printed());
	}
	if (took > DELETE_MS)
		complain(verb, t, "delete --force took %lld ms", (long long)took);
	if (!is_clean(left, sizeof(left))) {
		complain(verb, t, "left behind:");
		say_lines(left);
		die("what is left would be found again behind every other point");
	}
}

/* Whether the call was reached. */
static bool try_point(const struct verb *verb, struct traced *t)
{
	static char left[16384];
	char *argv[WORDS_MAX] = { 0 };
	size_t n = command_line(argv);

	for (size_t i = 0; i < ARRAY_SIZE(verb->words) && verb->words[i] != NULL; i++)
		argv[n++] = (char *)verb->words[i];
	printed();
	if (verb->before() != 0)
		die("%s: the container could not be made: %s", verb->name, printed());
	printed();
	if (!traced_run(t, argv))
		die("%s cannot be traced", rig.runtime);
	if (!t->reached && (!WIFEXITED(t->status) || WEXITSTATUS(t->status) != 0))
		complain(verb, t, "fails by itself (status 0x%x): %s", t->status, printed());
	/* A create that could say that it failed has taken everything back. */
	if (t->reached && t->errnum != 0 && str_eq(verb->name, "create") && WIFEXITED(t->status) &&
	    WEXITSTATUS(t->status) != 0 && !is_clean(left, sizeof(left))) {
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
	struct traced t = { .set = TRACED_EFFECTS, .stdout_fd = rig.log };
	unsigned total;

	try_point(verb, &t); /* to its end */
	total = t.count;
	for (unsigned i = 1; i <= rig.sample; i++) {
		t.point = total * i / rig.sample;
		try_point(verb, &t);
	}
	report(verb, "killed", rig.sample);
}

static void try_verb(const struct verb *verb)
{
	struct traced t = { .set = rig.all ? TRACED_ALL : TRACED_EFFECTS, .stdout_fd = rig.log };
	unsigned points = 0;

	for (t.point = 1; try_point(verb, &t); t.point++)
		points++;
	report(verb, "killed", points);
	points = 0;
	t.set = TRACED_FALLIBLE;
	for (size_t turn = 0; turn < (rig.all ? ARRAY_SIZE(errors) : 1); turn++) {
		t.errnum = errors[turn];
		for (t.point = 1; try_point(verb, &t); t.point++) {
			points++;
			t.errnum = errors[(turn + (rig.all ? 0 : points)) % ARRAY_SIZE(errors)];
		}
	}
	report(verb, "failing", points);
}

/* --- the stage ------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("%s: %s", path, strerror(errno));
}

/* A network namespace with one interface, as CNI makes it; it lives as long as its holder. */
static void make_network(void)
{
	char *const add_link[] = { "ip", "link", "add", "v0", "type", "veth", "peer", "v1", NULL };
	char *const add_address[] = { "ip", "addr", "add", "10.9.9.2/24", "dev", "v0", NULL };
	char *const up[] = { "ip", "link", "set", "v0", "up", NULL };
	int ready[2];
	char byte, path[64];

	if (pipe2(ready, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	rig.holder = fork();
	if (rig.holder == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (unshare(CLONE_NEWNET) < 0 || run(add_link) != 0 || run(add_address) != 0 ||
		    run(up) != 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("the network namespace could not be made: %s", printed());
	close(ready[0]);
	/* By a name, as CNI has it; the mount is in our own namespace only. */
	snprintf(path, sizeof(path), "/proc/%d/ns/net", rig.holder);
	snprintf(rig.netns_path, sizeof(rig.netns_path), "%.48s/netns", rig.work);
	write_file(rig.netns_path, "");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(path, rig.netns_path, NULL, MS_BIND, NULL) < 0)
		die("%s: %s", rig.netns_path, strerror(errno));
	rig.remains.netns = open(rig.netns_path, O_RDONLY | O_CLOEXEC);
}

static void make_config(void)
{
	char text[16384];

	snprintf(text, sizeof(text),
		 "{ \"hypervisor\": { \"path\": \"%s/tests/crash/fake-vm\", \"accelerator\": "
		 "\"tcg\", "
		 "\"virtio_fs_daemon\": \"%s/tests/crash/fake-vm\", \"kernel\": \"/etc/hostname\", "
		 "\"initrd\": \"/etc/hostname\" }, "
		 "\"proxy\": { \"path\": \"%s/kata-proxy/kata-proxy\" }, "
		 "\"shim\": { \"path\": \"%s/kata-shim/kata-shim\" }, "
		 "\"runtime\": { \"log_target\": \"file\", \"log_dir\": \"%s/logs\" } }\n",
		 rig.build, rig.build, rig.build, rig.build, rig.work);
	write_file(rig.config, text);
}

/* The default config.json, without a terminal and in the network namespace. */
static void make_bundle(void)
{
	char path[192];
	struct json_object *spec, *at, *list;

	if (mkdir(rig.bundle, 0700) < 0 || runtime("spec", "--bundle", rig.bundle, NULL) != 0)
		die("bundle: %s", printed());
	snprintf(path, sizeof(path), "%s/rootfs", rig.bundle);
	if (rig.rootfs != NULL ? symlink(rig.rootfs, path) < 0 : mkdir(path, 0755) < 0)
		die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/config.json", rig.bundle);
	spec = json_object_from_file(path);
	if (spec == NULL)
		die("%s: %s", path, json_util_get_last_err());
	json_object_object_get_ex(spec, "process", &at);
	json_object_object_add(at, "terminal", json_object_new_boolean(false));
	list = json_object_new_array();
	json_object_array_add(list, json_object_new_string("sleep"));
	json_object_array_add(list, json_object_new_string("1000"));
	json_object_object_add(at, "args", list);
	json_object_object_get_ex(spec, "linux", &at);
	json_object_object_get_ex(at, "namespaces", &list);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i), *type;

		json_object_object_get_ex(item, "type", &type);
		if (str_eq(json_object_get_string(type), "network"))
			json_object_object_add(item, "path",
					       json_object_new_string(rig.netns_path));
	}
	if (json_object_to_file(path, spec) < 0)
		die("%s: %s", path, json_util_get_last_err());
	json_object_put(spec);
}

static void make_stage(void)
{
	const char *build = getenv("KATA_BUILD"), *installed = getenv("KATA_RUNTIME");
	struct uid_range range;
	struct error err;

	if (rig.sample > 0 ? installed == NULL || rig.config[0] == '\0' || rig.rootfs == NULL
			   : build == NULL)
		die("KATA_BUILD is not set, or KATA_RUNTIME, --config and --rootfs are not");
	if (getuid() != 0)
		die("needs root");
	/* Orphans come to us, so that one that does not end is seen. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	snprintf(rig.work, sizeof(rig.work), "/tmp/kata-crash.XXXXXX");
	if (mkdtemp(rig.work) == NULL)
		die("%s: %s", rig.work, strerror(errno));
	if (rig.sample > 0) {
		snprintf(rig.runtime, sizeof(rig.runtime), "%s", installed);
	} else {
		snprintf(rig.build, sizeof(rig.build), "%s", build);
		snprintf(rig.runtime, sizeof(rig.runtime), "%s/kata-runtime/kata-runtime", build);
		snprintf(rig.config, sizeof(rig.config), "%s/configuration.json", rig.work);
	}
	snprintf(rig.bundle, sizeof(rig.bundle), "%s/bundle", rig.work);
	snprintf(rig.root, sizeof(rig.root), "%s/root", rig.work);
	snprintf(rig.pid_file, sizeof(rig.pid_file), "%s/pid", rig.work);
	rig.log = memfd_create("log", MFD_CLOEXEC);
	if (uids_find_range("", &range, &err) < 0)
		die("%s", err.text);
	rig.remains = (struct remains){ .base = STORE_BASE,
					.root = rig.root,
					.work = rig.work,
					.program = "fake-vm",
					.first_uid = range.start,
					.n_uids = range.count,
					.netns = -1 };
	if (rig.sample > 0)
		rig.remains.program = "qemu-system-x86_64";
	make_network();
	if (rig.sample == 0)
		make_config();
	make_bundle();
}

int main(int argc, char **argv)
{
	static char left[16384];
	char *remove[] = { "rm", "-rf", rig.work, NULL };
	unsigned planned = 0;
	bool named = false;

	for (int i = 1; i < argc; i++) {
		if (str_eq(argv[i], "--all"))
			rig.all = true;
		else if (str_eq(argv[i], "--sample") && i + 1 < argc)
			rig.sample = (unsigned)atoi(argv[++i]);
		else if (str_eq(argv[i], "--config") && i + 1 < argc)
			snprintf(rig.config, sizeof(rig.config), "%s", argv[++i]);
		else if (str_eq(argv[i], "--rootfs") && i + 1 < argc)
			rig.rootfs = argv[++i];
		else
			named = true;
	}
	make_stage();
	if (remains_find(&rig.remains, left, sizeof(left)) != 0)
		die("this host has sandboxes already: %s", left);
	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
			bool wanted = !named;

			for (int k = 1; k < argc; k++)
				wanted = wanted || str_eq(argv[k], verbs[i].name);
			if (wanted && pass == 0)
				planned += rig.sample > 0 ? 1 : 2;
			else if (wanted && rig.sample > 0)
				try_sample(&verbs[i]);
			else if (wanted)
				try_verb(&verbs[i]);
		}
		if (pass == 0)
			printf("1..%u\n", planned);
	}
	printf("# the slowest delete --force took %lld ms\n", (long long)rig.slowest_ms);
	kill(rig.holder, SIGKILL);
	umount2(rig.netns_path, MNT_DETACH);
	return run(remove) == 0 ? 0 : 1;
}
