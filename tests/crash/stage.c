/* The stage of tests that kill things: see stage.h. Used by the programs beside it, as root. */
#include "tests/crash/stage.h"

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
#include "common/privsep.h"
#include "common/str.h"
#include "kata-runtime/store.h"
#include "kata-runtime/uids.h"

enum { SETTLE_MS = 1500, SHIM_MS = 6000, ENDED_KEPT = 1024, VERB_MS = 120000 };

static struct stage *open_stage; /* for stage_die() */

/* How the last orphans ended, the oldest is overwritten. */
static struct {
	pid_t pid;
	int status;
} ended[ENDED_KEPT];
static unsigned n_ended;

void stage_die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("Bail out! ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	if (open_stage != NULL && open_stage->root[0] != '\0')
		stage_runtime(open_stage, "delete", "--force", "c1", NULL);
	if (open_stage != NULL && open_stage->work[0] != '\0')
		stage_remove(open_stage);
	exit(1);
}

/* --- running --------------------------------------------------------------------------------- */

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void note_end(pid_t pid, int status)
{
	ended[n_ended % ENDED_KEPT].pid = pid;
	ended[n_ended++ % ENDED_KEPT].status = exit_status(status);
}

/* Processes whose parent was killed are ours now. */
void stage_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		note_end(pid, status);
}

int stage_ended(pid_t pid)
{
	stage_reap();
	for (unsigned i = 0; i < ENDED_KEPT; i++)
		if (pid > 0 && ended[i].pid == pid)
			return ended[i].status;
	return -1;
}

size_t stage_command(struct stage *stage, char *argv[STAGE_WORDS_MAX])
{
	char *const words[] = { stage->runtime, (char *)"--root", stage->root,
				(char *)"--kata-config", stage->config };

	memcpy(argv, words, sizeof(words));
	return ARRAY_SIZE(words);
}

int stage_wait(pid_t pid, int64_t deadline)
{
	int status;

	while ((status = stage_ended(pid)) < 0 && deadline_left_ms(deadline) > 0)
		usleep(1000);
	/* The number may come again. */
	for (unsigned i = 0; i < ENDED_KEPT && status >= 0; i++)
		if (ended[i].pid == pid)
			ended[i].pid = 0;
	return status;
}

static pid_t begin(const struct stage *stage, char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (dup2(null, 0) < 0 || dup2(stage->log, 1) < 0 || dup2(stage->log, 2) < 0)
			_exit(98);
		if (stage->before_exec != NULL)
			stage->before_exec();
		execvp(argv[0], argv);
		_exit(99);
	}
	return pid;
}

static int run(const struct stage *stage, char *const argv[])
{
	return stage_wait(begin(stage, argv), deadline_in_ms(VERB_MS));
}

pid_t stage_begin(struct stage *stage, char *const words[])
{
	char *argv[STAGE_WORDS_MAX] = { 0 };
	size_t n = stage_command(stage, argv);

	for (size_t i = 0; words[i] != NULL && n + 1 < STAGE_WORDS_MAX; i++)
		argv[n++] = words[i];
	return begin(stage, argv);
}

int stage_runtime(struct stage *stage, const char *verb, ...)
{
	char *words[STAGE_WORDS_MAX] = { (char *)verb };
	va_list args;
	size_t n = 1;

	va_start(args, verb);
	while ((words[n] = va_arg(args, char *)) != NULL && n + 1 < STAGE_WORDS_MAX)
		n++;
	va_end(args);
	return stage_wait(stage_begin(stage, words), deadline_in_ms(VERB_MS));
}

int stage_created(struct stage *stage)
{
	return stage_runtime(stage, "create", "--bundle", stage->bundle, "--pid-file",
			     stage->pid_file, "c1", NULL);
}

int stage_running(struct stage *stage)
{
	int r = stage_created(stage);

	return r != 0 ? r : stage_runtime(stage, "start", "c1", NULL);
}

pid_t stage_shim(const struct stage *stage)
{
	CLEANUP(file_close) FILE *file = fopen(stage->pid_file, "re");
	int pid = 0;

	return file != NULL && fscanf(file, "%d", &pid) == 1 ? pid : 0;
}

/* The shim, which is our child by now, ends soon behind the signal. */
int stage_killed(struct stage *stage)
{
	int r = stage_running(stage);
	int64_t deadline;
	pid_t pid;

	if (r == 0)
		r = stage_runtime(stage, "kill", "c1", "KILL", NULL);
	pid = stage_shim(stage);
	if (r != 0 || pid == 0)
		return 1;
	deadline = deadline_in_ms(SHIM_MS); /* not of the VM's start, which may take as long */
	while (kill(pid, 0) == 0 && deadline_left_ms(deadline) > 0) {
		usleep(2000);
		stage_reap();
	}
	return 0;
}

/* --- telling --------------------------------------------------------------------------------- */

void stage_say_lines(const char *text)
{
	while (*text != '\0') {
		int n = (int)strcspn(text, "\n");

		printf("#   %.*s\n", n, text);
		text += n + (text[n] == '\n');
	}
}

const char *stage_printed(struct stage *stage)
{
	static char text[4096];
	ssize_t n = pread(stage->log, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	if (ftruncate(stage->log, 0) < 0 || lseek(stage->log, 0, SEEK_SET) < 0)
		stage_die("log: %s", strerror(errno));
	return text;
}

bool stage_is_clean(struct stage *stage, char text[STAGE_LEFT_SIZE])
{
	int64_t deadline = deadline_in_ms(SETTLE_MS);

	for (;;) {
		stage_reap();
		if (remains_find(&stage->remains, text, STAGE_LEFT_SIZE) == 0)
			return true;
		if (deadline_left_ms(deadline) == 0)
			return false;
		usleep(10000);
	}
}

/* --- making ---------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		stage_die("%s: %s", path, strerror(errno));
}

/* A network namespace with one interface, as CNI makes it; it lives as long as its holder. */
static void make_network(struct stage *stage)
{
	char *const add_link[] = { "ip", "link", "add", "v0", "type", "veth", "peer", "v1", NULL };
	char *const add_address[] = { "ip", "addr", "add", "10.9.9.2/24", "dev", "v0", NULL };
	char *const up[] = { "ip", "link", "set", "v0", "up", NULL };
	int ready[2];
	char byte, path[64];

	if (pipe2(ready, O_CLOEXEC) < 0)
		stage_die("pipe: %s", strerror(errno));
	stage->holder = fork();
	if (stage->holder == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (unshare(CLONE_NEWNET) < 0 || run(stage, add_link) != 0 ||
		    run(stage, add_address) != 0 || run(stage, up) != 0 ||
		    write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		stage_die("the network namespace could not be made: %s", stage_printed(stage));
	close(ready[0]);
	/* By a name, as CNI has it; the mount is in our own namespace only. */
	snprintf(path, sizeof(path), "/proc/%d/ns/net", stage->holder);
	snprintf(stage->netns_path, sizeof(stage->netns_path), "%.48s/netns", stage->work);
	write_file(stage->netns_path, "");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(path, stage->netns_path, NULL, MS_BIND, NULL) < 0)
		stage_die("%s: %s", stage->netns_path, strerror(errno));
	stage->remains.netns = open(stage->netns_path, O_RDONLY | O_CLOEXEC);
}

static void make_config(const struct stage *stage)
{
	const struct remains *remains = &stage->remains;
	char text[16384], range[64] = "";

	if (stage->uid_blocks > 0)
		snprintf(range, sizeof(range), "%u:%u", remains->first_uid,
			 stage->uid_blocks * UID_BLOCK);
	snprintf(text, sizeof(text),
		 "{ \"hypervisor\": { \"path\": \"%s/tests/crash/fake-vm\", \"accelerator\": "
		 "\"tcg\", "
		 "\"virtio_fs_daemon\": \"%s/tests/crash/fake-vm\", \"kernel\": \"/etc/hostname\", "
		 "\"initrd\": \"/etc/hostname\" }, "
		 "\"proxy\": { \"path\": \"%s/kata-proxy/kata-proxy\", \"worker_crashes\": 1000 }, "
		 "\"shim\": { \"path\": \"%s/kata-shim/kata-shim\" }, "
		 "\"runtime\": { \"log_target\": \"file\", \"log_dir\": \"%s/logs\", "
		 "\"uid_range\": \"%s\" } }\n",
		 stage->build, stage->build, stage->build, stage->build, stage->work, range);
	write_file(stage->config, text);
}

/* The default config.json, without a terminal and in the network namespace. */
static void make_bundle(struct stage *stage)
{
	char path[192];
	struct json_object *spec, *at, *list;

	if (mkdir(stage->bundle, 0700) < 0 ||
	    stage_runtime(stage, "spec", "--bundle", stage->bundle, NULL) != 0)
		stage_die("bundle: %s", stage_printed(stage));
	snprintf(path, sizeof(path), "%s/rootfs", stage->bundle);
	if (stage->rootfs != NULL ? symlink(stage->rootfs, path) < 0 : mkdir(path, 0755) < 0)
		stage_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/config.json", stage->bundle);
	spec = json_object_from_file(path);
	if (spec == NULL)
		stage_die("%s: %s", path, json_util_get_last_err());
	json_object_object_get_ex(spec, "process", &at);
	json_object_object_add(at, "terminal", json_object_new_boolean(false));
	list = json_object_new_array();
	json_object_array_add(list, json_object_new_string("sleep"));
	json_object_array_add(list, json_object_new_string("1000"));
	json_object_object_add(at, "args", list);
	json_object_object_get_ex(spec, "linux", &at);
	json_object_object_get_ex(at, "namespaces", &list);
	for (size_t i = 0; !stage->own_netns && i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i), *type;

		json_object_object_get_ex(item, "type", &type);
		if (str_eq(json_object_get_string(type), "network"))
			json_object_object_add(item, "path",
					       json_object_new_string(stage->netns_path));
	}
	if (json_object_to_file(path, spec) < 0)
		stage_die("%s: %s", path, json_util_get_last_err());
	json_object_put(spec);
}

void stage_make(struct stage *stage)
{
	const char *build = getenv("KATA_BUILD"), *installed = getenv("KATA_RUNTIME");
	char left[STAGE_LEFT_SIZE];
	struct uid_range range;
	struct error err;

	open_stage = stage;
	if (stage->installed_config != NULL ? installed == NULL || stage->rootfs == NULL
					    : build == NULL)
		stage_die("KATA_BUILD is not set, or KATA_RUNTIME, --config and --rootfs are not");
	if (getuid() != 0)
		stage_die("needs root");
	/* Orphans come to us, so that one that does not end is seen. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	snprintf(stage->work, sizeof(stage->work), "/tmp/kata-crash.XXXXXX");
	if (mkdtemp(stage->work) == NULL)
		stage_die("%s: %s", stage->work, strerror(errno));
	if (stage->installed_config != NULL) {
		snprintf(stage->runtime, sizeof(stage->runtime), "%s", installed);
		snprintf(stage->config, sizeof(stage->config), "%s", stage->installed_config);
	} else {
		snprintf(stage->build, sizeof(stage->build), "%s", build);
		snprintf(stage->runtime, sizeof(stage->runtime), "%s/kata-runtime/kata-runtime",
			 build);
		snprintf(stage->config, sizeof(stage->config), "%s/configuration.json",
			 stage->work);
	}
	snprintf(stage->bundle, sizeof(stage->bundle), "%s/bundle", stage->work);
	snprintf(stage->root, sizeof(stage->root), "%s/root", stage->work);
	snprintf(stage->pid_file, sizeof(stage->pid_file), "%s/pid", stage->work);
	stage->log = memfd_create("log", MFD_CLOEXEC);
	if (uids_find_range("", &range, &err) < 0)
		stage_die("%s", err.text);
	stage->remains = (struct remains){ .base = STORE_BASE,
					   .root = stage->root,
					   .work = stage->work,
					   .program = "fake-vm",
					   .first_uid = range.start,
					   .n_uids = range.count,
					   .netns = -1 };
	if (stage->installed_config != NULL)
		stage->remains.program = "qemu-system-x86_64";
	make_network(stage);
	if (stage->installed_config == NULL)
		make_config(stage);
	make_bundle(stage);
	if (remains_find(&stage->remains, left, sizeof(left)) != 0)
		stage_die("this host has sandboxes already: %s", left);
}

int stage_remove(struct stage *stage)
{
	char *remove[] = { (char *)"rm", (char *)"-rf", stage->work, NULL };

	if (stage->holder > 0)
		kill(stage->holder, SIGKILL);
	umount2(stage->netns_path, MNT_DETACH);
	return run(stage, remove);
}
