/*
 * kata-agent/agent.c: a new host behind the port. The port is a terminal here, the agent has its
 * master: it tells of a hang-up when the slave is closed, and no more when it is opened again, as
 * the driver does of QEMU's end. The hosts, one after the other, write to the slave from within the
 * agent's loop.
 */
#include "kata-agent/agent.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/frame.h"
#include "common/wire.h"

enum { DEADLINE_MS = 5000 };

static struct agent agent;

static struct {
	int master; /* to look at; the agent has a copy */
	int slave;  /* the host's; -1: there is none */
	uint8_t key[FRAME_KEY], nonce[FRAME_NONCE];
	struct buf input; /* what the present host has read */
	int change;       /* eventfd */
	uv_poll_t on_change;
	uv_timer_t timer;
	int64_t deadline;
	unsigned answers; /* hosts that got one */
} port;

static void begin_host(void)
{
	const struct msg_hello hello = { .version = PROTOCOL_VERSION,
					 .component = (char *)"proxy",
					 .release = (char *)"test" };
	struct frame frame = { .type = FRAME_HELLO };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct pollfd p = { .fd = port.master, .events = POLLIN };
	uint8_t bytes[512];

	port.slave = open(ptsname(port.master), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	cr_assert_geq(port.slave, 0);
	frame_new_nonce(port.nonce);
	frame_set_key(port.nonce, port.key);
	cr_assert_eq(frame_put_hello(&payload, port.nonce, &hello, NULL), 0);
	frame.length = (uint32_t)buf_len(&payload);
	cr_assert_leq(FRAME_HEADER + frame.length, sizeof(bytes));
	frame_put_header(bytes, &frame);
	memcpy(bytes + FRAME_HEADER, buf_at(&payload), frame.length);
	cr_assert_eq(write(port.slave, bytes, FRAME_HEADER + frame.length),
		     FRAME_HEADER + frame.length);
	cr_assert_eq(poll(&p, 1, DEADLINE_MS), 1);
}

static void end_host(void)
{
	close(port.slave);
	port.slave = -1;
	buf_fini(&port.input);
}

/* Whether the agent answered this host's HELLO. */
static bool is_answered(void)
{
	uint8_t bytes[512];
	ssize_t n;

	while ((n = read(port.slave, bytes, sizeof(bytes))) > 0)
		cr_assert_eq(buf_append(&port.input, bytes, (size_t)n), 0);
	return frame_find_hello(&port.input, true, port.nonce) == 1;
}

/* The agent's loop has this before the hang-up that woke it too, which is no longer true then. */
static void on_change(uv_poll_t *handle, int status, int events)
{
	struct pollfd p = { .fd = port.master };
	uint64_t count;

	(void)handle;
	(void)events;
	cr_assert_eq(status, 0);
	cr_assert_eq(read(port.change, &count, sizeof(count)), sizeof(count));
	begin_host();
	cr_assert_eq(poll(&p, 1, 0), 0, "it has a host");
}

/* Ends the host; another one is there before the agent looks. */
static void change_host(void)
{
	const uint64_t one = 1;
	struct pollfd p = { .fd = port.master };

	cr_assert_eq(write(port.change, &one, sizeof(one)), sizeof(one));
	end_host();
	cr_assert(poll(&p, 1, 0) == 1 && p.revents == POLLHUP);
}

static void on_timer(uv_timer_t *timer)
{
	cr_assert_gt(deadline_left_ms(port.deadline), 0, "host %u got no answer", port.answers);
	if (port.slave < 0 || !is_answered())
		return;
	port.deadline = deadline_in_ms(DEADLINE_MS);
	if (++port.answers < 3) {
		change_host();
		return;
	}
	end_host();
	uv_close((uv_handle_t *)timer, NULL);
	uv_close((uv_handle_t *)&port.on_change, NULL);
	agent_stop(&agent);
}

static void open_port(void)
{
	struct termios raw;

	memset(&port, 0, sizeof(port));
	port.master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	cr_assert(port.master >= 0 && grantpt(port.master) == 0 && unlockpt(port.master) == 0);
	cr_assert_eq(tcgetattr(port.master, &raw), 0);
	cfmakeraw(&raw);
	cr_assert_eq(tcsetattr(port.master, TCSANOW, &raw), 0);
	port.change = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cr_assert_geq(port.change, 0);
	port.deadline = deadline_in_ms(DEADLINE_MS);
}

Test(agent, a_host_that_came_with_a_hang_up, .timeout = 30)
{
	const struct agent_options options = { .share = "/nowhere/share",
					       .cgroup = "/nowhere/cgroup",
					       .console = -1 };
	struct link_source source = { .kind = LINK_PORT_DEVICE };
	struct error err = { 0 };

	open_port();
	begin_host();
	source.socket = fcntl(port.master, F_DUPFD_CLOEXEC, 3);
	cr_assert_geq(source.socket, 0);
	cr_assert_eq(agent_start(&agent, &options, &source, &err), 0, "%s", err.text);
	uv_poll_init(&agent.loop, &port.on_change, port.change);
	uv_poll_start(&port.on_change, UV_READABLE, on_change);
	uv_timer_init(&agent.loop, &port.timer);
	uv_timer_start(&port.timer, on_timer, 0, 5);
	cr_expect_eq(agent_run(&agent, &err), 0, "%s", err.text);
	close(port.master);
	close(port.change);
}
