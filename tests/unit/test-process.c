/* common/process.c on children of the test: running, zombie, gone, and a pid with another start. */
#include "common/process.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"

enum { SOON = 100, LATE = 10000 }; /* milliseconds */

/* A child that waits for a signal, with a name in the manner of an attack on parsers. */
static pid_t start_child(const char *name)
{
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0) {
		alarm(60);
		if (name != NULL)
			prctl(PR_SET_NAME, name);
		for (;;)
			pause();
	}
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	cr_assert(waitpid(pid, NULL, 0) == pid);
}

/* Leaves the child as a zombie. */
static void make_zombie(pid_t pid)
{
	siginfo_t info;

	kill(pid, SIGKILL);
	cr_assert(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

Test(process, start_time)
{
	uint64_t own = 0, child = 0, again = 0;
	struct error err = { 0 };
	pid_t pid = start_child(NULL);

	cr_assert(process_start_time(getpid(), &own, &err) == 0, "%s", err.text);
	cr_assert(process_start_time(pid, &child, &err) == 0);
	cr_assert(own > 0 && child >= own);
	poll(NULL, 0, 30);
	cr_assert(process_start_time(pid, &again, &err) == 0 && again == child);
	make_zombie(pid);
	cr_assert(process_start_time(pid, &again, &err) == 0 && again == child);
	end_child(pid);
	cr_assert(process_start_time(pid, &again, &err) == -ESRCH && err.num == ESRCH);
}

Test(process, alive)
{
	pid_t pid = start_child(NULL);
	uint64_t start = 0;

	cr_assert(process_start_time(pid, &start, NULL) == 0);
	cr_assert(process_alive(pid, start));
	cr_assert(!process_alive(pid, start + 1)); /* the pid is another process's by now */
	cr_assert(!process_alive(pid, start - 1));
	cr_assert(!process_alive(pid, 0));
	kill(pid, SIGSTOP);
	cr_assert(process_alive(pid, start));
	make_zombie(pid);
	cr_assert(!process_alive(pid, start));
	end_child(pid);
	cr_assert(!process_alive(pid, start));
}

/* The name in /proc/PID/stat may look like the fields behind it. */
Test(process, hostile_names)
{
	static const char *const names[] = { ") Z 1 1 1 1 1",  "a) Z (b",  "()",  ")))))))))))))))",
					     "((((((((((((((", "x y z\n1", "\xff" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		pid_t pid = start_child(names[i]);
		uint64_t before = 0, after = 0;

		cr_assert(process_start_time(pid, &before, NULL) == 0);
		poll(NULL, 0, 30); /* by now it has its name */
		cr_assert(process_start_time(pid, &after, NULL) == 0, "%s", names[i]);
		cr_assert(after == before && process_alive(pid, before), "%s", names[i]);
		end_child(pid);
	}
}

Test(process, bad_pids)
{
	static const pid_t pids[] = { 0, -1, -7, INT32_MIN, INT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		struct error err = { 0 };
		uint64_t start;

		cr_assert(process_start_time(pids[i], &start, &err) == -ESRCH, "%d: %s", pids[i],
			  err.text);
		cr_assert(!process_alive(pids[i], 0));
		err = (struct error){ 0 };
		cr_assert(process_open(pids[i], 0, &err) == -ESRCH && err.num == ESRCH);
	}
}

Test(process, open)
{
	pid_t pid = start_child(NULL);
	CLEANUP(fd_close) int fd = -1;
	struct error err = { 0 };
	uint64_t start = 0;
	int other;

	cr_assert(process_start_time(pid, &start, NULL) == 0);
	other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(other);
	cr_assert(process_open(pid, start + 1, &err) == -ESRCH);
	cr_assert(strstr(err.text, "no such") == NULL);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert(fd == other, "a refused pidfd stays open");
	close(fd);
	fd = process_open(pid, start, &err);
	cr_assert(fd >= 0, "%s", err.text);
	cr_assert(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	end_child(pid);
	cr_assert(process_open(pid, start, &err) == -ESRCH);
}

Test(process, wait_gone)
{
	pid_t pid = start_child(NULL);
	CLEANUP(fd_close) int fd = -1;
	struct error err = { 0 };
	int64_t begin;
	uint64_t start = 0;

	cr_assert(process_start_time(pid, &start, NULL) == 0);
	fd = process_open(pid, start, &err);
	cr_assert(fd >= 0);
	begin = deadline_now_ms();
	cr_assert(process_wait_gone(fd, deadline_in_ms(SOON), &err) == -ETIMEDOUT);
	cr_assert(deadline_now_ms() - begin >= SOON && deadline_now_ms() - begin < LATE);
	cr_assert(process_wait_gone(fd, 0, &err) == -ETIMEDOUT);
	make_zombie(pid);
	cr_assert(process_wait_gone(fd, 0, &err) == 0);
	end_child(pid);
	cr_assert(process_wait_gone(fd, deadline_in_ms(LATE), &err) == 0);
}

static void on_alarm(int signum)
{
	(void)signum;
}

/* Signals do not end a wait early. */
Test(process, wait_interrupted)
{
	struct sigaction action = { .sa_handler = on_alarm };
	pid_t pid = start_child(NULL), pest;
	struct error err = { 0 };
	int64_t begin;
	int status;

	cr_assert(sigaction(SIGUSR1, &action, NULL) == 0);
	pest = fork();
	cr_assert(pest >= 0);
	if (pest == 0) {
		for (int i = 0; i < 20; i++) {
			kill(getppid(), SIGUSR1);
			poll(NULL, 0, 10);
		}
		_exit(0);
	}
	begin = deadline_now_ms();
	cr_assert(process_wait_child(pid, deadline_in_ms(300), &status, &err) == -ETIMEDOUT);
	cr_assert(deadline_now_ms() - begin >= 300);
	end_child(pid);
	while (waitpid(pest, NULL, 0) < 0) /* it may not have come to its end */
		cr_assert(errno == EINTR);
}

Test(process, wait_child)
{
	struct error err = { 0 };
	int status = -1;
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0)
		_exit(37);
	cr_assert(process_wait_child(pid, deadline_in_ms(LATE), &status, &err) == 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 37);
	cr_assert(process_wait_child(pid, deadline_in_ms(LATE), &status, &err) < 0); /* reaped */

	pid = start_child(NULL);
	status = -1;
	cr_assert(process_wait_child(pid, deadline_in_ms(SOON), &status, &err) == -ETIMEDOUT);
	cr_assert(status == -1 && kill(pid, 0) == 0);
	kill(pid, SIGTERM);
	cr_assert(process_wait_child(pid, deadline_in_ms(LATE), &status, &err) == 0);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

	cr_assert(process_wait_child(getpid(), deadline_in_ms(SOON), &status, &err) == -ETIMEDOUT);
}

Test(process, status_text)
{
	static const struct {
		int status;
		const char *text;
	} cases[] = {
		{ 0, "exited with status 0" },
		{ 3 << 8, "exited with status 3" },
		{ 255 << 8, "exited with status 255" },
		{ SIGKILL, "was killed by signal 9 (SIGKILL)" },
		{ SIGSEGV | 0x80, "was killed by signal 11 (SIGSEGV)" }, /* with a core */
		{ 40, "was killed by signal 40" },
		{ SIGSTOP << 8 | 0x7f, "ended with wait status 0x137f" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[64], little[8];

		process_status_text(cases[i].status, text, sizeof(text));
		cr_assert_str_eq(text, cases[i].text);
		process_status_text(cases[i].status, little, sizeof(little));
		cr_assert(strlen(little) == sizeof(little) - 1);
	}
}

static bool continued(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOHANG) == 0 && info.si_pid == pid;
}

Test(process, goes_on_only_when_it_was_stopped)
{
	pid_t pid = start_child(NULL);
	uint64_t ticks;

	cr_assert(process_start_time(pid, &ticks, NULL) == 0);
	process_continue(pid, ticks);
	cr_assert(!continued(pid), "a running process was sent SIGCONT");
	kill(pid, SIGSTOP);
	cr_assert(waitpid(pid, NULL, WUNTRACED) == pid);
	process_continue(pid, ticks + 1);
	cr_assert(!continued(pid), "another process was sent SIGCONT");
	process_continue(pid, ticks);
	poll(NULL, 0, SOON);
	cr_assert(continued(pid));
	end_child(pid);
}
