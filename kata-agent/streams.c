/*
 * Standard streams between a container's process and its session: see streams.h. Owned by struct
 * process; callbacks come from the loop and from the session.
 */
#include "kata-agent/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

/* Bytes read at once, and how often in one turn before others have theirs. */
enum { READ_SIZE = FRAME_DATA_SENT, READS_PER_TURN = 4 };

void streams_init(struct streams *streams, const bool *congested)
{
	*streams = (struct streams){ .congested = congested };
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		streams->ends[i].streams = streams;
		streams->ends[i].fd = -1;
	}
}

/*
 * Our end does not block; the child's is as a program expects it. A whole window fits, so that the
 * program has something to do while the next one comes; where it may not, it fits in parts.
 */
static int make_pipe(uid_t uid, bool input, int *ret_ours, int *ret_child, struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, errno, "make a pipe");
	*ret_ours = fds[input];
	*ret_child = fds[!input];
	fcntl(*ret_ours, F_SETPIPE_SZ, STREAM_WINDOW);
	/* The process may open /dev/stdout anew. */
	if (fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 || fchown(*ret_child, uid, (gid_t)-1) < 0)
		return error_set(err, errno, "prepare a pipe");
	return 0;
}

int streams_make_pipes(struct streams *streams, uid_t uid, int ret_child[STREAM_COUNT],
		       struct error *err)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < STREAM_COUNT; i++)
		r = make_pipe(uid, i == STREAM_STDIN, &streams->ends[i].fd, &ret_child[i], err);
	return r;
}

void streams_set_terminal(struct streams *streams, int master)
{
	streams->terminal = true;
	streams->ends[STREAM_STDOUT].fd = master;
}

/* Where stdin is written to. */
static struct stream_end *input_end(struct streams *streams)
{
	return &streams->ends[streams->terminal ? STREAM_STDOUT : STREAM_STDIN];
}

static void poll_closed(uv_handle_t *handle)
{
	struct stream_end *end = handle->data;
	struct streams *streams = end->streams;

	end->poll_open = false;
	streams->poll_count--;
	if (streams->poll_count == 0 && streams->closed != NULL)
		streams->closed(streams);
}

/* uv_close() takes the descriptor out of the poll set, so it can be closed at once. */
static void end_close(struct stream_end *end)
{
	if (end->fd < 0)
		return;
	if (end->poll_open)
		uv_close((uv_handle_t *)&end->poll, poll_closed);
	fd_close(&end->fd);
	end->events = 0;
}

static void output_over(struct streams *s, unsigned stream)
{
	s->ended[stream] = true;
	end_close(&s->ends[stream]);
	if (s->session != NULL)
		session_end_stream(s->session, stream);
}

/* What nobody will read any more counts as read, or the client would wait for its window. */
static void drop_input(struct streams *s)
{
	size_t n = buf_len(&s->input);

	s->ended[STREAM_STDIN] = true;
	buf_consume(&s->input, n);
	if (s->session != NULL)
		session_consumed(s->session, STREAM_STDIN, n);
	if (!s->terminal)
		end_close(&s->ends[STREAM_STDIN]);
}

/* What a descriptor takes of n bytes now; false when it takes none any more. */
static bool write_some(int fd, const uint8_t *bytes, size_t n, size_t *ret_done)
{
	for (*ret_done = 0; *ret_done < n;) {
		ssize_t r = write(fd, bytes + *ret_done, n - *ret_done);

		if (r > 0)
			*ret_done += (size_t)r;
		else if (r < 0 && errno == EAGAIN)
			return true;
		else if (r == 0 || errno != EINTR)
			return false;
	}
	return true;
}

static void write_input(struct streams *s)
{
	struct stream_end *end = input_end(s);
	size_t done;

	if (buf_len(&s->input) > 0 && end->fd >= 0) {
		bool open = write_some(end->fd, buf_at(&s->input), buf_len(&s->input), &done);

		buf_consume(&s->input, done);
		if (s->session != NULL && done > 0)
			session_consumed(s->session, STREAM_STDIN, done);
		if (!open) {
			drop_input(s);
			return;
		}
	}
	/* A terminal has no end of input: ^D is a byte that the user types. */
	if (s->input_ended && buf_len(&s->input) == 0 && !s->terminal)
		drop_input(s);
}

/* What finds room in the pipe is not copied before. */
void streams_input(struct streams *streams, const uint8_t *bytes, size_t n)
{
	struct stream_end *end = input_end(streams);
	bool open = !streams->ended[STREAM_STDIN] && end->fd >= 0;
	size_t done = 0;

	if (open && buf_len(&streams->input) == 0)
		open = write_some(end->fd, bytes, n, &done);
	if (open && done < n)
		open = buf_append(&streams->input, bytes + done, n - done) == 0;
	if (!open) {
		if (!streams->ended[STREAM_STDIN])
			drop_input(streams);
		done = n;
	}
	if (done > 0)
		session_consumed(streams->session, STREAM_STDIN, done);
	streams_update(streams);
}

void streams_input_end(struct streams *streams)
{
	streams->input_ended = true;
	write_input(streams);
	streams_update(streams);
}

static size_t output_room(const struct streams *s, unsigned stream)
{
	if (s->session == NULL || *s->congested || s->ended[stream])
		return 0;
	return session_room(s->session, stream);
}

static void read_output(struct streams *s, unsigned stream)
{
	for (int i = 0; i < READS_PER_TURN; i++) {
		size_t room = output_room(s, stream);
		uint8_t *to;
		ssize_t n;

		if (room > READ_SIZE)
			room = READ_SIZE;
		to = room == 0 ? NULL : session_reserve(s->session, stream, &room);
		if (to == NULL)
			return; /* without memory the next turn tries again */
		n = read(s->ends[stream].fd, to, room);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) { /* EIO: the last slave of the terminal is closed */
			output_over(s, stream);
			return;
		}
		s->total[stream] += (uint64_t)n;
		session_commit(s->session, stream, (size_t)n);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct stream_end *end = poll->data;
	struct streams *s = end->streams;
	unsigned stream = (unsigned)(end - s->ends);

	if (status < 0) { /* libuv has stopped to poll; the call below finds out why */
		end->events = 0;
		events = UV_READABLE | UV_WRITABLE;
	}
	if ((events & UV_WRITABLE) != 0 && end == input_end(s))
		write_input(s);
	if ((events & UV_READABLE) != 0 && stream != STREAM_STDIN && end->fd >= 0)
		read_output(s, stream);
	streams_update(s);
}

static void end_update(struct stream_end *end, int events)
{
	if (end->fd < 0 || !end->poll_open || events == end->events)
		return;
	end->events = events;
	if (events == 0)
		uv_poll_stop(&end->poll);
	else
		uv_poll_start(&end->poll, events, on_poll);
}

void streams_update(struct streams *streams)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		struct stream_end *end = &streams->ends[i];
		int events = 0;

		if (i != STREAM_STDIN && output_room(streams, i) > 0)
			events |= UV_READABLE;
		if (end == input_end(streams) && buf_len(&streams->input) > 0)
			events |= UV_WRITABLE;
		end_update(end, events);
	}
}

int streams_start(struct streams *streams, uv_loop_t *loop, struct error *err)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		struct stream_end *end = &streams->ends[i];
		int r;

		if (end->fd < 0 || end->poll_open)
			continue;
		r = uv_poll_init(loop, &end->poll, end->fd);
		if (r < 0)
			return error_set(err, -r, "poll a stream");
		end->poll.data = end;
		end->poll_open = true;
		streams->poll_count++;
	}
	streams_update(streams);
	return 0;
}

void streams_attach(struct streams *streams, struct session *session)
{
	streams->session = session;
	if (session != NULL && streams->terminal)
		session_end_stream(session, STREAM_STDERR);
	streams_update(streams);
}

uint64_t streams_written(const struct streams *streams, unsigned stream)
{
	int waiting = 0;

	/* A terminal is read until it is quiet instead (process.c): its queue has several parts. */
	if (streams->ends[stream].fd >= 0 && !streams->terminal &&
	    ioctl(streams->ends[stream].fd, FIONREAD, &waiting) < 0)
		waiting = 0;
	return streams->total[stream] + (uint64_t)waiting;
}

bool streams_held_back(const struct streams *streams)
{
	return !streams->ended[STREAM_STDOUT] && output_room(streams, STREAM_STDOUT) == 0;
}

void streams_close(struct streams *streams, void (*closed)(struct streams *))
{
	streams->session = NULL;
	streams->closed = closed;
	buf_fini(&streams->input);
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		end_close(&streams->ends[i]);
	if (streams->poll_count == 0)
		closed(streams);
}
