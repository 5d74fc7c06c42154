/*
 * Stands where QEMU would: talker LINE STATUS says "up" on standard error, waits for SIGTERM, says
 * LINE and exits with STATUS. It lives under QEMU's system call filter, which a shell does not.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void on_term(int signum)
{
	(void)signum;
	told = 1;
}

static void say(const char *line)
{
	if (write(STDERR_FILENO, line, strlen(line)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
		exit(99);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_term };

	if (argc != 3)
		return 98;
	sigaction(SIGTERM, &action, NULL);
	say("up");
	while (!told)
		poll(NULL, 0, 10);
	say(argv[1]);
	return atoi(argv[2]);
}
