/*
 * The real `kata-proxy worker` between a fake agent on a socketpair and real client sockets. The
 * worker gets its descriptors and rights as the monitor gives them, so this needs root.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/launch.h"
#include "common/privsep.h"
#include "common/process.h"
#include "common/wire.h"
#include "kata-proxy/park.h"
#include "kata-proxy/worker.h"
#include "tests/fake/fake-peer.h"
#include "tests/fake/launcher.h"

enum { MEMORY_MAX_KIB = 32 * 1024, ID_BASE = 3900000 };

static struct {
	char dir[64];
	pid_t pid;
	struct fake_peer agent;
	int console, qemu, virtiofsd, cause; /* what the worker reads: write ends */
	int logs[LOG_OF_COUNT];
} rig;

/* --- start and end ---------------------------------------------------------------------------- */

enum { FD_COUNT = WORKER_FD_PARK + 1 };

/* What the monitor does before it starts a worker; a sanitizer's needs its libraries. */
static int confine(void)
{
	const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
	uid_t uid = ID_BASE + UID_PROXY;
	struct error err;

	if (SANITIZED &&
	    (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	     mount(NULL, "/", NULL, flags, NULL) < 0))
		return -1;
	if (!SANITIZED && privsep_enter_root(-1, &err) < 0)
		return -1;
	return privsep_limit(PRIVSEP_WORKER, &err) < 0 ? -1 : privsep_drop(uid, uid, NULL, 0, &err);
}

/* What a monitor that fails could leave a worker. */
enum left {
	LEFT_NOTHING,
	LEFT_ALL,
	LEFT_ROOT,
	LEFT_LIMIT,
	LEFT_PRIVS,
	LEFT_CAPABILITY,
	LEFT_GROUP,
	LEFT_UID,
	LEFT_COUNT
};

/* The same, but for one thing; an exec as root gives the capabilities of the bounding set again. */
static int confine_but(enum left left)
{
	const int bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
			 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	uid_t uid = left == LEFT_UID ? 0 : ID_BASE + UID_PROXY;
	gid_t group = 0;
	struct error err;

	if (left == LEFT_NOTHING)
		return confine();
	if ((left != LEFT_ROOT && privsep_enter_root(-1, &err) < 0) ||
	    (left != LEFT_LIMIT && privsep_limit(PRIVSEP_WORKER, &err) < 0) ||
	    setgroups(left == LEFT_GROUP, &group) < 0 || prctl(PR_SET_SECUREBITS, bits) < 0)
		return -1;
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if ((left != LEFT_CAPABILITY || cap != CAP_CHOWN) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -1;
	if (setresgid(ID_BASE + UID_PROXY, ID_BASE + UID_PROXY, ID_BASE + UID_PROXY) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -1;
	return left == LEFT_PRIVS ? 0 : prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* As a worker has it by the monitor's filter: libuv 1.50 makes a ring for its loop else. */
static int forbid_rings(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (filter == NULL || seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) < 0 ||
	    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0) < 0)
		return -1;
	return seccomp_load(filter);
}

static _Noreturn void become_worker(int *fds, char *const args[], enum left left)
{
	/* As the monitor does: its folder may be closed to the worker's uid. */
	int program = open(launcher_program("kata-proxy/kata-proxy"), O_PATH | O_CLOEXEC);

	for (int i = 3; i < FD_COUNT; i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
	for (int i = 3; i < FD_COUNT; i++)
		if (dup2(fds[i], i) < 0)
			_exit(99);
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		dup2(fds[0], i);
	if (forbid_rings() < 0 || (left != LEFT_ALL && confine_but(left) < 0))
		_exit(98);
	execveat(program, "", args, environ, AT_EMPTY_PATH);
	_exit(97);
}

static int listen_for_clients(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/proxy.sock", rig.dir);
	cr_assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	cr_assert(chmod(address.sun_path, 0666) == 0 && listen(fd, 512) == 0);
	return fd;
}

static void start_with(enum left left, char *flag)
{
	char *const args[] = { "kata-proxy", "worker", "test", flag, NULL };
	int fds[FD_COUNT], link[2], console[2], pipes[3][2], park;
	const uint8_t key[FRAME_KEY] = "the key";
	struct error err;

	strcpy(rig.dir, "/tmp/kata-worker.XXXXXX");
	cr_assert(mkdtemp(rig.dir) != NULL && chmod(rig.dir, 0711) == 0);
	cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) == 0);
	cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console) == 0);
	for (int i = 0; i < 3; i++)
		cr_assert(pipe2(pipes[i], O_CLOEXEC) == 0);
	for (int i = 0; i < LOG_OF_COUNT; i++)
		rig.logs[i] = memfd_create("log", MFD_CLOEXEC);
	fds[WORKER_FD_AGENT] = link[1];
	fds[WORKER_FD_LOG] = rig.logs[LOG_OF_PROXY];
	fds[WORKER_FD_CLIENTS] = listen_for_clients();
	fds[WORKER_FD_CONSOLE] = console[1];
	fds[WORKER_FD_QEMU_STDERR] = pipes[0][0];
	fds[WORKER_FD_VIRTIOFSD_STDERR] = pipes[1][0];
	fds[WORKER_FD_LOG_AGENT] = rig.logs[LOG_OF_AGENT];
	fds[WORKER_FD_LOG_CONSOLE] = rig.logs[LOG_OF_CONSOLE];
	fds[WORKER_FD_LOG_QEMU] = rig.logs[LOG_OF_QEMU];
	fds[WORKER_FD_LOG_VIRTIOFSD] = rig.logs[LOG_OF_VIRTIOFSD];
	fds[WORKER_FD_CAUSE] = pipes[2][0];
	cr_assert(park_open(&park, &fds[WORKER_FD_PARK], &err) == 0 &&
		  park_send_key(park, key, &err) == 0);
	rig.pid = fork();
	cr_assert(rig.pid >= 0);
	if (rig.pid == 0)
		become_worker(fds, args, left);
	close(link[1]);
	close(console[1]);
	close(fds[WORKER_FD_CLIENTS]);
	close(fds[WORKER_FD_PARK]);
	close(park);
	for (int i = 0; i < 3; i++)
		close(pipes[i][0]);
	peer_init(&rig.agent, link[0]);
	rig.console = console[0];
	rig.qemu = pipes[0][1];
	rig.virtiofsd = pipes[1][1];
	rig.cause = pipes[2][1];
}

static void set_up(void)
{
	if (geteuid() != 0)
		cr_skip("needs root");
	signal(SIGPIPE, SIG_IGN);
	start_with(LEFT_NOTHING, NULL);
}

/* Waits for the worker's end: its exit status, or 1000 and the signal. */
static int worker_end(void)
{
	struct error err;
	int status;

	cr_assert(process_wait_child(rig.pid, deadline_in_ms(PEER_MS), &status, &err) == 0, "%s",
		  err.text);
	rig.pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void tear_down(void)
{
	char path[128];

	if (rig.pid > 0) {
		kill(rig.pid, SIGKILL);
		waitpid(rig.pid, NULL, 0);
	}
	peer_fini(&rig.agent);
	fd_close(&rig.console);
	fd_close(&rig.qemu);
	fd_close(&rig.virtiofsd);
	fd_close(&rig.cause);
	snprintf(path, sizeof(path), "%s/proxy.sock", rig.dir);
	unlink(path);
	rmdir(rig.dir);
}

TestSuite(worker, .init = set_up, .fini = tear_down, .timeout = 90);

/* --- clients ---------------------------------------------------------------------------------- */

static struct fake_peer client_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct fake_peer client;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/proxy.sock", rig.dir);
	cr_assert(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s",
		  strerror(errno));
	peer_init(&client, fd);
	return client;
}

static void agent_up(void)
{
	peer_answer_hello(&rig.agent, PROTOCOL_VERSION, "7.8");
}

/* A client that has the agent's HELLO. */
static struct fake_peer client_ready(void)
{
	struct fake_peer client = client_connect();

	peer_say_hello(&client, PROTOCOL_VERSION, "runtime");
	cr_assert_str_eq(peer_expect_hello(&client), "7.8");
	return client;
}

/* And one with a session; *ret_number is its channel on the agent's link. */
static struct fake_peer client_opened(uint32_t *ret_number)
{
	struct fake_peer client = client_ready();
	struct frame frame = { 0 };

	peer_send(&client, 1, FRAME_OPEN, 0, 0, "\x90", 1);
	cr_assert_eq(peer_next(&rig.agent, &frame, PEER_MS), 1);
	cr_assert_eq(frame.type, FRAME_OPEN);
	*ret_number = frame.channel;
	peer_send(&rig.agent, *ret_number, FRAME_OPEN, FRAME_ACK, 0, "\x91\x01", 2);
	peer_expect(&client, 1, FRAME_OPEN, FRAME_ACK);
	return client;
}

/* The client's session works: a request goes there and its reply comes back. */
static void check_alive(struct fake_peer *client, uint32_t number)
{
	struct frame frame;

	peer_send(client, 1, FRAME_REQUEST, 0, 77, "\x92\x01\x02", 3);
	frame = peer_expect(&rig.agent, number, FRAME_REQUEST, 0);
	cr_assert_eq(frame.id, 77);
	cr_assert_arr_eq(frame.payload, "\x92\x01\x02", 3);
	peer_send(&rig.agent, number, FRAME_REPLY, 0, 77, "\x93\x01\x02\x03", 4);
	frame = peer_expect(client, 1, FRAME_REPLY, 0);
	cr_assert_eq(frame.id, 77);
	cr_assert_eq(frame.length, 4);
	cr_assert_arr_eq(frame.payload, "\x93\x01\x02\x03", 4);
}

/* The worker's greatest memory so far, KiB. */
static long memory_peak(void)
{
	char path[64], line[256];
	CLEANUP(file_close) FILE *f = NULL;
	long kib;

	snprintf(path, sizeof(path), "/proc/%d/status", rig.pid);
	f = fopen(path, "re");
	cr_assert(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			return kib;
	cr_assert_fail("no VmHWM");
	return 0;
}

/* Sanitizers need memory of their own. */
static void check_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
	long peak = memory_peak();

	cr_assert_leq(peak, MEMORY_MAX_KIB, "%ld KiB", peak);
#endif
}

static const char *log_text(enum launcher_log log)
{
	return launcher_read(rig.logs[log]);
}

static int log_lines(enum launcher_log log)
{
	int n = 0;

	for (const char *p = log_text(log); *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

/* --- hello ------------------------------------------------------------------------------------ */

Test(worker, answers_hello_only_after_the_agent_did)
{
	struct fake_peer a = client_connect(), b = client_connect();

	peer_say_hello(&a, PROTOCOL_VERSION, "runtime");
	peer_say_hello(&b, PROTOCOL_VERSION, "shim");
	peer_expect_quiet(&a, 300);
	agent_up();
	cr_assert_str_eq(peer_expect_hello(&a), "7.8");
	cr_assert_str_eq(peer_expect_hello(&b), "7.8");
	peer_fini(&a);
	peer_fini(&b);
	a = client_ready();
	peer_fini(&a);
	cr_assert(strstr(log_text(LOG_OF_PROXY), "release=7.8") != NULL);
}

Test(worker, skips_what_is_stale_on_the_link)
{
	struct fake_peer client = client_connect(), other = { .nonce = { 1, 2, 3 } };
	static const char junk[3000] = "KATA junk";

	peer_say_hello(&client, PROTOCOL_VERSION, "runtime");
	other.fd = rig.agent.fd;
	peer_write(&rig.agent, junk, sizeof(junk));
	/* A whole answer, to a HELLO of before. */
	frame_new_nonce(other.nonce);
	{
		const struct msg_hello hello = { PROTOCOL_VERSION, "agent", "old", { NULL, 0 } };
		CLEANUP(buf_fini) struct buf payload = { 0 };

		cr_assert(frame_put_hello(&payload, other.nonce, &hello, NULL) == 0);
		peer_send(&rig.agent, 0, FRAME_HELLO, FRAME_ACK, 0, buf_at(&payload),
			  buf_len(&payload));
	}
	peer_write(&rig.agent, junk, 100);
	peer_expect_quiet(&client, 200);
	agent_up();
	cr_assert_str_eq(peer_expect_hello(&client), "7.8");
	peer_fini(&client);
}

Test(worker, refuses_an_agent_of_another_version)
{
	struct fake_peer client = client_connect();
	const char *text;

	peer_say_hello(&client, PROTOCOL_VERSION, "runtime");
	peer_expect_quiet(&client, 100);
	peer_answer_hello(&rig.agent, 99, "9.9");
	text = peer_expect_close(&client, 0, CLOSE_VM_ENDED);
	cr_assert(strstr(text, "99") != NULL && strstr(text, "agent") != NULL, "%s", text);
	cr_assert_eq(worker_end(), 0);
	peer_fini(&client);
}

Test(worker, closes_a_client_that_says_no_hello)
{
	struct fake_peer silent = client_connect(), client;
	int64_t since = deadline_now_ms();

	agent_up();
	peer_expect_close(&silent, 0, CLOSE_LIMIT);
	peer_expect_end(&silent);
	cr_assert_geq(deadline_now_ms() - since, 4500);
	cr_assert_leq(deadline_now_ms() - since, 8000);
	client = client_ready();
	peer_fini(&silent);
	peer_fini(&client);
}

/* Connects as a user and sends what came, 4096 bytes at most, through the pipe. */
static void connect_as(uid_t uid, int to)
{
	struct fake_peer client;
	struct frame frame;
	char word = '?';

	if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		_exit(1);
	client = client_connect();
	peer_say_hello(&client, PROTOCOL_VERSION, "shim");
	if (peer_next(&client, &frame, PEER_MS) == 1)
		word = frame.type == FRAME_HELLO ? 'h' : frame.type == FRAME_CLOSE ? 'c' : 'x';
	if (write(to, &word, 1) != 1)
		_exit(1);
	_exit(0);
}

Test(worker, takes_root_and_shims_only)
{
	static const struct {
		uid_t uid;
		char answer;
	} cases[] = {
		{ ID_BASE + UID_SHIM, 'h' },
		{ ID_BASE + UID_QEMU, 'c' },
		{ ID_BASE + UID_DECODER, 'c' },
		{ ID_BASE + UID_PROXY, 'c' },
		{ 65534, 'c' },
		{ ID_BASE + UID_BLOCK + UID_SHIM, 'c' },
	};

	agent_up();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int ends[2];
		char answer = 0;
		pid_t pid;

		cr_assert(pipe2(ends, O_CLOEXEC) == 0);
		pid = fork();
		if (pid == 0)
			connect_as(cases[i].uid, ends[1]);
		close(ends[1]);
		cr_assert(read(ends[0], &answer, 1) == 1, "uid %u", cases[i].uid);
		cr_assert_eq(answer, cases[i].answer, "uid %u got %c", cases[i].uid, answer);
		close(ends[0]);
		waitpid(pid, NULL, 0);
	}
	cr_assert(strstr(log_text(LOG_OF_PROXY), "uid=65534") != NULL);
}

/* --- routing ---------------------------------------------------------------------------------- */

enum { MANY = 24, ROUNDS = 60 };

/* Bytes of a frame, told by who sent it, its round and direction. */
static size_t fill(uint8_t *payload, unsigned who, unsigned round, unsigned direction)
{
	size_t len = 1 + (who * 7919 + round * 104729 + direction * 31) % 9000;

	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)(who * 3 + round * 5 + direction * 101 + i * 11);
	return len;
}

static void check_fill(const struct frame *frame, unsigned who, unsigned round, unsigned direction)
{
	static uint8_t want[16384];
	size_t len = fill(want, who, round, direction);

	cr_assert_eq(frame->length, len, "%u in round %u", who, round);
	cr_assert(memcmp(frame->payload, want, len) == 0, "%u in round %u", who, round);
}

Test(worker, routes_many_clients_and_doubles_nothing)
{
	static struct fake_peer clients[MANY];
	static uint8_t payload[16384];
	uint32_t numbers[MANY];
	struct frame frame;

	agent_up();
	for (unsigned i = 0; i < MANY; i++) {
		clients[i] = client_opened(&numbers[i]);
		for (unsigned j = 0; j < i; j++)
			cr_assert_neq(numbers[i], numbers[j]);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned seen[MANY] = { 0 };

		for (unsigned i = 0; i < MANY; i++)
			peer_send(&clients[i], 1, FRAME_DATA, 0, round % 3, payload,
				  fill(payload, i, round, 0));
		for (unsigned i = 0; i < MANY; i++) {
			unsigned who = 0;

			cr_assert_eq(peer_next(&rig.agent, &frame, PEER_MS), 1);
			while (who < MANY && numbers[who] != frame.channel)
				who++;
			cr_assert(who < MANY && seen[who]++ == 0);
			cr_assert(frame.type == FRAME_DATA && frame.id == round % 3);
			check_fill(&frame, who, round, 0);
		}
		for (unsigned i = MANY; i-- > 0;)
			peer_send(&rig.agent, numbers[i], FRAME_DATA, 0, 1, payload,
				  fill(payload, i, round, 1));
		for (unsigned i = 0; i < MANY; i++) {
			frame = peer_expect(&clients[i], 1, FRAME_DATA, 0);
			check_fill(&frame, i, round, 1);
		}
	}
	peer_expect_quiet(&rig.agent, 50);
	for (unsigned i = 0; i < MANY; i++) {
		peer_expect_quiet(&clients[i], 1);
		peer_fini(&clients[i]);
	}
}

Test(worker, never_uses_a_channel_number_again)
{
	uint32_t first, second;
	struct fake_peer client;

	agent_up();
	client = client_opened(&first);
	peer_fini(&client);
	peer_expect_close(&rig.agent, first, CLOSE_LOST);
	/* A frame for the one that left goes nowhere. */
	peer_send(&rig.agent, first, FRAME_DATA, 0, 1, "\x92\x00\xc4\x00", 4);
	client = client_opened(&second);
	cr_assert_gt(second, first);
	check_alive(&client, second);
	peer_fini(&client);
}

Test(worker, tells_lost_from_done)
{
	const struct msg_close done = { .reason = CLOSE_DONE, .text = "" };
	struct fake_peer client, ready;
	uint32_t number;

	agent_up();
	client = client_opened(&number);
	peer_send_message(&client, 1, FRAME_CLOSE, 0, 0, MSG_CLOSE, &done);
	peer_fini(&client);
	peer_expect_close(&rig.agent, number, CLOSE_DONE);
	peer_expect_quiet(&rig.agent, 200);
	ready = client_ready(); /* no session: nothing to tell */
	peer_fini(&ready);
	peer_expect_quiet(&rig.agent, 200);
	client = client_opened(&number);
	peer_fini(&client);
	peer_expect_close(&rig.agent, number, CLOSE_LOST);
}

Test(worker, passes_the_agents_close_on_and_closes)
{
	const struct msg_close refused = { .reason = CLOSE_REFUSED, .text = "no such handle" };
	struct fake_peer client;
	uint32_t number;

	agent_up();
	client = client_opened(&number);
	peer_send(&rig.agent, number, FRAME_DATA, 0, 1, "\x92\x00\xc4\x00", 4);
	peer_send_message(&rig.agent, number, FRAME_CLOSE, 0, 0, MSG_CLOSE, &refused);
	peer_expect(&client, 1, FRAME_DATA, 0);
	cr_assert_str_eq(peer_expect_close(&client, 1, CLOSE_REFUSED), "no such handle");
	peer_expect_end(&client);
	peer_expect_quiet(&rig.agent, 200); /* the agent knows */
	peer_fini(&client);
}

Test(worker, answers_pings_itself)
{
	struct fake_peer client;
	struct frame frame;

	agent_up();
	client = client_ready();
	peer_send(&client, 0, FRAME_PING, 0, 5, "\xc0", 1);
	frame = peer_expect(&client, 0, FRAME_PONG, 0);
	cr_assert_eq(frame.id, 5);
	peer_send(&rig.agent, 0, FRAME_PING, 0, 6, "\xc0", 1);
	frame = peer_expect(&rig.agent, 0, FRAME_PONG, 0);
	cr_assert_eq(frame.id, 6);
	peer_fini(&client);
}

/* --- hostile clients -------------------------------------------------------------------------- */

struct sent {
	uint32_t channel;
	uint8_t type, flags;
	const char *payload;
	size_t len;
};

enum phase { AT_START, WHEN_READY, WHEN_OPENED };

static const struct bad_case {
	const char *name;
	enum phase phase;
	struct sent sent;
} bad_cases[] = {
	{ "request first", AT_START, { 1, FRAME_REQUEST, 0, "\xc0", 1 } },
	{ "open first", AT_START, { 1, FRAME_OPEN, 0, "\xc0", 1 } },
	{ "ping first", AT_START, { 0, FRAME_PING, 0, "\xc0", 1 } },
	{ "hello that is none", AT_START, { 0, FRAME_HELLO, 0, "\x92\xc0\xc0", 3 } },
	{ "hello with ack", AT_START, { 0, FRAME_HELLO, FRAME_ACK, "\xc0", 1 } },
	{ "request before open", WHEN_READY, { 1, FRAME_REQUEST, 0, "\xc0", 1 } },
	{ "data before open", WHEN_READY, { 1, FRAME_DATA, 0, "\xc0", 1 } },
	{ "close before open", WHEN_READY, { 1, FRAME_CLOSE, 0, "\xc0", 1 } },
	{ "another channel", WHEN_READY, { 2, FRAME_OPEN, 0, "\xc0", 1 } },
	{ "hello again", WHEN_READY, { 0, FRAME_HELLO, 0, "\xc0", 1 } },
	{ "open twice", WHEN_OPENED, { 1, FRAME_OPEN, 0, "\xc0", 1 } },
	{ "open with ack", WHEN_OPENED, { 1, FRAME_OPEN, FRAME_ACK, "\xc0", 1 } },
	{ "a reply", WHEN_OPENED, { 1, FRAME_REPLY, 0, "\xc0", 1 } },
	{ "an event", WHEN_OPENED, { 1, FRAME_EVENT, 0, "\xc0", 1 } },
	{ "hello in a session", WHEN_OPENED, { 1, FRAME_HELLO, 0, "\xc0", 1 } },
	{ "ping in a session", WHEN_OPENED, { 1, FRAME_PING, 0, "\xc0", 1 } },
	{ "request on the hop", WHEN_OPENED, { 0, FRAME_REQUEST, 0, "\xc0", 1 } },
	{ "data of another channel", WHEN_OPENED, { 7, FRAME_DATA, 0, "\xc0", 1 } },
	{ "long ping",
	  WHEN_OPENED,
	  { 0, FRAME_PING, 0,
	    "\xc4\x20"
	    "0123456789012345678901234567890",
	    34 } },
};

Test(worker, closes_only_the_client_that_breaks_the_protocol)
{
	struct fake_peer good;
	uint32_t good_number;

	agent_up();
	good = client_opened(&good_number);
	for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
		const struct bad_case *c = &bad_cases[i];
		uint32_t number = 0;
		struct fake_peer bad = c->phase == AT_START     ? client_connect()
				       : c->phase == WHEN_READY ? client_ready()
								: client_opened(&number);

		peer_send(&bad, c->sent.channel, c->sent.type, c->sent.flags, 1, c->sent.payload,
			  c->sent.len);
		cr_assert(strlen(peer_expect_close(&bad, 0, CLOSE_PROTOCOL)) > 0, "%s", c->name);
		peer_expect_end(&bad);
		if (c->phase == WHEN_OPENED)
			peer_expect_close(&rig.agent, number, CLOSE_LOST);
		check_alive(&good, good_number);
		peer_fini(&bad);
	}
	peer_fini(&good);
}

Test(worker, closes_a_client_whose_bytes_are_no_frames)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "GET / HTTP/1.0\r\n\r\n", 18 },
		{ "\xff\xff\xff\xff\0\0\0\0\x04\0\0\0\0\0\0\0", 16 },
		{ "\x00\x10\x00\x01\0\0\0\x01\x04\0\0\0\0\0\0\0", 16 }, /* 1 MiB and one */
		{ "\0\0\0\x01\0\0\0\0\x63\0\0\0\0\0\0\0\xc0", 17 },     /* unknown type */
		{ "\0\0\0\x01\0\0\0\0\x01\x80\0\0\0\0\0\0\xc0", 17 },   /* unknown flag */
		{ "\0\0\0\x01\0\0\0\0\x01\0\x01\0\0\0\0\0\xc0", 17 },   /* not zero */
	};
	struct fake_peer good;
	uint32_t number;

	agent_up();
	good = client_opened(&number);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_peer bad = client_connect();
		struct frame frame;

		peer_write(&bad, cases[i].bytes, cases[i].len);
		cr_assert_eq(peer_next(&bad, &frame, 3000), 0, "case %zu", i);
		check_alive(&good, number);
		peer_fini(&bad);
	}
	peer_fini(&good);
}

Test(worker, limits_the_number_of_clients)
{
	static struct fake_peer clients[256];
	struct fake_peer late;

	agent_up();
	for (int i = 0; i < 256; i++)
		clients[i] = client_ready();
	late = client_connect();
	cr_expect_str_eq(peer_expect_close(&late, 0, CLOSE_LIMIT), "there are too many clients");
	peer_expect_end(&late);
	peer_fini(&late);
	peer_fini(&clients[17]);
	usleep(200000);
	clients[17] = client_ready();
	for (int i = 0; i < 256; i++)
		peer_fini(&clients[i]);
}

/* --- who does not read ------------------------------------------------------------------------ */

Test(worker, cuts_off_a_client_that_does_not_read)
{
	static uint8_t data[16384];
	struct fake_peer stuck, good;
	uint32_t stuck_number, good_number;
	struct frame frame = { 0 };
	unsigned sent = 0;

	agent_up();
	stuck = client_opened(&stuck_number);
	good = client_opened(&good_number);
	/* More than two windows and all that a socket holds. */
	for (; sent < 30; sent++)
		peer_send(&rig.agent, stuck_number, FRAME_DATA, 0, 1, data, sizeof(data));
	check_alive(&good, good_number);
	/* And then a flood that no window allows. */
	for (; sent < 400; sent++)
		peer_send(&rig.agent, stuck_number, FRAME_DATA, 0, 1, data, sizeof(data));
	peer_expect_close(&rig.agent, stuck_number, CLOSE_LOST);
	check_alive(&good, good_number);
	/* What it had got by then was whole. */
	while (peer_next(&stuck, &frame, PEER_MS) == 1)
		cr_assert(frame.type == FRAME_DATA && frame.length == sizeof(data));
	cr_assert(strstr(log_text(LOG_OF_PROXY), "does not read") != NULL);
	check_memory();
	peer_fini(&stuck);
	peer_fini(&good);
}

Test(worker, does_not_read_clients_while_the_agent_does_not)
{
	enum { FRAMES = 1200 };
	static uint8_t payload[16384];
	struct fake_peer client, other;
	uint32_t number, other_number;
	unsigned received = 0;
	struct pollfd p;
	pid_t pid;

	agent_up();
	other = client_opened(&other_number);
	client = client_opened(&number);
	pid = fork();
	if (pid == 0) {
		for (unsigned i = 0; i < FRAMES; i++)
			peer_send(&client, 1, FRAME_DATA, 0, 0, payload, fill(payload, 1, i, 0));
		_exit(0);
	}
	/* It comes to a stand, far below what it has to say. */
	usleep(500000);
	p = (struct pollfd){ .fd = client.fd, .events = POLLOUT };
	cr_assert_eq(poll(&p, 1, 0), 0, "the client can still write");
	check_memory();
	while (received < FRAMES) {
		struct frame frame = peer_expect(&rig.agent, number, FRAME_DATA, 0);

		check_fill(&frame, 1, received++, 0);
	}
	peer_expect_quiet(&rig.agent, 50);
	waitpid(pid, NULL, 0);
	check_alive(&other, other_number);
	check_alive(&client, number);
	peer_fini(&client);
	peer_fini(&other);
}

/* Sends without waiting. */
static void send_some(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		p += sent;
		n -= (size_t)sent;
	}
}

Test(worker, holds_little_for_many_hostile_clients)
{
	static struct fake_peer clients[250];
	static uint8_t half[900000];
	struct frame head = { .length = FRAME_CONTROL_MAX, .channel = 1, .type = FRAME_REQUEST };
	struct fake_peer good;
	uint32_t number;

	agent_up();
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_ready();
	/* Each begins a frame of a mebibyte and does not end it. */
	frame_put_header(half, &head);
	for (int round = 0; round < 8; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
			send_some(clients[i].fd, half + (round > 0 ? FRAME_HEADER : 0), 100000);
		usleep(50000);
	}
	good = client_opened(&number);
	check_alive(&good, number);
	check_memory();
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		peer_fini(&clients[i]);
	peer_fini(&good);
}

/* A guest that helps them: the smallest frames, which cost most to keep. */
Test(worker, holds_little_for_a_guest_that_floods_clients)
{
	static struct fake_peer clients[200];
	static uint32_t numbers[ARRAY_SIZE(clients)];
	struct fake_peer good;
	uint32_t good_number;
	struct frame frame = { 0 };

	agent_up();
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_opened(&numbers[i]);
	for (int round = 0; round < 3000; round++)
		for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
			peer_send(&rig.agent, numbers[i], FRAME_WINDOW, 0, 0, "\x92\x01\x02", 3);
	/* The worker is behind until it answers. */
	peer_send(&rig.agent, 0, FRAME_PING, 0, 9, "\xc0", 1);
	while (peer_next(&rig.agent, &frame, 60000) == 1 && frame.type != FRAME_PONG)
		cr_assert_eq(frame.type, FRAME_CLOSE);
	cr_assert_eq(frame.type, FRAME_PONG);
	check_memory();
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		peer_fini(&clients[i]);
	while (peer_next(&rig.agent, &frame, 300) == 1)
		cr_assert_eq(frame.type, FRAME_CLOSE);
	good = client_opened(&good_number);
	check_alive(&good, good_number);
	peer_fini(&good);
}

/* --- a hostile guest -------------------------------------------------------------------------- */

Test(worker, an_agent_that_breaks_the_protocol_ends_the_link)
{
	enum { CLIENTS = 1000 }; /* stands for the channel of a client */
	static const struct sent cases[] = {
		{ 0, FRAME_REQUEST, 0, "\xc0", 1 },
		{ 0, FRAME_HELLO, FRAME_ACK, "\xc0", 1 },
		{ 0, FRAME_EVENT, 0, "\x92\x29\xc0", 3 },
		{ 0, FRAME_DATA, 0, "\xc0", 1 },
		{ CLIENTS, FRAME_REQUEST, 0, "\xc0", 1 },
		{ CLIENTS, FRAME_HELLO, 0, "\xc0", 1 },
		{ CLIENTS, FRAME_OPEN, 0, "\xc0", 1 },
		{ CLIENTS, FRAME_EVENT, FRAME_ACK, "\xc0", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct sent *s = &cases[i];
		struct fake_peer client;
		uint32_t number;

		if (i > 0)
			start_with(LEFT_NOTHING, NULL);
		agent_up();
		client = client_opened(&number);
		peer_send(&rig.agent, s->channel == CLIENTS ? number : s->channel, s->type,
			  s->flags, 1, s->payload, s->len);
		cr_assert(strlen(peer_expect_close(&client, 0, CLOSE_VM_ENDED)) > 20);
		peer_expect_end(&client);
		cr_assert_eq(worker_end(), 0);
		peer_fini(&client);
		if (i + 1 < ARRAY_SIZE(cases))
			tear_down();
	}
}

/* --- logs ------------------------------------------------------------------------------------- */

static void await_text(enum launcher_log log, const char *text)
{
	int64_t deadline = deadline_in_ms(PEER_MS);

	while (strstr(log_text(log), text) == NULL) {
		cr_assert(deadline_left_ms(deadline) > 0, "no %s in: %s", text, log_text(log));
		usleep(10000);
	}
}

static void say(int fd, const char *text)
{
	cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

Test(worker, writes_the_logs_of_others)
{
	const struct msg_log record = { .level = 4, .text = "disk full\nlevel=error forged=1" };

	agent_up();
	say(rig.qemu, "qemu: warning \x1b[31m\"red\"\n");
	say(rig.virtiofsd, "half a");
	say(rig.virtiofsd, " line\r\n\n");
	peer_send_message(&rig.agent, 0, FRAME_EVENT, 0, 1, MSG_LOG, &record);
	await_text(LOG_OF_QEMU, "msg=\"qemu: warning \\x1b[31m\\x22red\\x22\"");
	await_text(LOG_OF_VIRTIOFSD, "msg=\"half a line\"");
	await_text(LOG_OF_AGENT, "msg=\"disk full\"");
	await_text(LOG_OF_AGENT, "msg=\"level=error forged=1\"");
	cr_assert(strstr(log_text(LOG_OF_AGENT), "component=agent") != NULL);
	cr_assert_eq(log_lines(LOG_OF_QEMU), 1);
	cr_assert_eq(log_lines(LOG_OF_VIRTIOFSD), 1);
	cr_assert_str_eq(log_text(LOG_OF_CONSOLE), "");
}

Test(worker, keeps_the_console_to_itself_until_it_matters)
{
	struct fake_peer client;

	agent_up();
	client = client_ready();
	say(rig.console, "booting\r\nKernel panic - not syncing: Not a directory\r\n");
	usleep(200000);
	cr_assert_str_eq(log_text(LOG_OF_CONSOLE), "");
	say(rig.cause, "qemu exited 0\n");
	cr_assert_str_eq(peer_expect_close(&client, 0, CLOSE_VM_ENDED),
			 "the VM ended: guest panic: console: Kernel panic - not syncing: "
			 "a part of the path is no directory");
	peer_expect_end(&client);
	cr_assert_eq(worker_end(), 0);
	cr_assert(strstr(log_text(LOG_OF_CONSOLE), "msg=booting") != NULL);
	cr_assert(strstr(log_text(LOG_OF_CONSOLE), "Kernel panic") != NULL);
	cr_assert(strstr(log_text(LOG_OF_PROXY), "level=error") != NULL);
	peer_fini(&client);
}

Test(worker, bounds_a_flood_of_lines)
{
	static char line[3000];

	tear_down();
	start_with(LEFT_NOTHING, "--guest-debug");
	agent_up();
	memset(line, 'x', sizeof(line) - 2);
	line[sizeof(line) - 2] = '\n';
	say(rig.console, line);
	for (int i = 0; i < 20000; i++)
		say(rig.console, "again and again\n");
	await_text(LOG_OF_CONSOLE, "xxx... sandbox");
	usleep(1500000);
	say(rig.console, "the end\n");
	await_text(LOG_OF_CONSOLE, "lines were dropped");
	await_text(LOG_OF_CONSOLE, "msg=\"the end\"");
	cr_assert_leq(log_lines(LOG_OF_CONSOLE), 500, "%d", log_lines(LOG_OF_CONSOLE));
	check_memory();
}

/* --- the end ---------------------------------------------------------------------------------- */

Test(worker, tells_all_clients_that_the_link_ended)
{
	struct fake_peer waiting = client_connect(), silent = client_connect(), opened;
	const char *want = "the VM ended: the connection to the agent ended";
	uint32_t number;

	agent_up();
	opened = client_opened(&number);
	(void)waiting;
	peer_fini(&rig.agent);
	cr_assert_str_eq(peer_expect_close(&opened, 0, CLOSE_VM_ENDED), want);
	cr_assert_str_eq(peer_expect_close(&silent, 0, CLOSE_VM_ENDED), want);
	cr_assert_str_eq(peer_expect_close(&waiting, 0, CLOSE_VM_ENDED), want);
	peer_expect_end(&opened);
	cr_assert_eq(worker_end(), 0);
	peer_fini(&waiting);
	peer_fini(&silent);
	peer_fini(&opened);
}

Test(worker, tells_clients_that_wait_for_the_agent)
{
	struct fake_peer client = client_connect();

	peer_say_hello(&client, PROTOCOL_VERSION, "runtime");
	peer_expect_quiet(&client, 100);
	say(rig.qemu, "qemu: could not load kernel: No such file or directory\n");
	peer_fini(&rig.agent);
	say(rig.cause, "qemu exited 1\n");
	cr_assert_str_eq(
		peer_expect_close(&client, 0, CLOSE_VM_ENDED),
		"the VM ended: qemu exited 1: qemu: qemu: could not load kernel: not found");
	cr_assert_eq(worker_end(), 0);
	peer_fini(&client);
}

/* What QEMU warned of before does not hide what the exit status tells. */
Test(worker, knows_a_panic_of_a_qemu_that_prints)
{
	static const char *const panic = "Kernel panic - not syncing: sysrq";
	static const struct {
		const char *before, *after, *console, *words;
	} cases[] = {
		{ "qemu: warning: a\n", "", "", "the VM ended: guest panic" },
		{ "qemu: warning: a\n", "qemu: warning: b\n", panic,
		  "the VM ended: guest panic: console: Kernel panic - not syncing: sysrq" },
		{ "", "qemu: cannot go on\n", "",
		  "the VM ended: qemu exited 1: qemu: qemu: cannot go on" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_peer client;

		if (i > 0) {
			tear_down();
			set_up();
		}
		if (cases[i].before[0] != '\0') {
			say(rig.qemu, cases[i].before);
			await_text(LOG_OF_QEMU, "warning: a");
		}
		agent_up();
		client = client_ready();
		say(rig.console, cases[i].console);
		say(rig.qemu, cases[i].after);
		say(rig.cause, "qemu exited 1\n");
		cr_assert_str_eq(peer_expect_close(&client, 0, CLOSE_VM_ENDED), cases[i].words);
		cr_assert_eq(worker_end(), 0);
		peer_fini(&client);
	}
}

Test(worker, blames_virtiofsd)
{
	struct fake_peer client;

	agent_up();
	client = client_ready();
	say(rig.virtiofsd, "virtiofsd: out of luck\n");
	say(rig.cause, "virtiofsd signal 6\n");
	cr_assert_str_eq(peer_expect_close(&client, 0, CLOSE_VM_ENDED),
			 "the VM ended: virtiofsd signal 6: virtiofsd: virtiofsd: out of luck");
	cr_assert_eq(worker_end(), 0);
	peer_fini(&client);
}

Test(worker, an_announced_end_is_no_error)
{
	const struct msg_close done = { .reason = CLOSE_DONE, .text = "" };

	agent_up();
	say(rig.console, "Power down\n");
	peer_send_message(&rig.agent, 0, FRAME_CLOSE, 0, 0, MSG_CLOSE, &done);
	peer_expect_quiet(&rig.agent, 100);
	peer_fini(&rig.agent);
	say(rig.cause, "qemu exited 0\n");
	cr_assert_eq(worker_end(), 0);
	cr_assert(strstr(log_text(LOG_OF_PROXY), "level=error") == NULL, "%s",
		  log_text(LOG_OF_PROXY));
	cr_assert_str_eq(log_text(LOG_OF_CONSOLE), "");
}

/* What QEMU exits with, whether the agent was there, whether that is an error. */
Test(worker, tells_a_power_off_from_a_failure)
{
	static const struct {
		const char *cause;
		bool up, error;
	} cases[] = {
		{ "qemu exited 0\n", true, false }, { "qemu exited 0\n", false, true },
		{ "qemu exited 1\n", true, true },  { "qemu signal 9\n", true, true },
		{ "operator\n", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_peer client = client_connect();

		peer_say_hello(&client, PROTOCOL_VERSION, "runtime");
		if (cases[i].up) {
			agent_up();
			peer_expect_hello(&client);
		}
		say(rig.console, "the last line\n");
		say(rig.cause, cases[i].cause);
		peer_expect_close(&client, 0, CLOSE_VM_ENDED);
		cr_assert_eq(worker_end(), 0);
		cr_assert_eq(strstr(log_text(LOG_OF_PROXY), "level=error") != NULL, cases[i].error,
			     "case %zu: %s", i, log_text(LOG_OF_PROXY));
		cr_assert_eq(log_lines(LOG_OF_CONSOLE), cases[i].error);
		peer_fini(&client);
		tear_down();
		start_with(LEFT_NOTHING, NULL);
	}
}

Test(worker, ends_in_order_on_sigterm)
{
	struct fake_peer client;

	agent_up();
	client = client_ready();
	cr_assert(kill(rig.pid, SIGINT) == 0 && kill(rig.pid, SIGHUP) == 0);
	peer_expect_quiet(&client, 100);
	cr_assert(kill(rig.pid, SIGTERM) == 0);
	cr_assert_str_eq(peer_expect_close(&client, 0, CLOSE_VM_ENDED), "the VM was stopped");
	peer_expect_end(&client);
	cr_assert_eq(worker_end(), 0);
	peer_fini(&client);
}

Test(worker, does_not_wait_long_for_clients_that_do_not_read)
{
	static uint8_t data[16384];
	struct fake_peer stuck;
	uint32_t number;
	int64_t since;

	agent_up();
	stuck = client_opened(&number);
	for (int i = 0; i < 40; i++)
		peer_send(&rig.agent, number, FRAME_DATA, 0, 1, data, sizeof(data));
	since = deadline_now_ms();
	say(rig.cause, "qemu signal 9\n");
	cr_assert_eq(worker_end(), 0);
	cr_assert_leq(deadline_now_ms() - since, 1000);
	peer_fini(&stuck);
}

Test(worker, does_not_run_with_a_right_that_is_left)
{
	static const char *const says[LEFT_COUNT] = {
		[LEFT_ALL] = "uid is 0/0/0",
		[LEFT_ROOT] = "the root is not the confined one",
		[LEFT_LIMIT] = "RLIMIT_NOFILE is left above 512",
		[LEFT_PRIVS] = "no_new_privs is not set",
		[LEFT_CAPABILITY] = "capability 0 is left in the bounding set",
		[LEFT_GROUP] = "group 0 is left",
		[LEFT_UID] = "uid is 0/0/0",
	};

	for (enum left left = LEFT_ALL; left < LEFT_COUNT; left++) {
		if (SANITIZED && left != LEFT_ALL)
			break; /* its libraries are not in an empty root */
		tear_down();
		start_with(left, NULL);
		cr_expect_eq(worker_end(), 1, "%s", says[left]);
		cr_expect(strstr(log_text(LOG_OF_PROXY), "the worker did not start") != NULL);
		cr_expect(strstr(log_text(LOG_OF_PROXY), says[left]) != NULL, "%s: %s", says[left],
			  log_text(LOG_OF_PROXY));
	}
}
