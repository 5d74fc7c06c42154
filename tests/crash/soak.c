/*
 * Many lives of a container, with random faults; then one long life, with many execs and workers
 * that crash. Nothing may be left behind any of them, and what stays must not grow: descriptors and
 * memory of monitor, shim and QEMU's stand-in, and uid slots.
 *
 *	soak CYCLES [--seed N]                                with fakes
 *	soak CYCLES [--seed N] --config FILE --rootfs DIR     $KATA_RUNTIME, with real VMs
 *
 * TAP. The seed is printed, so that a failure comes again. Needs root, and $KATA_BUILD for the
 * fakes.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "tests/crash/stage.h"
#include "tests/crash/victims.h"

enum {
	DELETE_MS = 2000,
	FAULT_MS = 120,  /* a fault comes within that time after a verb began */
	VERB_MS = 90000, /* a VM may take its time to boot on a busy machine */
	EXECS = 3,       /* in a life at most */
	FDS_MORE = 2,    /* that a process may have at the end of a long life */
	KIB_MORE = 1024, /* memory likewise */
};

static struct stage stage;
static unsigned bad, faults, lives_to_the_end;
static bool halted; /* something was stopped: verbs would wait for it, as long as they may */
static int64_t slowest_ms;

/* One in n. */
static bool chance(unsigned n)
{
	return (unsigned)random() % n == 0;
}

/* A fault of some process, while a verb runs or between two. */
static void make_fault(void)
{
	static const enum victim victims[] = { VICTIM_MONITOR, VICTIM_WORKER,    VICTIM_SHIM,
					       VICTIM_QEMU,    VICTIM_VIRTIOFSD, VICTIM_WORKER };
	enum victim victim = victims[(unsigned)random() % ARRAY_SIZE(victims)];
	enum fate fate = chance(4) ? STOPPED : chance(3) ? CRASHED : KILLED;

	usleep((useconds_t)random() % (FAULT_MS * 1000));
	if (victim_strike_pid(victim_find(&stage, victim), fate)) {
		faults++;
		halted = halted || fate == STOPPED;
	}
}

/* A verb, maybe with a fault; a verb that waits for something stopped is not waited for. */
static bool verb(char *const words[])
{
	pid_t pid = stage_begin(&stage, words);
	bool faulty = chance(6);
	int status;

	if (faulty && chance(3))
		faults += victim_strike_pid(pid, KILLED);
	else if (faulty)
		make_fault();
	status = stage_wait(pid, deadline_in_ms(faulty ? 1000 : VERB_MS));
	if (status >= 0)
		return status == 0;
	if (!faulty) {
		printf("# %s hangs\n", words[0]);
		bad++;
	}
	victim_strike_pid(pid, KILLED);
	stage_wait(pid, deadline_in_ms(VERB_MS));
	return false;
}

static bool goes_on(char *const words[])
{
	return verb(words) && !halted;
}

static void live_once(void)
{
	char *const create[] = {
		(char *)"create", (char *)"--bundle", stage.bundle, (char *)"--pid-file",
		stage.pid_file,   (char *)"c1",       NULL
	};
	char *const start[] = { (char *)"start", (char *)"c1", NULL };
	char *const exec[] = { (char *)"exec", (char *)"c1", (char *)"true", NULL };
	char *const kill_it[] = { (char *)"kill", (char *)"c1", (char *)"KILL", NULL };
	char *const delete[] = { (char *)"delete", (char *)"c1", NULL };

	unlink(stage.pid_file);
	halted = false;
	if (!goes_on(create) || !goes_on(start))
		return;
	for (long i = random() % (EXECS + 1); i > 0; i--)
		if (!goes_on(exec) && halted)
			return;
	if (!goes_on(kill_it))
		return;
	for (int i = 0; i < 200 && stage_ended(stage_shim(&stage)) < 0; i++)
		usleep(5000);
	lives_to_the_end += verb(delete);
}

/* Whatever it came to: all of it goes. */
static void clean_up(unsigned cycle)
{
	static char left[STAGE_LEFT_SIZE];
	int64_t since = deadline_now_ms(), took;
	int status = stage_runtime(&stage, "delete", "--force", "c1", NULL);

	took = deadline_now_ms() - since;
	slowest_ms = took > slowest_ms ? took : slowest_ms;
	if (status != 0 || took > DELETE_MS) {
		printf("# cycle %u: delete --force exits with %d after %lld ms: %s\n", cycle,
		       status, (long long)took, stage_printed(&stage));
		bad++;
	}
	if (!stage_is_clean(&stage, left))
		stage_die("cycle %u left behind: %s", cycle, left);
	stage_printed(&stage);
}

/* --- a long life ----------------------------------------------------------------------------- */

static unsigned count_fds(pid_t pid)
{
	char path[64];
	CLEANUP(dir_close) DIR *dir = NULL;
	unsigned n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir != NULL && readdir(dir) != NULL)
		n++;
	return n;
}

/* Memory that is not shared with others, in KiB. */
static unsigned count_kib(pid_t pid)
{
	char path[64], line[256];
	CLEANUP(file_close) FILE *file = NULL;
	unsigned value, sum = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Private_Clean: %u", &value) == 1 ||
		    sscanf(line, "Private_Dirty: %u", &value) == 1)
			sum += value;
	return sum;
}

static const enum victim stayers[] = { VICTIM_MONITOR, VICTIM_SHIM, VICTIM_QEMU, VICTIM_WORKER };
enum { STAYERS = ARRAY_SIZE(stayers) };

struct sizes {
	unsigned fds[STAYERS], kib[STAYERS];
};

static void measure(struct sizes *sizes)
{
	for (size_t i = 0; i < STAYERS; i++) {
		pid_t pid = victim_find(&stage, stayers[i]);

		sizes->fds[i] = count_fds(pid);
		sizes->kib[i] = count_kib(pid);
	}
}

static void run_execs(unsigned count, unsigned *failed_execs)
{
	for (unsigned i = 0; i < count; i++) {
		*failed_execs += stage_runtime(&stage, "exec", "c1", "true", NULL) != 0;
		if (i % 20 == 10)
			victim_strike_pid(victim_find(&stage, VICTIM_WORKER), KILLED);
	}
}

/* QEMU's own memory is not ours to judge: only fakes' is. */
static void live_long(unsigned execs)
{
	struct sizes first, last;
	unsigned failed_execs = 0;
	bool flat = true;

	if (stage_running(&stage) != 0)
		stage_die("the container could not be made: %s", stage_printed(&stage));
	run_execs(40, &failed_execs); /* buffers have their size then */
	measure(&first);
	run_execs(execs, &failed_execs);
	measure(&last);
	for (size_t i = 0; i < STAYERS; i++) {
		bool judged = stage.installed_config == NULL || stayers[i] != VICTIM_QEMU;

		printf("# %s: descriptors %u, then %u; memory %u KiB, then %u KiB\n",
		       victim_names[stayers[i]], first.fds[i], last.fds[i], first.kib[i],
		       last.kib[i]);
		if (judged && (last.fds[i] > first.fds[i] + FDS_MORE ||
			       last.kib[i] > first.kib[i] + KIB_MORE))
			flat = false;
	}
	clean_up(0);
	printf("%s 2 - %u execs in one life, with a worker that crashes at every 20th: %u failed\n",
	       flat && failed_execs == 0 ? "ok" : "not ok", execs, failed_execs);
	bad += !flat || failed_execs > 0;
}

int main(int argc, char **argv)
{
	unsigned cycles = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
	unsigned seed = (unsigned)getpid();

	for (int i = 2; i + 1 < argc; i += 2) {
		if (str_eq(argv[i], "--config"))
			stage.installed_config = argv[i + 1];
		else if (str_eq(argv[i], "--rootfs"))
			stage.rootfs = argv[i + 1];
		else if (str_eq(argv[i], "--seed"))
			seed = (unsigned)atoi(argv[i + 1]);
	}
	if (cycles == 0)
		stage_die("how many cycles?");
	printf("1..2\n# seed %u\n", seed);
	srandom(seed);
	stage_make(&stage);
	for (unsigned i = 1; i <= cycles; i++) {
		live_once();
		clean_up(i);
	}
	printf("%s 1 - %u lives with %u faults, %u to their end\n", bad == 0 ? "ok" : "not ok",
	       cycles, faults, lives_to_the_end);
	fflush(stdout);
	live_long(cycles);
	printf("# the slowest delete --force took %lld ms\n", (long long)slowest_ms);
	return stage_remove(&stage) == 0 && bad == 0 ? 0 : 1;
}
