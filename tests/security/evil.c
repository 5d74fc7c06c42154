/*
 * What a hostile image brings along: one static program, run inside a container, with a word for
 * each thing it tries. It prints what came of it on one line; the tests know what should.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

static int say_result(const char *what, int r)
{
	printf("%s: %s\n", what, r < 0 ? strerrorname_np(errno) : "done");
	return 0;
}

/* A socket to the host, past everything else. */
static int try_vsock(char **words)
{
	CLEANUP(fd_close) int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	(void)words;
	return say_result("vsock", fd);
}

/* io_uring makes sockets that no system call filter sees. */
static int try_uring(char **words)
{
	static char parameters[120];

	(void)words;
	return say_result("uring", (int)syscall(SYS_io_uring_setup, 1, parameters));
}

/* CVE-2022-0358: a file made with the setgid bit in a directory of a group it is not in. */
static int try_setgid(char **words)
{
	CLEANUP(fd_close) int fd = open(words[0], O_WRONLY | O_CREAT | O_EXCL, 02755);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return say_result("setgid", -1);
	printf("setgid: mode %o\n", st.st_mode & 07777);
	return 0;
}

/* CVE-2020-2023: nodes for everything the guest has, and whether any of them opens. */
static int try_devices(char **words)
{
	int opened = 0, made = 0;

	for (unsigned type = 0; type < 2; type++) {
		for (unsigned major = 1; major < 260; major++) {
			for (unsigned minor = 0; minor < 4; minor++) {
				char path[256];
				int fd;

				snprintf(path, sizeof(path), "%s/%c%u.%u", words[0], "cb"[type],
					 major, minor);
				if (mknod(path, (type == 0 ? S_IFCHR : S_IFBLK) | 0600,
					  makedev(major, minor)) < 0)
					continue;
				made++;
				fd = open(path, O_RDONLY | O_NONBLOCK);
				if (fd >= 0) {
					printf("%c %u:%u opens\n", "cb"[type], major, minor);
					opened++;
					close(fd);
				}
				unlink(path);
			}
		}
	}
	printf("devices: %d of %s opened\n", opened, made > 0 ? "those made" : "none");
	return 0;
}

/* Opens for writing what is held, as soon as nobody executes it. */
static int write_to(int held, time_t end)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
	do
		fd = open(path, O_WRONLY | O_CLOEXEC);
	while (fd < 0 && errno == ETXTBSY && time(NULL) <= end);
	return fd;
}

/*
 * CVE-2019-5736: looks for a process that executes the agent's program, which is /init in a guest,
 * takes hold of that and writes to it when the process has gone.
 */
static int try_hunt(char **words)
{
	time_t end = time(NULL) + atoi(words[0]);

	while (time(NULL) < end) {
		CLEANUP(dir_close) DIR *proc = opendir("/proc");
		struct dirent *entry;

		while (proc != NULL && (entry = readdir(proc)) != NULL) {
			char path[300], exe[256] = "";
			CLEANUP(fd_close) int held = -1;
			CLEANUP(fd_close) int fd = -1;

			snprintf(path, sizeof(path), "/proc/%s/exe", entry->d_name);
			if (readlink(path, exe, sizeof(exe) - 1) <= 0 ||
			    (strstr(exe, "kata-agent") == NULL && strcmp(exe, "/init") != 0))
				continue;
			held = open(path, O_RDONLY | O_CLOEXEC);
			fd = held < 0 ? -1 : write_to(held, end);
			printf("hunt: %s is seen: %s\n", exe,
			       fd >= 0 ? "can be written" : strerrorname_np(errno));
			return 0;
		}
	}
	printf("hunt: nothing seen\n");
	return 0;
}

/* CVE-2021-30465 and its class: two names change places for ever. */
static int try_swap(char **words)
{
	for (;;)
		if (syscall(SYS_renameat2, AT_FDCWD, words[0], AT_FDCWD, words[1],
			    2 /* RENAME_EXCHANGE */) < 0)
			return say_result("swap", -1);
}

/* CVE-2020-28914: a read-only mount is made writable again, and its filesystem mounted anew. */
static int try_remount(char **words)
{
	CLEANUP(fd_close) int fd = -1;
	int r = mount(NULL, words[0], NULL, MS_REMOUNT | MS_BIND, NULL);

	printf("remount: %s\n", r < 0 ? strerrorname_np(errno) : "done");
	fd = open(words[1], O_WRONLY | O_APPEND);
	return say_result("write", fd < 0 ? -1 : write(fd, "evil\n", 5) == 5 ? 0 : -1);
}

/* The whole share of the VM, mounted once more. */
static int try_share(char **words)
{
	return say_result("share", mount(words[0], words[1], "virtiofs", 0, NULL));
}

/* CVE-2024-21626: descriptors that were left open. */
static int try_descriptors(char **words)
{
	int count = 0;

	(void)words;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	printf("descriptors: %d\n", count);
	return 0;
}

static const struct {
	const char *word;
	int arguments;
	int (*run)(char **words);
} deeds[] = {
	{ "vsock", 0, try_vsock },
	{ "setgid", 1, try_setgid },
	{ "uring", 0, try_uring },
	{ "devices", 1, try_devices },
	{ "hunt", 1, try_hunt },
	{ "swap", 2, try_swap },
	{ "remount", 2, try_remount },
	{ "share", 2, try_share },
	{ "descriptors", 0, try_descriptors },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(deeds); i++)
		if (strcmp(argv[1], deeds[i].word) == 0 && argc == 2 + deeds[i].arguments)
			return deeds[i].run(argv + 2);
	fprintf(stderr, "evil: unknown words\n");
	return 2;
}
