/*
 * Shim and netmon that are not confined as they should be, and so refuse to run: started by the
 * real kata-runtime between fakes (stage.h), while a system call by which they give up a right is
 * only pretended. Called by tests/run; needs root. Of the other processes the component tests
 * show it.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/privsep.h"
#include "common/str.h"
#include "tests/crash/stage.h"
#include "tests/fake/pretend.h"

static const struct refusal {
	const char *what;
	bool at_create;   /* else at start */
	unsigned uid;     /* its place among a sandbox's uids, and gids */
	const char *call; /* with that one; NULL: none, and it runs */
	const char *says;
} refusals[] = {
	{ "netmon as it is", false, UID_NETMON, NULL, "" },
	{ "netmon as root", false, UID_NETMON, "setresuid", "uid is 0/0/0, not " },
	{ "netmon in root's group", false, UID_NETMON, "setresgid", "gid is 0/0/0, not " },
	{ "shim as root", true, UID_SHIM, "setresuid", "the shim has ended: uid is 0/0/0, not " },
};

static struct stage stage = { .uid_blocks = 1 };
static const struct refusal *refusal;

/* In the process that becomes kata-runtime. */
static void pretend_it(void)
{
	pretend(refusal->call, stage.remains.first_uid + refusal->uid, PRETEND_ANY);
}

/* Processes by their name in /proc: those of other containers are among them. */
static unsigned count(const char *name)
{
	CLEANUP(dir_close) DIR *proc = opendir("/proc");
	struct dirent *entry;
	unsigned n = 0;

	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		CLEANUP(file_close) FILE *file = NULL;
		char path[300], comm[32] = "";

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (file == NULL || fgets(comm, sizeof(comm), file) == NULL)
			continue;
		comm[strcspn(comm, "\n")] = '\0';
		n += str_eq(comm, name);
	}
	return n;
}

static bool try_refusal(void)
{
	char left[STAGE_LEFT_SIZE];
	unsigned others = count("kata-netmon");
	const char *printed;
	int status;
	bool good, runs;

	if (!refusal->at_create && stage_created(&stage) != 0)
		stage_die("create fails: %s", stage_printed(&stage));
	stage.before_exec = refusal->call != NULL ? pretend_it : NULL;
	status = refusal->at_create ? stage_created(&stage)
				    : stage_runtime(&stage, "start", "c1", NULL);
	stage.before_exec = NULL;
	printed = stage_printed(&stage);
	runs = count("kata-netmon") > others;
	good = (status == 0) == (refusal->call == NULL) && status < 97 &&
	       strstr(printed, refusal->says) != NULL && runs == (status == 0);
	if (!good) {
		printf("# status %d, netmon runs: %d\n", status, runs);
		stage_say_lines(printed);
	}
	if (stage_runtime(&stage, "delete", "--force", "c1", NULL) != 0)
		stage_die("delete --force fails: %s", stage_printed(&stage));
	if (!stage_is_clean(&stage, left))
		stage_die("left behind: %s", left);
	return good;
}

int main(void)
{
	unsigned failures = 0;

	stage_make(&stage);
	printf("1..%zu\n", ARRAY_SIZE(refusals));
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		bool good;

		refusal = &refusals[i];
		good = try_refusal();
		printf("%s %zu - %s: %s\n", good ? "ok" : "not ok", i + 1, refusal->what,
		       refusal->call == NULL ? "runs" : "does not run");
		fflush(stdout);
		failures += !good;
	}
	return stage_remove(&stage) == 0 && failures == 0 ? 0 : 1;
}
