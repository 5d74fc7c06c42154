/*
 * ONLINE: see vcpus.h. Called by requests.c; everything runs in the agent's loop. To bring a
 * processor online takes up to half a second where the guest is emulated, in which the agent does
 * nothing else: so one at a time, and the loop has its turn in between.
 */
#include "kata-agent/vcpus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/str.h"

/* A timer of 0 ms would run again before the loop looks at its descriptors. */
enum { TURN_MS = 1, LOOK_MS = 10, WAIT_MS = 10000 };

void vcpus_init(struct vcpus *vcpus, uv_loop_t *loop, const char *dir)
{
	*vcpus = (struct vcpus){ .dir = dir };
	uv_timer_init(loop, &vcpus->timer);
	vcpus->timer.data = vcpus;
}

void vcpus_stop(struct vcpus *vcpus)
{
	vcpus->wanted = 0;
	uv_close((uv_handle_t *)&vcpus->timer, NULL);
}

/* "cpu7", not "cpufreq". */
static bool is_processor(const char *name)
{
	return str_starts(name, "cpu") && name[3] != '\0' &&
	       strspn(name + 3, "0123456789") == strlen(name + 3);
}

/*
 * 1 when it is online, 0 when not. The first one, which cannot be taken offline, has no such file;
 * any other gets it a moment after its directory.
 */
static int look(int dir, const char *name, int *ret_fd)
{
	char path[280], now = '1';
	int fd;

	if (str_format(path, sizeof(path), "%s/online", name) < 0)
		return -ENAMETOOLONG;
	fd = openat(dir, path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? str_eq(name, "cpu0") : -errno;
	if (read(fd, &now, 1) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	*ret_fd = fd;
	return now != '0';
}

static int try_one(int dir, const char *name, bool may_change, bool *ret_changed)
{
	CLEANUP(fd_close) int fd = -1;
	int r = look(dir, name, &fd);

	*ret_changed = false;
	if (r != 0 || fd < 0 || !may_change)
		return r;
	if (pwrite(fd, "1", 1, 0) != 1)
		return -errno;
	*ret_changed = true;
	return 1;
}

int vcpus_step(const char *dir, uint32_t *ret_online, struct error *err)
{
	CLEANUP(dir_close) DIR *entries = opendir(dir);
	struct dirent *entry;
	bool stepped = false;

	*ret_online = 0;
	if (entries == NULL)
		return error_set(err, errno, "processors in %s", dir);
	while ((entry = readdir(entries)) != NULL) {
		bool changed;
		int r;

		if (!is_processor(entry->d_name))
			continue;
		r = try_one(dirfd(entries), entry->d_name, !stepped, &changed);
		if (r < 0)
			return error_set(err, -r, "bring %s online", entry->d_name);
		*ret_online += (uint32_t)r;
		stepped = stepped || changed;
	}
	return stepped;
}

/*
 * How many the kernel can ever have, from a list like "0-3"; all when it does not say. Where it
 * knows no hypervisor, as with QEMU's translator, a newer one takes none but its first.
 */
static uint32_t most(const char *dir)
{
	char path[PATH_MAX], text[256], *end;
	CLEANUP(fd_close) int fd = -1;
	uint64_t last;
	ssize_t n = -1;

	if (str_format(path, sizeof(path), "%s/possible", dir) == 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return UINT32_MAX;
	text[n] = '\0';
	end = text + strcspn(text, "\n");
	*end = '\0';
	while (end > text && end[-1] >= '0' && end[-1] <= '9')
		end--;
	return str_to_u64(end, UINT32_MAX - 1, &last) < 0 ? UINT32_MAX : (uint32_t)last + 1;
}

static void answer(struct vcpus *vcpus, int r, const struct error *err)
{
	vcpus->wanted = 0;
	uv_timer_stop(&vcpus->timer);
	if (vcpus->request.client == NULL)
		return;
	if (r < 0)
		client_fail(&vcpus->request, err);
	else
		client_reply(&vcpus->request, MSG_DONE, NULL);
}

static void on_timer(uv_timer_t *timer)
{
	struct vcpus *vcpus = timer->data;
	uint32_t online;
	struct error err;
	int r = vcpus_step(vcpus->dir, &online, &err);

	if (r >= 0 && online < vcpus->wanted) {
		if (deadline_left_ms(vcpus->deadline) > 0) {
			uv_timer_start(timer, on_timer, r > 0 ? TURN_MS : LOOK_MS, 0);
			return;
		}
		r = error_say(&err, ETIMEDOUT, "%u of %u processors came", online, vcpus->wanted);
	}
	answer(vcpus, r, &err);
}

int vcpus_online(struct vcpus *vcpus, uint32_t wanted, const struct client_request *request,
		 struct error *err)
{
	struct error replaced;
	uint32_t online, possible;
	int r;

	if (vcpus->dir == NULL)
		return error_say(err, ENOTSUP, "the processors are not the agent's");
	possible = most(vcpus->dir);
	if (wanted > possible) {
		log_warning("this kernel takes no more processors", KV("possible", possible),
			    KV("wanted", wanted));
		wanted = possible;
	}
	if (vcpus->wanted != 0) {
		error_say(&replaced, ECANCELED, "processors: a later request took its place");
		answer(vcpus, -ECANCELED, &replaced);
	}
	r = vcpus_step(vcpus->dir, &online, err);
	if (r < 0 || online >= wanted)
		return r < 0 ? r : 1;
	vcpus->request = *request;
	vcpus->wanted = wanted;
	vcpus->deadline = deadline_in_ms(WAIT_MS);
	uv_timer_start(&vcpus->timer, on_timer, LOOK_MS, 0);
	return 0;
}

void vcpus_forget(struct vcpus *vcpus, const struct client *client)
{
	if (vcpus->request.client == client)
		vcpus->request.client = NULL;
}
