/* A QEMU that answers QMP from a script: see fake-qemu.h. Used by unit and component tests. */
#include "tests/fake/fake-qemu.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Waits until fd is ready; false after FAKE_QEMU_STEP_MS. */
static bool ready(int fd, short events)
{
	struct pollfd poller = { .fd = fd, .events = events };

	return poll(&poller, 1, FAKE_QEMU_STEP_MS) > 0;
}

static bool put(struct fake_qemu *fake, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = ready(fake->fd, POLLOUT) ? send(fake->fd, text, len, MSG_NOSIGNAL) : -1;

		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* Sends text with the last command's id in place of "$ID", drip bytes at a time. */
static bool put_text(struct fake_qemu *fake, const char *text, size_t drip)
{
	const char *id = strstr(fake->line, "\"id\":");
	char *copy = malloc(strlen(text) + 32);
	const char *mark = strstr(text, "$ID");
	bool ok = copy != NULL;
	size_t len = 0;

	if (ok && mark != NULL)
		len = (size_t)sprintf(copy, "%.*s%d%s", (int)(mark - text), text,
				      id != NULL ? atoi(id + strlen("\"id\":")) : 0, mark + 3);
	else if (ok)
		len = (size_t)sprintf(copy, "%s", text);
	for (size_t i = 0; ok && i < len; i += drip)
		ok = put(fake, copy + i, len - i < drip ? len - i : drip);
	free(copy);
	return ok;
}

static bool expect(struct fake_qemu *fake, const char *text)
{
	size_t used = 0;

	while (used + 1 < sizeof(fake->line)) {
		if (!ready(fake->fd, POLLIN) || recv(fake->fd, fake->line + used, 1, 0) != 1)
			break;
		if (fake->line[used++] == '\n')
			break;
	}
	fake->line[used] = '\0';
	return strstr(fake->line, text) != NULL;
}

static bool silence(struct fake_qemu *fake)
{
	char bytes[1024];
	ssize_t n = 1;

	while (n > 0 && ready(fake->fd, POLLIN))
		n = recv(fake->fd, bytes, sizeof(bytes), 0);
	return n <= 0;
}

static bool flood(struct fake_qemu *fake, const struct fake_qemu_step *step)
{
	size_t len = strlen(step->text);
	int i = 0;

	while (step->number == 0 || i < step->number) {
		if (!put(fake, step->text, len))
			return step->number == 0;
		i++;
	}
	return true;
}

static bool play(struct fake_qemu *fake, const struct fake_qemu_step *step)
{
	switch (step->act) {
	case FAKE_SEND:
		return put_text(fake, step->text, SIZE_MAX / 2);
	case FAKE_DRIP:
		return put_text(fake, step->text, 1);
	case FAKE_EXPECT:
		return expect(fake, step->text);
	case FAKE_FLOOD:
		return flood(fake, step);
	case FAKE_SILENCE:
		return silence(fake);
	}
	return false;
}

static void *run(void *context)
{
	struct fake_qemu *fake = context;

	if (fake->listener >= 0)
		fake->fd = ready(fake->listener, POLLIN)
				   ? accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC)
				   : -1;
	for (size_t i = 0; i < fake->count; i++) {
		if (fake->fd >= 0 && play(fake, &fake->steps[i]))
			continue;
		snprintf(fake->failure, sizeof(fake->failure), "step %zu failed; last line: %s", i,
			 fake->line);
		break;
	}
	fd_close(&fake->fd);
	fd_close(&fake->listener);
	return NULL;
}

static int start(struct fake_qemu *fake, const struct fake_qemu_step *steps, size_t count)
{
	fake->steps = steps;
	fake->count = count;
	return pthread_create(&fake->thread, NULL, run, fake) == 0 ? 0 : -1;
}

int fake_qemu_start(struct fake_qemu *fake, const struct fake_qemu_step *steps, size_t count)
{
	int ends[2];

	*fake = (struct fake_qemu){ .fd = -1, .listener = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	fake->fd = ends[0];
	if (start(fake, steps, count) < 0) {
		close(ends[0]);
		close(ends[1]);
		return -1;
	}
	return ends[1];
}

int fake_qemu_listen(struct fake_qemu *fake, const char *path, const struct fake_qemu_step *steps,
		     size_t count)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*fake = (struct fake_qemu){ .fd = -1, .listener = -1 };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fake->listener < 0 ||
	    bind(fake->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fake->listener, 1) < 0 || start(fake, steps, count) < 0) {
		fd_close(&fake->listener);
		return -1;
	}
	return 0;
}

const char *fake_qemu_end(struct fake_qemu *fake)
{
	pthread_join(fake->thread, NULL);
	return fake->failure;
}
