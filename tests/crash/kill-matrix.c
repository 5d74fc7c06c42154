/*
 * The kill matrix: each process of a container and its VM is killed, stopped or made to fault while
 * the container is created, started, idle, busy, while an exec begins, while it is stopped or
 * deleted. Whatever comes of it, no command hangs: `kill KILL` and `delete --force` have an end
 * within two seconds, the container looks ended when it has, with a code that is no success, and
 * nothing is left. A worker is replaced, and what was under way succeeds.
 *
 *	kill-matrix [--all] [CELL...]                              with fakes
 *	kill-matrix [--all] --config FILE --rootfs DIR [CELL...]   $KATA_RUNTIME, with real VMs
 *
 * A CELL is VICTIM/FATE/PHASE, or the beginning of it. Without --all: those of the table's mark.
 * A line of TAP for each victim and fate. Needs root, and $KATA_BUILD for the fakes. The full disk
 * is a small file system in the place of /run, in a mount namespace of our own.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "tests/crash/stage.h"
#include "tests/crash/traced.h"
#include "tests/crash/victims.h"

enum {
	COMMAND_MS = 2000,   /* kill KILL, delete --force */
	HOLDER_MS = 3500,    /* delete --force, when a verb that is stopped holds the lock */
	NOTICE_MS = 1500,    /* until a death is seen without any command */
	NOTICE_VM_MS = 4000, /* a guest's panic takes its time on a busy machine */
	VERB_MS = 15000,     /* of a verb that goes on as if nothing had happened */
	BUSY_MS = 400,       /* until an exec is busy */
};

enum phase { CREATE, START, IDLE, BUSY, EXEC, STOPPING, DELETING, PHASE_COUNT };

static struct {
	struct stage stage;
	bool all;
	char *const *cells; /* wanted, NULL at the end; none: all */
	int64_t slowest_ms; /* kill KILL and delete --force, without a holder */
	unsigned tests, cells_done, failures;
} rig;

static int no_container(struct stage *stage)
{
	(void)stage;
	return 0;
}

/* The blow falls before the verb's system call of that number, among those that have an effect. */
static const struct {
	const char *name;
	int (*before)(struct stage *stage);
	unsigned point;
	const char *words[8];
} phases[PHASE_COUNT] = {
	[CREATE] = { "create",
		     no_container,
		     1, /* as soon as there is such a process */
		     { "create", "--bundle", rig.stage.bundle, "--pid-file", rig.stage.pid_file,
		       "c1" } },
	[START] = { "start", stage_created, 30, { "start", "c1" } },
	[IDLE] = { "idle", stage_running, 0, { NULL } },
	[BUSY] = { "busy", stage_running, 0, { NULL } },
	[EXEC] = { "exec", stage_running, 24, { "exec", "c1", "true" } },
	[STOPPING] = { "stopping", stage_running, 7, { "kill", "c1", "TERM" } },
	[DELETING] = { "deleting", stage_running, 6, { "delete", "--force", "c1" } },
};

#define BIT(phase) (1U << (phase))
#define ALL_PHASES (BIT(PHASE_COUNT) - 1)

/* Phases in which a blow means something, and those of them that are not left to --all. */
static const struct row {
	enum victim victim;
	enum fate fate;
	unsigned phases, in_short, in_short_vm;
} rows[] = {
	{ VICTIM_RUNTIME, KILLED, ALL_PHASES & ~BIT(IDLE) & ~BIT(BUSY), BIT(CREATE), 0 },
	{ VICTIM_RUNTIME, STOPPED, ALL_PHASES & ~BIT(IDLE) & ~BIT(BUSY), BIT(CREATE) | BIT(START),
	  0 },
	{ VICTIM_RUNTIME, CRASHED, ALL_PHASES & ~BIT(IDLE) & ~BIT(BUSY), BIT(EXEC), 0 },
	{ VICTIM_MONITOR, KILLED, ALL_PHASES, ALL_PHASES, BIT(IDLE) },
	{ VICTIM_MONITOR, STOPPED, ALL_PHASES, BIT(CREATE) | BIT(IDLE) | BIT(DELETING), BIT(IDLE) },
	{ VICTIM_MONITOR, CRASHED, ALL_PHASES, BIT(IDLE), 0 },
	{ VICTIM_WORKER, KILLED, ALL_PHASES, ALL_PHASES, BIT(CREATE) | BIT(BUSY) | BIT(EXEC) },
	{ VICTIM_WORKER, STOPPED, ALL_PHASES, BIT(START) | BIT(IDLE) | BIT(DELETING), BIT(IDLE) },
	{ VICTIM_WORKER, CRASHED, ALL_PHASES, BIT(IDLE) | BIT(EXEC), BIT(IDLE) },
	{ VICTIM_SHIM, KILLED, ALL_PHASES, ALL_PHASES, BIT(BUSY) },
	{ VICTIM_SHIM, STOPPED, ALL_PHASES, BIT(CREATE) | BIT(IDLE) | BIT(DELETING), BIT(IDLE) },
	{ VICTIM_SHIM, CRASHED, ALL_PHASES, BIT(IDLE), 0 },
	{ VICTIM_QEMU, KILLED, ALL_PHASES, ALL_PHASES, BIT(CREATE) | BIT(IDLE) | BIT(BUSY) },
	{ VICTIM_QEMU, STOPPED, ALL_PHASES, BIT(CREATE) | BIT(IDLE) | BIT(EXEC) | BIT(DELETING),
	  BIT(IDLE) | BIT(EXEC) },
	{ VICTIM_QEMU, CRASHED, ALL_PHASES, BIT(IDLE), 0 },
	{ VICTIM_VIRTIOFSD, KILLED, ALL_PHASES, ALL_PHASES, BIT(BUSY) },
	{ VICTIM_VIRTIOFSD, STOPPED, ALL_PHASES, BIT(IDLE), BIT(BUSY) },
	{ VICTIM_VIRTIOFSD, CRASHED, ALL_PHASES, BIT(IDLE), 0 },
	{ VICTIM_AGENT, KILLED, ALL_PHASES, ALL_PHASES, BIT(IDLE) },
	{ VICTIM_AGENT, STOPPED, ALL_PHASES, BIT(START) | BIT(EXEC) | BIT(DELETING), BIT(BUSY) },
	{ VICTIM_INIT, KILLED, ALL_PHASES & ~BIT(CREATE), ALL_PHASES & ~BIT(CREATE), BIT(EXEC) },
	{ VICTIM_INIT, STOPPED, BIT(IDLE) | BIT(BUSY) | BIT(EXEC), BIT(IDLE), BIT(IDLE) },
	{ VICTIM_INIT, UNDYING, BIT(IDLE) | BIT(BUSY) | BIT(STOPPING), BIT(IDLE), 0 },
	{ VICTIM_DISK, KILLED, ALL_PHASES, BIT(CREATE) | BIT(START) | BIT(IDLE) | BIT(DELETING),
	  BIT(IDLE) },
};

/* --- one cell -------------------------------------------------------------------------------- */

struct cell {
	const struct row *row;
	enum phase phase;
	struct traced traced;
	pid_t verb;      /* under way; 0: none, or it has ended */
	int verb_status; /* then */
	pid_t shim;      /* 0: there was none yet */
	bool struck, failed;
};

static __attribute__((format(printf, 2, 3))) void complain(struct cell *cell, const char *fmt, ...)
{
	va_list args;

	printf("# %s/%s/%s: ", victim_names[cell->row->victim], fate_names[cell->row->fate],
	       phases[cell->phase].name);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	cell->failed = true;
}

static bool with_vm(void)
{
	return rig.stage.installed_config != NULL;
}

/* Before a system call of the verb. */
static bool on_call(void *userdata)
{
	struct cell *cell = userdata;

	/* The runtime is struck when it is let go. */
	if (cell->row->victim == VICTIM_RUNTIME)
		return cell->phase != CREATE || cell->traced.count >= 90;
	/* A create that has COMMITted is nearly over: then there is no such process. */
	if (cell->phase == CREATE && cell->row->victim != VICTIM_DISK &&
	    victim_find(&rig.stage, cell->row->victim) == 0)
		return false;
	cell->struck = victim_strike(&rig.stage, cell->row->victim, cell->row->fate);
	return true;
}

/* An exec that is busy: with a real VM it writes, reads and prints files. */
static void begin_busy(struct cell *cell)
{
	char *const real[] = { (char *)"exec",
			       (char *)"c1",
			       (char *)"sh",
			       (char *)"-c",
			       (char *)"while :; do dd if=/dev/zero of=/busy bs=64k count=8 "
				       "2>/dev/null; cat /busy >/dev/null; echo; done",
			       NULL };
	char *const fake[] = { (char *)"exec", (char *)"c1", (char *)"sleep", (char *)"1000",
			       NULL };

	cell->verb = stage_begin(&rig.stage, with_vm() ? real : fake);
	usleep(BUSY_MS * 1000);
}

static void begin(struct cell *cell)
{
	char *argv[STAGE_WORDS_MAX] = { 0 };
	size_t n = stage_command(&rig.stage, argv);

	for (size_t i = 0; phases[cell->phase].words[i] != NULL; i++)
		argv[n++] = (char *)phases[cell->phase].words[i];
	cell->traced = (struct traced){ .set = TRACED_EFFECTS,
					.point = phases[cell->phase].point,
					.stdout_fd = rig.stage.log,
					.act = on_call,
					.userdata = cell };
	if (!traced_run(&cell->traced, argv))
		stage_die("%s cannot be traced", rig.stage.runtime);
	cell->verb = cell->traced.pid;
	if (cell->verb == 0) {
		complain(cell, "the verb ended before the blow, with 0x%x: %s", cell->traced.status,
			 stage_printed(&rig.stage));
		return;
	}
	if (cell->row->victim == VICTIM_RUNTIME)
		cell->struck = victim_strike_pid(cell->verb, cell->row->fate);
}

/* Runs a command that has to come to its end in time: its exit status. */
static int in_time(struct cell *cell, int64_t limit_ms, const char *const words[])
{
	int64_t since = deadline_now_ms(), took;
	char *argv[STAGE_WORDS_MAX] = { 0 };
	int status;
	pid_t pid;

	for (size_t i = 0; words[i] != NULL; i++)
		argv[i] = (char *)words[i];
	pid = stage_begin(&rig.stage, argv);
	status = stage_wait(pid, deadline_in_ms(limit_ms * 5));
	took = deadline_now_ms() - since;
	if (status < 0) {
		complain(cell, "%s hangs", words[0]);
		kill(pid, SIGKILL);
		status = stage_wait(pid, deadline_in_ms(COMMAND_MS));
	} else if (took > limit_ms) {
		complain(cell, "%s took %lld ms", words[0], (long long)took);
	}
	if (limit_ms == COMMAND_MS && took > rig.slowest_ms)
		rig.slowest_ms = took;
	return status;
}

static const char *const show_state[] = { "state", "c1", NULL };
static const char *const kill_hard[] = { "kill", "c1", "KILL", NULL };
static const char *const delete_force[] = { "delete", "--force", "c1", NULL };
static const char *const exec_true[] = { "exec", "c1", "true", NULL };

static bool has_stopped(struct cell *cell)
{
	stage_printed(&rig.stage);
	return in_time(cell, VERB_MS, show_state) == 0 &&
	       strstr(stage_printed(&rig.stage), "\"status\": \"stopped\"") != NULL;
}

static void expect_stopped(struct cell *cell, int64_t limit_ms)
{
	int64_t deadline = deadline_in_ms(limit_ms);

	/* One that began in time says nothing of what it finds when the machine is slow. */
	for (bool late = false; !has_stopped(cell); usleep(20000)) {
		if (late) {
			complain(cell, "the container does not look stopped after %lld ms",
				 (long long)limit_ms);
			return;
		}
		late = deadline_left_ms(deadline) == 0;
	}
}

/* --- what is to come of it ------------------------------------------------------------------- */

/* Of what nobody waits for, since it is replaced, or just has nothing to do. */
static bool harmless(const struct cell *cell)
{
	return cell->row->victim == VICTIM_WORKER && cell->row->fate != STOPPED;
}

/* Who does not notice by itself. */
static bool unnoticed(const struct cell *cell)
{
	return cell->row->fate == STOPPED || cell->row->fate == UNDYING ||
	       cell->row->victim == VICTIM_DISK || cell->row->victim == VICTIM_RUNTIME;
}

static void end_verb(struct cell *cell, int64_t limit_ms)
{
	if (cell->verb == 0)
		return;
	cell->verb_status = stage_wait(cell->verb, deadline_in_ms(limit_ms));
	if (cell->verb_status < 0) {
		complain(cell, "the verb under way hangs");
		kill(cell->verb, SIGKILL);
		stage_wait(cell->verb, deadline_in_ms(COMMAND_MS));
	}
	cell->verb = 0;
}

/* The worker is replaced: all goes on. */
static void expect_nothing(struct cell *cell)
{
	if (cell->phase != BUSY)
		end_verb(cell, VERB_MS);
	if (cell->phase != IDLE && cell->phase != BUSY && cell->verb_status != 0)
		complain(cell, "the verb under way ended with %d: %s", cell->verb_status,
			 stage_printed(&rig.stage));
	if (cell->phase == CREATE && stage_runtime(&rig.stage, "start", "c1", NULL) != 0)
		complain(cell, "it cannot be started: %s", stage_printed(&rig.stage));
	if (cell->phase == STOPPING || cell->phase == DELETING)
		return;
	if (in_time(cell, VERB_MS, exec_true) != 0)
		complain(cell, "no exec: %s", stage_printed(&rig.stage));
}

/* The shim is reaped by us: its code is what a manager would see. */
static void expect_code(struct cell *cell)
{
	int64_t deadline = deadline_in_ms(COMMAND_MS);
	enum victim victim = cell->row->victim;
	int code;

	if (cell->shim == 0)
		return;
	while ((code = stage_ended(cell->shim)) < 0 && deadline_left_ms(deadline) > 0)
		usleep(5000);
	if (code == 137 || (code == 255 && victim == VICTIM_MONITOR) ||
	    (code == 128 + SIGSEGV && victim == VICTIM_SHIM) ||
	    (code == 128 + SIGTERM && cell->phase == STOPPING))
		return;
	if (code < 0)
		complain(cell, "the shim does not end");
	else
		complain(cell, "the shim ends with %d", code);
}

/* SIGKILL was taken, but the guest's kernel waits for an answer of virtiofsd, which is stopped. */
static bool waits_for_files(const struct cell *cell)
{
	return with_vm() && cell->row->victim == VICTIM_VIRTIOFSD && cell->row->fate == STOPPED;
}

/*
 * SIGKILL was taken and nothing came of it: as with a process of this host that waits for a disk.
 * Managers wait for a while, docker 10 s, and then kill the process they know, the shim; the
 * container has ended then, and `delete` needs no force.
 */
static void check_undying(struct cell *cell)
{
	static const char *const delete[] = { "delete", "c1", NULL };

	if (in_time(cell, COMMAND_MS, kill_hard) != 0)
		complain(cell, "kill KILL fails: %s", stage_printed(&rig.stage));
	if (has_stopped(cell))
		complain(cell, "it has ended all the same");
	if (!victim_strike_pid(cell->shim, KILLED))
		complain(cell, "there is no shim");
	expect_stopped(cell, NOTICE_MS);
	if (in_time(cell, COMMAND_MS, delete) != 0)
		complain(cell, "delete fails: %s", stage_printed(&rig.stage));
}

static void check(struct cell *cell)
{
	static char left[STAGE_LEFT_SIZE];
	bool holds = cell->row->victim == VICTIM_RUNTIME && cell->row->fate == STOPPED;

	if (harmless(cell))
		expect_nothing(cell);
	else if (!unnoticed(cell) && cell->phase != CREATE && cell->phase != DELETING)
		expect_stopped(cell, with_vm() ? NOTICE_VM_MS : NOTICE_MS);
	if (cell->row->fate == UNDYING) {
		check_undying(cell);
	} else if (cell->phase != DELETING) {
		in_time(cell, COMMAND_MS, kill_hard);
		if (cell->phase != CREATE && !waits_for_files(cell))
			expect_stopped(cell, COMMAND_MS);
	}
	if (in_time(cell, holds ? HOLDER_MS : COMMAND_MS, delete_force) != 0)
		complain(cell, "delete --force fails: %s", stage_printed(&rig.stage));
	/* Who did not hold the lock goes on, and finds that there is nothing left. */
	if (holds && cell->verb > 0)
		kill(cell->verb, SIGCONT);
	end_verb(cell, COMMAND_MS);
	expect_code(cell);
	victim_free_disk();
	if (!stage_is_clean(&rig.stage, left)) {
		complain(cell, "left behind:");
		stage_say_lines(left);
		stage_die("what is left would be found again behind every other cell");
	}
}

static bool try_cell(const struct row *row, enum phase phase)
{
	struct cell cell = { .row = row, .phase = phase };

	unlink(rig.stage.pid_file);
	stage_printed(&rig.stage);
	if (phases[phase].before(&rig.stage) != 0)
		stage_die("the container could not be made: %s", stage_printed(&rig.stage));
	cell.shim = stage_shim(&rig.stage);
	if (phase == BUSY)
		begin_busy(&cell);
	if (phase == IDLE || phase == BUSY)
		cell.struck = victim_strike(&rig.stage, row->victim, row->fate);
	else
		begin(&cell);
	if (!cell.struck)
		complain(&cell, "there is no such process");
	check(&cell);
	rig.cells_done++;
	return !cell.failed;
}

/* --- the table ------------------------------------------------------------------------------- */

static bool wanted(const struct row *row, enum phase phase)
{
	unsigned set = rig.all ? row->phases : with_vm() ? row->in_short_vm : row->in_short;
	char name[64];

	snprintf(name, sizeof(name), "%s/%s/%s", victim_names[row->victim], fate_names[row->fate],
		 phases[phase].name);
	if (row->fate == UNDYING && with_vm())
		return false;
	if (rig.cells[0] == NULL)
		return (set & BIT(phase)) != 0;
	for (size_t i = 0; rig.cells[i] != NULL; i++)
		if (str_starts(name, rig.cells[i]) && (row->phases & BIT(phase)) != 0)
			return true;
	return false;
}

static unsigned count_wanted(const struct row *row)
{
	unsigned n = 0;

	for (enum phase phase = 0; phase < PHASE_COUNT; phase++)
		n += wanted(row, phase);
	return n;
}

static void try_row(const struct row *row)
{
	unsigned bad = 0, count = count_wanted(row);

	for (enum phase phase = 0; phase < PHASE_COUNT; phase++)
		if (wanted(row, phase) && !try_cell(row, phase))
			bad++;
	printf("%s %u - %s %s in %u phases\n", bad == 0 ? "ok" : "not ok", ++rig.tests,
	       victim_names[row->victim], fate_names[row->fate], count);
	fflush(stdout);
	rig.failures += bad;
}

int main(int argc, char **argv)
{
	unsigned planned = 0;
	int i = 1;

	for (; i < argc && str_starts(argv[i], "--"); i++) {
		if (str_eq(argv[i], "--all"))
			rig.all = true;
		else if (str_eq(argv[i], "--config") && i + 1 < argc)
			rig.stage.installed_config = argv[++i];
		else if (str_eq(argv[i], "--rootfs") && i + 1 < argc)
			rig.stage.rootfs = argv[++i];
		else
			stage_die("unknown option %s", argv[i]);
	}
	rig.cells = argv + i;
	stage_make(&rig.stage);
	if (mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755") < 0)
		stage_die("/run: %s", strerror(errno));
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
		planned += count_wanted(&rows[k]) > 0;
	printf("1..%u\n", planned);
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
		if (count_wanted(&rows[k]) > 0)
			try_row(&rows[k]);
	printf("# %u cells; the slowest of kill and delete --force took %lld ms\n", rig.cells_done,
	       (long long)rig.slowest_ms);
	return stage_remove(&rig.stage) == 0 && rig.failures == 0 ? 0 : 1;
}
