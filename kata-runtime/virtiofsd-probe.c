/*
 * Runs virtiofsd --version: see virtiofsd-probe.h. In kata-runtime as root, before a VM is started.
 */
#include "kata-runtime/virtiofsd-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/spawn.h"

enum { PROBE_MS = 5000 };

/* Reads what the program prints until it ends or the buffer is full. */
static int read_output(int fd, char *text, size_t size, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t used = 0;

	while (used < size - 1 && poll(&p, 1, deadline_left_ms(deadline)) > 0) {
		ssize_t n = read(fd, text + used, size - 1 - used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	text[used] = '\0';
	return used > 0 ? 0 : -ENODATA;
}

int virtiofsd_probe(const char *path, enum virtiofsd_kind *ret_kind, struct error *err)
{
	char *argv[] = { (char *)path, (char *)"--version", NULL };
	char *envp[] = { NULL };
	int64_t deadline = deadline_in_ms(PROBE_MS);
	CLEANUP(fd_close) int reader = -1;
	CLEANUP(fd_close) int writer = -1;
	char text[1024];
	int fds[2], status, r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe");
	reader = fds[0];
	writer = fds[1];
	struct spawn spawn = { .path = path,
			       .argv = argv,
			       .envp = envp,
			       .fds = { -1, writer, writer },
			       .fd_count = 3,
			       .netns = -1,
			       .pidns = -1 };
	pid = spawn_run(&spawn, err);
	if (pid < 0)
		return pid;
	fd_close(&writer);
	r = read_output(reader, text, sizeof(text), deadline);
	if (process_wait_child(pid, deadline, &status, NULL) < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	if (r < 0)
		return error_say(err, EPROTONOSUPPORT, "%s --version prints nothing", path);
	r = virtiofsd_recognise(text, ret_kind, err);
	return r < 0 ? error_prefix(err, "%s", path) : 0;
}

/* One line of a cache: the kind, and what changes when the program does. */
enum { CACHE_LINE = PATH_MAX + 128 };

static int cache_line(const char *path, const struct stat *st, enum virtiofsd_kind kind,
		      char line[CACHE_LINE])
{
	return str_format(line, CACHE_LINE, "%s %llu:%llu %lld %lld.%09ld %lld.%09ld %s\n",
			  virtiofsd_kind_name(kind), (unsigned long long)st->st_dev,
			  (unsigned long long)st->st_ino, (long long)st->st_size,
			  (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
			  (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec, path);
}

static bool cache_get(const char *cache, const char *path, const struct stat *program,
		      enum virtiofsd_kind *ret_kind)
{
	static const enum virtiofsd_kind kinds[] = { VIRTIOFSD_C, VIRTIOFSD_RUST };
	CLEANUP(fd_close) int fd = open(cache, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char have[CACHE_LINE], want[CACHE_LINE];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return false;
	n = read(fd, have, sizeof(have) - 1);
	if (n <= 0)
		return false;
	have[n] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (cache_line(path, program, kinds[i], want) == 0 && str_eq(have, want)) {
			*ret_kind = kinds[i];
			return true;
		}
	}
	return false;
}

static void cache_put(const char *cache, const char *path, const struct stat *program,
		      enum virtiofsd_kind kind)
{
	CLEANUP(fd_close) int fd = -1;
	char temp[PATH_MAX], line[CACHE_LINE];
	ssize_t len;

	if (cache_line(path, program, kind, line) < 0 ||
	    str_format(temp, sizeof(temp), "%s.new", cache) < 0)
		return;
	/* One name, so that a kill leaves one file at most; two writers write the same. */
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	len = (ssize_t)strlen(line);
	if (write(fd, line, (size_t)len) != len || rename(temp, cache) < 0)
		unlink(temp);
}

int virtiofsd_probe_cached(const char *cache, const char *path, enum virtiofsd_kind *ret_kind,
			   struct error *err)
{
	struct stat program;
	int r;

	if (stat(path, &program) < 0)
		return error_set(err, errno, "%s", path);
	if (cache_get(cache, path, &program, ret_kind))
		return 0;
	r = virtiofsd_probe(path, ret_kind, err);
	if (r == 0)
		cache_put(cache, path, &program, *ret_kind);
	return r;
}
