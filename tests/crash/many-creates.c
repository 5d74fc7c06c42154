/*
 * As many creates at the same time as there are blocks of uids, 60: the real runtime, monitors,
 * workers and shims, between fakes (stage.h). Each VM gets a block of its own, the next one an
 * error that says why; when every process is killed at once, all blocks are free. Called by
 * tests/run; needs root.
 */
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/privsep.h"
#include "common/str.h"
#include "kata-runtime/store.h"
#include "kata-runtime/uids.h"
#include "tests/crash/stage.h"

enum {
	VMS = 60,
	VERB_MS = 120000, /* for what hangs only */
	KILLED_MS = 10000,
};

static struct {
	struct stage stage;
	unsigned tests, failures;
	bool failed; /* the test under way */
} rig = { .stage = { .own_netns = true, .uid_blocks = VMS } };

static __attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...)
{
	va_list args;

	rig.failed = true;
	va_start(args, fmt);
	printf("# ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
}

static void report(const char *what)
{
	printf("%s %u - %s\n", rig.failed ? "not ok" : "ok", ++rig.tests, what);
	fflush(stdout);
	rig.failures += rig.failed;
	rig.failed = false;
}

/* --- verbs ----------------------------------------------------------------------------------- */

static void name_of(unsigned i, char name[16])
{
	snprintf(name, 16, "c%u", i);
}

static void pid_file_of(unsigned i, char path[128])
{
	snprintf(path, 128, "%s/pid.%u", rig.stage.work, i);
}

static pid_t begin_create(unsigned i)
{
	char name[16], pid_file[128];
	char *const words[] = { (char *)"create",
				(char *)"--bundle",
				rig.stage.bundle,
				(char *)"--pid-file",
				pid_file,
				name,
				NULL };

	name_of(i, name);
	pid_file_of(i, pid_file);
	return stage_begin(&rig.stage, words);
}

static pid_t begin_delete(unsigned i)
{
	char name[16];
	char *const words[] = { (char *)"delete", (char *)"--force", name, NULL };

	name_of(i, name);
	return stage_begin(&rig.stage, words);
}

/* The verb of all containers at once. */
static void all(const char *what, pid_t (*begin)(unsigned i))
{
	int64_t since = deadline_now_ms(), deadline = deadline_in_ms(VERB_MS);
	pid_t pids[VMS];

	for (unsigned i = 0; i < VMS; i++)
		pids[i] = begin(i);
	for (unsigned i = 0; i < VMS; i++) {
		int status = stage_wait(pids[i], deadline);

		if (status != 0)
			complain("%s of c%u: status %d", what, i, status);
	}
	if (rig.failed)
		stage_say_lines(stage_printed(&rig.stage));
	printf("# %d times %s took %lld ms\n", VMS, what, (long long)(deadline_now_ms() - since));
}

/* --- what is seen in /proc ------------------------------------------------------------------- */

static void for_each_process(void (*each)(pid_t pid, void *context), void *context)
{
	CLEANUP(dir_close) DIR *proc = opendir("/proc");
	struct dirent *entry;
	uint64_t pid;

	while (proc != NULL && (entry = readdir(proc)) != NULL)
		if (str_to_u64(entry->d_name, INT32_MAX, &pid) == 0)
			each((pid_t)pid, context);
}

static bool uid_of(pid_t pid, uid_t *ret)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st) < 0)
		return false;
	*ret = st.st_uid;
	return true;
}

static void count_user(pid_t pid, void *context)
{
	unsigned(*users)[UID_BLOCK] = context;
	uid_t uid;

	if (!uid_of(pid, &uid) || uid < rig.stage.remains.first_uid)
		return;
	uid -= rig.stage.remains.first_uid;
	if (uid < VMS * UID_BLOCK)
		users[uid / UID_BLOCK][uid % UID_BLOCK]++;
}

/* Orphans come to us: whatever a create started has us above it. */
static bool is_descendant(pid_t pid)
{
	while (pid > 1 && pid != getpid()) {
		CLEANUP(file_close) FILE *file = NULL;
		char path[32], line[512];
		const char *paren;
		int parent = 0;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		file = fopen(path, "re");
		if (file == NULL || fgets(line, sizeof(line), file) == NULL)
			return false;
		paren = strrchr(line, ')');
		if (paren == NULL || sscanf(paren, ") %*c %d", &parent) != 1)
			return false;
		pid = parent;
	}
	return pid == getpid();
}

static void kill_ours(pid_t pid, void *context)
{
	unsigned *killed = context;

	if (pid == getpid() || pid == rig.stage.holder || !is_descendant(pid))
		return;
	if (kill(pid, SIGKILL) == 0)
		++*killed;
}

/* --- the tests ------------------------------------------------------------------------------- */

static void each_has_its_own(void)
{
	static unsigned users[VMS][UID_BLOCK];
	bool taken[VMS] = { false };

	memset(users, 0, sizeof(users));
	all("create", begin_create);
	for (unsigned i = 0; i < VMS; i++) {
		pid_t shim;
		uid_t uid;

		pid_file_of(i, rig.stage.pid_file);
		shim = stage_shim(&rig.stage);
		if (shim == 0 || !uid_of(shim, &uid)) {
			complain("c%u has no shim", i);
			continue;
		}
		uid -= rig.stage.remains.first_uid;
		if (uid >= VMS * UID_BLOCK || uid % UID_BLOCK != UID_SHIM)
			complain("the shim of c%u is uid %u of the range", i, uid);
		else if (taken[uid / UID_BLOCK])
			complain("c%u has block %u, which another one has", i, uid / UID_BLOCK);
		else
			taken[uid / UID_BLOCK] = true;
	}
	for_each_process(count_user, users);
	for (unsigned i = 0; i < VMS; i++)
		if (users[i][UID_QEMU] != 1 || users[i][UID_PROXY] != 2 || users[i][UID_SHIM] != 1)
			complain("block %u has %u processes as QEMU, %u as proxy, %u as shim", i,
				 users[i][UID_QEMU], users[i][UID_PROXY], users[i][UID_SHIM]);
	report("60 creates at the same time have 60 blocks of uids");
}

static void no_more(void)
{
	const char *printed;

	stage_printed(&rig.stage);
	if (stage_wait(begin_create(VMS), deadline_in_ms(VERB_MS)) == 0)
		complain("it has a block");
	printed = stage_printed(&rig.stage);
	if (strstr(printed, "no uids left: all 60 blocks of the range") == NULL)
		complain("it says: %s", printed);
	report("one more has an error");
}

/* Whether all blocks can be taken. */
static bool all_are_free(void)
{
	const struct uid_range range = { rig.stage.remains.first_uid, VMS * UID_BLOCK };
	uint32_t slot, base;
	unsigned n = 0;
	int locks[VMS];

	while (n < VMS &&
	       uids_take(STORE_BASE "/uid", &range, "test", &locks[n], &slot, &base, NULL) == 0)
		n++;
	for (unsigned i = 0; i < n; i++)
		fd_close(&locks[i]);
	return n == VMS;
}

static void killed_all_are_free(void)
{
	int64_t deadline = deadline_in_ms(KILLED_MS);
	unsigned killed = 0, again;

	if (all_are_free())
		complain("they are free before that");
	for_each_process(kill_ours, &killed);
	/* Who began in between, or is a zombie until we have looked. */
	do {
		usleep(20000);
		stage_reap();
		again = 0;
		for_each_process(kill_ours, &again);
	} while (again > 0 && deadline_left_ms(deadline) > 0);
	/* The others went with their monitors, which are the first of their pid namespaces. */
	printf("# %u processes were killed\n", killed);
	if (again > 0)
		complain("%u processes are left", again);
	if (!all_are_free())
		complain("not every block can be taken");
	report("every process is killed, every block is free");
}

static void another(void)
{
	uid_t uid;

	if (stage_wait(begin_delete(0), deadline_in_ms(VERB_MS)) != 0)
		complain("delete --force fails: %s", stage_printed(&rig.stage));
	pid_file_of(0, rig.stage.pid_file);
	if (stage_wait(begin_create(0), deadline_in_ms(VERB_MS)) != 0)
		complain("create fails: %s", stage_printed(&rig.stage));
	else if (!uid_of(stage_shim(&rig.stage), &uid) || uid < rig.stage.remains.first_uid)
		complain("it has no shim of its own uid");
	report("a create after that has one of them");
}

static void nothing_is_left(void)
{
	char left[STAGE_LEFT_SIZE];

	all("delete --force", begin_delete);
	if (!stage_is_clean(&rig.stage, left)) {
		complain("left behind:");
		stage_say_lines(left);
	}
	report("delete --force leaves nothing");
}

int main(void)
{
	stage_make(&rig.stage);
	printf("1..5\n");
	each_has_its_own();
	no_more();
	killed_all_are_free();
	another();
	nothing_is_left();
	return stage_remove(&rig.stage) == 0 && rig.failures == 0 ? 0 : 1;
}
