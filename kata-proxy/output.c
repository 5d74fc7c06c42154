/*
 * Sources of untrusted text in the worker: see output.h. worker.c owns one struct output for each
 * of them; the callbacks run in the worker's loop.
 */
#include "kata-proxy/output.h"

#include <stdio.h>
#include <unistd.h>

#include "common/deadline.h"

enum { DRAIN_READS = 64 };

static void on_line(struct lines *lines, const char *text, size_t len, unsigned dropped)
{
	struct output *output = lines->owner;
	char note[64];
	int n;

	if (dropped > 0) {
		n = snprintf(note, sizeof(note), "%u lines were dropped: too many", dropped);
		log_foreign(output->log_fd, output->component, output->level, note, (size_t)n);
	}
	log_foreign(output->log_fd, output->component, output->level, text, len);
	if (output->seen != NULL)
		output->seen(output, text, len);
}

static const struct lines_ops lines_ops = { .line = on_line };

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct output *output = handle->data;

	(void)suggested;
	*buf = uv_buf_init(output->input, sizeof(output->input));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct output *output = stream->data;

	if (n > 0) {
		lines_feed(&output->lines, buf->base, (size_t)n, deadline_now_ms());
	} else if (n < 0) {
		lines_end(&output->lines, deadline_now_ms());
		output_close(output);
	}
}

int output_open(struct output *output, uv_loop_t *loop, int fd, const char *component, int log_fd,
		enum log_level level, struct error *err)
{
	int r;

	lines_init(&output->lines, &lines_ops, output, deadline_now_ms());
	output->component = component;
	output->log_fd = log_fd;
	output->level = level;
	uv_pipe_init(loop, &output->pipe, 0);
	output->pipe.data = output;
	output->open = true;
	r = uv_pipe_open(&output->pipe, fd);
	if (r < 0)
		close(fd);
	else
		r = uv_read_start((uv_stream_t *)&output->pipe, on_alloc, on_read);
	if (r < 0) {
		output_close(output);
		return error_set(err, -r, "read %s", component);
	}
	return 0;
}

void output_drain(struct output *output)
{
	uv_os_fd_t fd;

	if (!output->open || uv_fileno((uv_handle_t *)&output->pipe, &fd) < 0)
		return;
	for (int i = 0; i < DRAIN_READS; i++) {
		ssize_t n = read(fd, output->input, sizeof(output->input));

		if (n <= 0)
			break;
		lines_feed(&output->lines, output->input, (size_t)n, deadline_now_ms());
	}
	lines_end(&output->lines, deadline_now_ms());
}

void output_tell_kept(struct output *output)
{
	const char *text;
	size_t len;

	for (unsigned i = LINES_KEPT; i-- > 0;) {
		text = lines_last(&output->lines, i, &len);
		if (text != NULL)
			log_foreign(output->log_fd, output->component, LOG_WARNING, text, len);
	}
}

void output_close(struct output *output)
{
	if (!output->open)
		return;
	output->open = false;
	uv_close((uv_handle_t *)&output->pipe, NULL);
}
