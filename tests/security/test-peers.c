/*
 * Hostile peers of the real kata-proxy, monitor and worker: evil-agent in QEMU's place, evil-
 * client as a client. Whatever they do, the worker's memory stays below 32 MiB, who breaks the
 * protocol loses its own connection and nothing else, and what reads the guest's answers for
 * kata-runtime says what is wrong. Needs root.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/privsep.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/decoder.h"
#include "tests/fake/fake-peer.h"
#include "tests/fake/launcher.h"

enum { MEMORY_MAX_KIB = 32 * 1024, ANSWER_MS = 1500 };

static struct launcher launcher;

/* A VM whose agent is evil-agent with that word. */
static void start(const char *word)
{
	char program[256];
	char *const args[] = { (char *)"qemu", (char *)word, NULL };
	struct launcher_vm vm = { .qemu = program, .qemu_args = args };
	struct error err = { 0 };

	snprintf(program, sizeof(program), "%s", launcher_program("tests/security/evil-agent"));
	launcher_start(&launcher, true, 0);
	cr_assert(launcher_launch(&launcher, &vm, &err) == 0, "%s", err.text);
	cr_assert(launcher_commit(&launcher, &err) == 0, "%s", err.text);
}

static void set_up(void)
{
	if (geteuid() != 0)
		cr_skip("needs root");
	signal(SIGPIPE, SIG_IGN);
}

static void tear_down(void)
{
	launcher_fini(&launcher);
}

TestSuite(peers, .init = set_up, .fini = tear_down, .timeout = 120);

/* --- what is looked at ---------------------------------------------------------------------- */

static pid_t worker(void)
{
	pid_t pid = launcher_child(&launcher, "kata-proxy");

	cr_assert(pid > 0, "the worker does not run: %s",
		  launcher_read(launcher.logs[LOG_OF_PROXY]));
	return pid;
}

/* A number of /proc/PID/status in KiB. */
static long memory_of(pid_t pid, const char *name)
{
	CLEANUP(file_close) FILE *f = NULL;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (str_starts(line, name))
			return strtol(line + strlen(name), NULL, 10);
	return -1;
}

/*
 * What was used at the most, and what was asked for since the process had this size: a bomb makes a
 * decoder ask for much that it never touches. Sanitizers need memory of their own.
 */
static void check_memory(pid_t pid, long size, const char *word)
{
#ifndef __SANITIZE_ADDRESS__
	long used = memory_of(pid, "VmHWM:"), asked = memory_of(pid, "VmPeak:") - size;

	cr_expect(used > 0 && used <= MEMORY_MAX_KIB, "%s: %ld KiB", word, used);
	cr_expect(asked <= MEMORY_MAX_KIB, "%s: %ld KiB", word, asked);
#else
	(void)pid;
	(void)size;
	(void)word;
#endif
}

static int count_descriptors(pid_t pid)
{
	CLEANUP(dir_close) DIR *dir = NULL;
	char path[64];
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir != NULL && readdir(dir) != NULL)
		count++;
	return count;
}

/* A client that breaks no rule, with a session. */
static struct fake_peer good_client(void)
{
	struct fake_peer good;

	peer_init(&good, launcher_connect(&launcher));
	peer_say_hello(&good, PROTOCOL_VERSION, "runtime");
	cr_assert_str_eq(peer_expect_hello(&good), "evil");
	peer_send(&good, 1, FRAME_OPEN, 0, 0, "\x90", 1);
	peer_expect(&good, 1, FRAME_OPEN, FRAME_ACK);
	return good;
}

/* Its session is intact: each request has one answer, its own, in order. */
static void check_good(struct fake_peer *good, const char *word)
{
	static uint32_t id;
	char payload[4] = "\x92\x01\x00";

	for (int i = 0; i < 50; i++) {
		struct frame frame;

		payload[2] = (char)(id % 100);
		peer_send(good, 1, FRAME_REQUEST, 0, ++id, payload, 3);
		frame = peer_expect(good, 1, FRAME_REPLY, 0);
		cr_assert(frame.id == id && frame.length == 3 &&
				  memcmp(frame.payload, payload, 3) == 0,
			  "%s: %u instead of %u", word, frame.id, id);
	}
}

/* --- a hostile guest -------------------------------------------------------------------------- */

static const struct guest_case {
	const char *word;
	int answer;       /* of the request for PS */
	const char *text; /* in the error's words */
	bool link_ends;
} guest_cases[] = {
	{ "bomb", -EBADMSG, "", false },           { "map-bomb", -EBADMSG, "", false },
	{ "text-bomb", -EBADMSG, "", false },      { "depth", -EBADMSG, "", false },
	{ "two-values", -EBADMSG, "", false },     { "wrong-type", -EBADMSG, "", false },
	{ "wrong-id", -EBADMSG, "", false },       { "double", 0, "", false },
	{ "wrong-stream", -ETIMEDOUT, "", false }, { "text", -EIO, "?[2J?level=error", false },
	{ "silence", -ETIMEDOUT, "", false },      { "trickle", 0, "", false },
	{ "credit", -EBADMSG, "", false },         { "length", -ECONNABORTED, "", true },
	{ "type", -ECONNABORTED, "", true },
};

static void try_guest(const struct guest_case *c)
{
	struct msg_ps ps = { .container = (char *)"c" };
	struct decoder decoder = DECODER_NONE;
	struct error err = { 0 };
	struct fake_peer good;
	char path[128];
	long sizes[2];
	int r;

	start(c->word);
	good = good_client();
	snprintf(path, sizeof(path), "%s/proxy.sock", launcher.dir);
	cr_assert_eq(decoder_open(&decoder, path, launcher.uid_base + UID_DECODER, false,
				  deadline_in_ms(PEER_MS), &err),
		     0, "%s: %s", c->word, err.text);
	sizes[0] = memory_of(decoder.pid, "VmPeak:");
	sizes[1] = memory_of(worker(), "VmPeak:");
	r = decoder_request(&decoder, MSG_PS, &ps, deadline_in_ms(ANSWER_MS), NULL, NULL, &err);
	cr_expect_eq(r, c->answer, "%s: %d %s", c->word, r, err.text);
	cr_expect(strstr(err.text, c->text) != NULL, "%s: %s", c->word, err.text);
	/* What came twice does not answer the next request. */
	if (str_eq(c->word, "double"))
		cr_expect_eq(decoder_request(&decoder, MSG_PS, &ps, deadline_in_ms(ANSWER_MS), NULL,
					     NULL, &err),
			     -EBADMSG, "%s", err.text);
	check_memory(decoder.pid, sizes[0], c->word);
	if (!c->link_ends) {
		check_good(&good, c->word);
		check_memory(worker(), sizes[1], c->word);
	} else {
		cr_expect_gt(strlen(peer_expect_close(&good, 0, CLOSE_VM_ENDED)), 10, "%s",
			     c->word);
	}
	decoder_close(&decoder);
	peer_fini(&good);
	launcher_fini(&launcher);
}

Test(peers, a_guest_garbles_its_own_answers_and_nothing_else)
{
	for (size_t i = 0; i < ARRAY_SIZE(guest_cases); i++)
		try_guest(&guest_cases[i]);
}

/* --- hostile clients -------------------------------------------------------------------------- */

/*
 * Credit is the other end's to look after: the worker passes on what that takes, and holds
 * nothing.
 */
static const struct client_case {
	const char *word, *outcome;
} client_cases[] = {
	{ "bomb", "closed" },   { "depth", "closed" },        { "length", "closed" },
	{ "half", "closed" },   { "trickle", "closed" },      { "flood", "closed" },
	{ "credit", "open" },   { "wrong-stream", "closed" }, { "double-open", "closed" },
	{ "answer", "closed" }, { "identity", "closed" },     { "descriptors", "open" },
	{ "many", "closed" },
};

/* Starts the program: the pipe with what it says. */
static int start_client(const char *word, pid_t *ret_pid)
{
	const char *program = launcher_program("tests/security/evil-client");
	char path[128];
	int fds[2];

	snprintf(path, sizeof(path), "%s/proxy.sock", launcher.dir);
	cr_assert(pipe2(fds, O_CLOEXEC) == 0);
	*ret_pid = fork();
	if (*ret_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], STDOUT_FILENO);
		execl(program, "evil-client", path, word, NULL);
		_exit(127);
	}
	close(fds[1]);
	return fds[0];
}

static void end_client(const struct client_case *c, pid_t pid, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char said[64] = "";
	ssize_t n;
	int status;

	cr_assert_eq(poll(&p, 1, PEER_MS), 1, "%s says nothing", c->word);
	n = read(fd, said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	cr_assert_eq(process_wait_child(pid, deadline_in_ms(PEER_MS), &status, NULL), 0);
	said[strcspn(said, "\n")] = '\0';
	cr_expect_str_eq(said, c->outcome, "%s: %s, status %x", c->word, said, status);
	close(fd);
}

Test(peers, hostile_clients_lose_their_own_connections_and_nothing_else)
{
	pid_t pids[ARRAY_SIZE(client_cases)], first;
	int pipes[ARRAY_SIZE(client_cases)], descriptors;
	struct fake_peer good;
	long size;
	char path[128];

	start("none");
	good = good_client();
	first = worker();
	descriptors = count_descriptors(first);
	size = memory_of(first, "VmPeak:");
	/* The one of another uid is to be refused by the worker and not by a mode. */
	snprintf(path, sizeof(path), "%s/proxy.sock", launcher.dir);
	cr_assert(chmod(path, 0666) == 0 && chmod(launcher.dir, 0711) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(client_cases); i++) {
		pipes[i] = start_client(client_cases[i].word, &pids[i]);
		check_good(&good, client_cases[i].word);
	}
	for (size_t i = 0; i < ARRAY_SIZE(client_cases); i++) {
		end_client(&client_cases[i], pids[i], pipes[i]);
		check_good(&good, client_cases[i].word);
	}
	/* Nobody brought it to its end, which the monitor would have mended. */
	cr_expect_eq(worker(), first);
	check_memory(first, size, "all of them");
	usleep(200000);
	cr_expect_leq(count_descriptors(worker()), descriptors);
	peer_fini(&good);
}
