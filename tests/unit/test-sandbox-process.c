/*
 * kata-runtime/sandbox-process.c: processes that look like a monitor, one of which is one. They are
 * this program, which waits when it is called by a proxy's name.
 */
#include "kata-runtime/sandbox-process.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common/deadline.h"
#include "common/process.h"

static char sid[33], other[33]; /* of this test only */

/* glibc gives constructors the arguments of main(). */
__attribute__((constructor)) static void play_a_proxy(int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], "kata-proxy") == 0)
		for (;;)
			pause();
}

static pid_t forked(void)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* Starts one in new namespaces; its pid. It ends with this test. */
static pid_t start(const char *role, const char *of, int namespaces)
{
	char *argv[] = { (char *)"kata-proxy", (char *)role, (char *)of, NULL };
	pid_t pid;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	if (forked() == 0) {
		cr_assert_eq(unshare(namespaces), 0);
		pid = forked();
		if (pid == 0) {
			execv("/proc/self/exe", argv);
			_exit(127);
		}
		cr_assert_eq(write(fds[1], &pid, sizeof(pid)), sizeof(pid));
		pause();
		_exit(0);
	}
	cr_assert_eq(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static int count_one(struct process_ref process, void *count)
{
	(void)process;
	++*(unsigned *)count;
	return 0;
}

static unsigned count(const char *role, const char *of)
{
	unsigned n = 0;

	sandbox_each_process(role, of, count_one, &n);
	return n;
}

/* Until they have become what they are to look like. */
static void wait_for(unsigned n, const char *role, const char *of)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int64_t deadline = deadline_in_ms(10000);

	while (count(role, of) != n) {
		cr_assert_gt(deadline_left_ms(deadline), 0, "%u of %u run", count(role, of), n);
		nanosleep(&pause, NULL);
	}
}

static void begin(void)
{
	snprintf(sid, sizeof(sid), "%032x", (unsigned)getpid());
	snprintf(other, sizeof(other), "%032x", (unsigned)getpid() | 1U << 31);
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		cr_skip_test("no right to make a user namespace");
}

Test(sandbox_process, nobody_else_is_taken_for_the_monitor, .init = begin, .timeout = 60)
{
	struct process_ref found = { 0 };
	uint64_t ticks;
	pid_t monitor;

	start("monitor", sid, 0);
	start("monitor", sid, CLONE_NEWUSER | CLONE_NEWPID);
	wait_for(2, "monitor", sid);
	sandbox_find_monitor(sid, &found);
	cr_expect_eq(found.pid, 0);
	monitor = start("monitor", sid, CLONE_NEWPID);
	start("monitor", sid, CLONE_NEWUSER | CLONE_NEWPID);
	wait_for(4, "monitor", sid);
	sandbox_find_monitor(sid, &found);
	cr_expect_eq(found.pid, monitor);
	cr_expect(process_start_time(monitor, &ticks, NULL) == 0 && found.start_ticks == ticks);
}

Test(sandbox_process, by_role_and_id, .init = begin, .timeout = 60)
{
	struct process_ref found = { 0 };

	start("unit", sid, 0);
	start("monitor", other, CLONE_NEWPID);
	wait_for(1, "unit", sid);
	wait_for(1, "monitor", other);
	cr_expect_eq(count("monitor", sid), 0);
	cr_expect_eq(count("unit", other), 0);
	sandbox_find_monitor(sid, &found);
	cr_expect_eq(found.pid, 0);
}
