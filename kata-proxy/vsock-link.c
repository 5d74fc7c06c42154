/*
 * The vsock device's events: see vsock-link.h. Called by worker.c; everything runs in the worker's
 * loop and nothing blocks. Guest and QEMU are hostile: each callback does a bounded amount of work.
 */
#include "kata-proxy/vsock-link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdpass.h"
#include "common/log.h"
#include "kata-proxy/park.h"

enum { STREAM_READS = 4, MESSAGES_AT_ONCE = 16, TELL_MS = 5 };

_Static_assert((int)VSOCK_SLOTS <= (int)PARK_SLOTS, "the monitor keeps fewer descriptors");

#define STATE_MAGIC UINT32_C(0x6b767330) /* new with every change of struct vsock_kept */

/* Written by one worker and read by the next, which does not trust it. */
struct vsock_kept {
	uint32_t magic; /* 0: there was no worker yet */
	uint32_t busy;  /* a message of QEMU's was taken and not dealt with: nobody can go on */
	uint32_t guest_port;
	struct vhost_user_saved user;
};

/* A queue's eventfd in the loop; on the heap, since QEMU may replace it while one closes. */
struct vsock_kick {
	uv_poll_t poll;
	struct vsock_link *link;
	int fd; /* vhost_user's */
};

/* --- between the device and the stream -------------------------------------------------------- */

static void end_stream(struct vsock_link *link)
{
	if (link->stream < 0)
		return;
	uv_poll_stop(&link->stream_poll);
	fd_close(&link->stream);
}

/* The guest's bytes to the stream, as many as it takes. */
static void drain_input(struct vsock_link *link)
{
	struct vsock_device *device = &link->device;

	while (link->stream >= 0 && buf_len(&device->input) > 0) {
		ssize_t n = send(link->stream, buf_at(&device->input), buf_len(&device->input),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			end_stream(link); /* the link was closed on the other end */
			return;
		}
		vsock_device_consumed(device, (size_t)n);
	}
	if (buf_len(&device->input) == 0) {
		buf_fini(&device->input); /* an idle link holds no memory */
		if (device->state == VSOCK_CLOSED)
			end_stream(link);
	}
}

/* What is left of the output to the guest: true when all of it went. */
static bool flush_output(struct vsock_link *link)
{
	link->output_start += vsock_device_send(&link->device, link->output + link->output_start,
						link->output_end - link->output_start);
	return link->output_start == link->output_end;
}

static void fill_output(struct vsock_link *link)
{
	for (int i = 0; i < STREAM_READS && link->device.state == VSOCK_OPEN; i++) {
		ssize_t n;

		if (!flush_output(link) || link->stream < 0)
			return;
		n = recv(link->stream, link->output, sizeof(link->output), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			end_stream(link);
		if (n <= 0)
			return;
		link->output_start = 0;
		link->output_end = (size_t)n;
	}
	flush_output(link);
}

static void on_stream(uv_poll_t *poll, int status, int events);

/* Waits for what can be used now: bytes only when the last ones are with the guest. */
static void watch_stream(struct vsock_link *link)
{
	int events = 0;

	if (link->stream < 0)
		return;
	if (link->device.state == VSOCK_OPEN && link->output_start == link->output_end)
		events |= UV_READABLE;
	if (buf_len(&link->device.input) > 0)
		events |= UV_WRITABLE;
	if (events != 0)
		uv_poll_start(&link->stream_poll, events, on_stream);
	else
		uv_poll_stop(&link->stream_poll);
}

static void signal_queue(struct vsock_link *link, int i)
{
	const uint64_t one = 1;
	int call = link->user.rings[i].call;

	if (virtqueue_must_signal(&link->device.queues[i]) && call >= 0 &&
	    write(call, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_debug("the guest was not told", KV("queue", i), KV("errno", errno));
}

static void on_tell(uv_timer_t *timer)
{
	signal_queue(timer->data, VSOCK_TX);
}

/*
 * The guest is interrupted at once for what it receives. That we have taken what it sent lets it
 * free memory, which can wait: an interrupt costs it more than that.
 */
static void signal_queues(struct vsock_link *link)
{
	for (int i = 0; i < VSOCK_QUEUES; i++) {
		struct virtqueue *queue = &link->device.queues[i];

		if (i != VSOCK_TX || !virtqueue_can_wait(queue))
			signal_queue(link, i);
		else if (queue->owed > 0 && !uv_is_active((uv_handle_t *)&link->tell))
			uv_timer_start(&link->tell, on_tell, TELL_MS, 0);
		if (queue->broken != NULL && !link->told_broken[i]) {
			link->told_broken[i] = true;
			log_warning("the guest broke a queue of its vsock device", KV("queue", i),
				    KV_S("rule", queue->broken));
		}
	}
}

static void on_more(uv_idle_t *idle);

static void pump(struct vsock_link *link)
{
	bool more;

	if (link->closing)
		return;
	more = vsock_device_run(&link->device);
	drain_input(link);
	fill_output(link);
	signal_queues(link);
	watch_stream(link);
	if (more)
		uv_idle_start(&link->more, on_more);
	else
		uv_idle_stop(&link->more);
}

static void on_more(uv_idle_t *idle)
{
	pump(idle->data);
}

static void on_stream(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	pump(poll->data);
}

/* --- kicks ------------------------------------------------------------------------------------ */

static void on_kick(uv_poll_t *poll, int status, int events)
{
	struct vsock_kick *kick = poll->data;
	uint64_t count;
	ssize_t n = status < 0 ? 0 : read(kick->fd, &count, sizeof(count));

	(void)events;
	/* An eventfd that gives nothing, or is none, must not be waited for again and again. */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		log_warning("a queue's eventfd cannot be read");
		uv_poll_stop(poll);
		return;
	}
	pump(kick->link);
}

static void on_kick_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* Before QEMU's message may close the eventfds. */
static void unwatch_kicks(struct vsock_link *link)
{
	for (int i = 0; i < VHOST_USER_QUEUES; i++) {
		if (link->kicks[i] != NULL)
			uv_close((uv_handle_t *)&link->kicks[i]->poll, on_kick_closed);
		link->kicks[i] = NULL;
	}
}

static int watch_kick(struct vsock_link *link, int i, struct error *err)
{
	struct vsock_kick *kick = calloc(1, sizeof(*kick));
	int r;

	if (kick == NULL)
		return error_set(err, ENOMEM, "watch a queue");
	kick->link = link;
	kick->fd = link->user.rings[i].kick;
	r = uv_poll_init(link->loop, &kick->poll, kick->fd);
	if (r < 0) {
		free(kick);
		return error_set(err, -r, "watch a queue's eventfd");
	}
	kick->poll.data = kick;
	link->kicks[i] = kick;
	uv_poll_start(&kick->poll, UV_READABLE, on_kick);
	return 0;
}

static int watch_kicks(struct vsock_link *link, struct error *err)
{
	int r = 0;

	for (int i = 0; i < VHOST_USER_QUEUES && r == 0; i++)
		if (link->user.rings[i].kick >= 0)
			r = watch_kick(link, i, err);
	return r;
}

/* --- QEMU's messages -------------------------------------------------------------------------- */

static int send_reply(struct vsock_link *link, const struct vhost_user_message *reply,
		      struct error *err)
{
	uint8_t bytes[VHOST_USER_HEADER + VHOST_USER_PAYLOAD_MAX];
	size_t len = vhost_user_format(reply, bytes);

	/* One reply is due at a time, so that there is room unless QEMU does not read them. */
	if (send(link->front, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		return error_say(err, EPROTO, "QEMU does not take the answer to its message %u",
				 reply->request);
	return 0;
}

static int park(struct vsock_link *link, unsigned slot, int fd, struct error *err)
{
	int r = park_put(link->park, slot, fd);

	return r < 0 ? error_set(err, -r, "have the monitor keep a descriptor") : 0;
}

/* Has the monitor keep what the last message changed, and notes the rest for the next worker. */
static int keep(struct vsock_link *link, struct error *err)
{
	struct vhost_user *user = &link->user;
	unsigned changed = user->changed;
	int r = 0;

	user->changed = 0;
	for (unsigned i = 0; (changed & VHOST_USER_MEMORY) != 0 && i < GUEST_REGIONS_MAX && r == 0;
	     i++)
		r = park(link, VSOCK_SLOT_MEMORY + i, user->memory_fds[i], err);
	for (unsigned i = 0; i < VHOST_USER_QUEUES && r == 0; i++) {
		if ((changed & (unsigned)VHOST_USER_KICK << i) != 0)
			r = park(link, VSOCK_SLOT_KICK + i, user->rings[i].kick, err);
		if (r == 0 && (changed & (unsigned)VHOST_USER_CALL << i) != 0)
			r = park(link, VSOCK_SLOT_CALL + i, user->rings[i].call, err);
	}
	vhost_user_save(user, &link->state->user);
	return r;
}

static int take_message(struct vsock_link *link, struct error *err)
{
	struct vhost_user_message reply;
	size_t n_fds = link->n_fds;
	int r, kept;

	link->have = 0;
	link->n_fds = 0;
	unwatch_kicks(link);
	r = vhost_user_take(&link->user, &link->message, link->fds, n_fds, &reply, err);
	if (r < 0)
		return r;
	kept = keep(link, err);
	if (kept < 0)
		return kept;
	if (r > 0)
		r = send_reply(link, &reply, err);
	return r < 0 ? r : watch_kicks(link, err);
}

/* Reads on: 1 when a message is whole, 0, or negative. */
static int receive(struct vsock_link *link, struct error *err)
{
	uint8_t *to = link->header + link->have;
	size_t wanted = VHOST_USER_HEADER - link->have;
	ssize_t n;
	int r;

	if (link->have >= VHOST_USER_HEADER) {
		to = link->message.payload + (link->have - VHOST_USER_HEADER);
		wanted = VHOST_USER_HEADER + link->message.size - link->have;
	}
	n = fdpass_receive_now(link->front, to, wanted, link->fds, ARRAY_SIZE(link->fds),
			       &link->n_fds, err);
	if (n < 0)
		return (int)n;
	link->have += (size_t)n;
	if (link->have < VHOST_USER_HEADER)
		return 0;
	if (link->have == VHOST_USER_HEADER) {
		r = vhost_user_parse_header(link->header, &link->message, err);
		if (r < 0)
			return r;
	}
	return link->have == VHOST_USER_HEADER + link->message.size;
}

static void on_front(uv_poll_t *poll, int status, int events)
{
	struct vsock_link *link = poll->data;
	struct error err = { 0 };
	int r = status;

	(void)events;
	if (status < 0)
		error_set(&err, -status, "wait for QEMU");
	link->state->busy = 1;
	for (int i = 0; i < MESSAGES_AT_ONCE && r >= 0; i++) {
		r = receive(link, &err);
		if (r > 0)
			r = take_message(link, &err);
	}
	if (r < 0 && r != -EAGAIN) {
		if (r != -ENOTCONN)
			log_warning("the vsock device is given up", KV_ERR(&err));
		end_stream(link);
		vsock_link_close(link);
		return;
	}
	link->state->busy = link->have > 0;
	pump(link);
}

/* --- start and end ---------------------------------------------------------------------------- */

static int start_polls(struct vsock_link *link, struct error *err)
{
	int r = uv_poll_init(link->loop, &link->front_poll, link->front);

	if (r == 0) {
		link->front_poll.data = link;
		r = uv_poll_init(link->loop, &link->stream_poll, link->stream);
	}
	if (r == 0) {
		link->stream_poll.data = link;
		uv_idle_init(link->loop, &link->more);
		link->more.data = link;
		uv_timer_init(link->loop, &link->tell);
		link->tell.data = link;
		r = uv_poll_start(&link->front_poll, UV_READABLE, on_front);
	}
	return r < 0 ? error_set(err, -r, "watch the vsock device") : 0;
}

int vsock_link_make_state(struct error *err)
{
	CLEANUP(fd_close) int fd = memfd_create("vsock", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, sizeof(struct vsock_kept)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_set(err, errno, "make the vsock device's state");
	return steal_fd(&fd);
}

static int map_state(struct vsock_link *link, int fd, struct error *err)
{
	void *map = mmap(NULL, sizeof(*link->state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return error_set(err, errno, "map the vsock device's state");
	link->state = map;
	return 0;
}

/* Goes on where the worker before was. */
static int resume(struct vsock_link *link, int *parked, struct error *err)
{
	const struct vsock_kept saved = *link->state; /* looked at in our own memory */
	struct vhost_user *user = &link->user;
	int r;

	if (saved.magic != STATE_MAGIC)
		return error_say(err, EPROTO, "the vsock device's state is of another release");
	if (saved.busy != 0)
		return error_say(err, EPROTO, "the worker before ended within a message of QEMU's");
	for (int i = 0; i < GUEST_REGIONS_MAX; i++)
		user->memory_fds[i] = steal_fd(&parked[VSOCK_SLOT_MEMORY + i]);
	for (int i = 0; i < VHOST_USER_QUEUES; i++) {
		user->rings[i].kick = steal_fd(&parked[VSOCK_SLOT_KICK + i]);
		user->rings[i].call = steal_fd(&parked[VSOCK_SLOT_CALL + i]);
	}
	r = vhost_user_restore(user, &saved.user, err);
	if (r < 0)
		return r;
	if (saved.guest_port != 0)
		vsock_device_reset_port(&link->device, saved.guest_port);
	return watch_kicks(link, err);
}

/* The stream's two ends, and everything that is waited for. */
static int start(struct vsock_link *link, int *ret_other, int *parked, struct error *err)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return error_set(err, errno, "make the link's socket pair");
	link->stream = pair[0];
	*ret_other = pair[1];
	r = map_state(link, parked[VSOCK_SLOT_STATE], err);
	if (r == 0)
		r = start_polls(link, err);
	if (r == 0 && link->state->magic != 0)
		r = resume(link, parked, err);
	if (r < 0)
		return r;
	link->state->magic = STATE_MAGIC;
	link->device.port_note = &link->state->guest_port;
	uv_idle_start(&link->more, on_more); /* the worker before may have swallowed a kick */
	return 0;
}

int vsock_link_open(struct vsock_link *link, uv_loop_t *loop, int front, int park, int *parked,
		    struct error *err)
{
	CLEANUP(fd_close) int other = -1;
	int r;

	*link = (struct vsock_link){ .loop = loop, .front = front, .park = park, .stream = -1 };
	vsock_device_init(&link->device);
	vhost_user_init(&link->user, VSOCK_GUEST_CID, link->device.queues);
	r = start(link, &other, parked, err);
	for (int i = 0; i < VSOCK_SLOTS; i++)
		fd_close(&parked[i]);
	return r < 0 ? r : steal_fd(&other);
}

void vsock_link_close(struct vsock_link *link)
{
	if (link->closing)
		return;
	link->closing = true;
	unwatch_kicks(link);
	uv_close((uv_handle_t *)&link->front_poll, NULL);
	uv_close((uv_handle_t *)&link->stream_poll, NULL);
	uv_close((uv_handle_t *)&link->more, NULL);
	uv_close((uv_handle_t *)&link->tell, NULL);
	for (size_t i = 0; i < link->n_fds; i++)
		close(link->fds[i]);
	link->n_fds = 0;
	fd_close(&link->front);
	fd_close(&link->stream);
	vhost_user_fini(&link->user);
	vsock_device_fini(&link->device);
	munmap(link->state, sizeof(*link->state));
}
