/* Finding a sandbox's processes: see sandbox-process.h. Called by delete and privs. */
#include "kata-runtime/sandbox-process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/process.h"
#include "common/str.h"

int sandbox_each_process(const char *role, const char *sid,
			 int (*each)(struct process_ref process, void *userdata), void *userdata)
{
	CLEANUP(dir_close) DIR *proc = opendir("/proc");
	struct dirent *entry;
	int r = 0;

	while (r == 0 && proc != NULL && (entry = readdir(proc)) != NULL) {
		CLEANUP(fd_close) int fd = -1;
		char path[300], text[132] = ""; /* with room for three ends of strings */
		const char *program, *is, *of;
		struct process_ref ref;
		uint64_t pid;

		if (str_to_u64(entry->d_name, INT32_MAX, &pid) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, text, sizeof(text) - 4) <= 0)
			continue;
		program = strrchr(text, '/') != NULL ? strrchr(text, '/') + 1 : text;
		is = program + strlen(program) + 1;
		of = is + strlen(is) + 1;
		ref.pid = (pid_t)pid;
		if (str_eq(program, "kata-proxy") && str_eq(is, role) && str_eq(of, sid) &&
		    process_start_time(ref.pid, &ref.start_ticks, NULL) == 0)
			r = each(ref, userdata);
	}
	return r;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether it is in another pid namespace than we are, which belongs to our user namespace. */
static bool is_in_namespace_of_ours(pid_t pid)
{
	CLEANUP(fd_close) int namespace = -1;
	CLEANUP(fd_close) int owner = -1;
	struct stat own, own_user, its, its_owner;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	namespace = open(path, O_RDONLY | O_CLOEXEC);
	owner = namespace < 0 ? -1 : ioctl(namespace, NS_GET_USERNS);
	return owner >= 0 && fstat(namespace, &its) == 0 && fstat(owner, &its_owner) == 0 &&
	       stat("/proc/self/ns/pid", &own) == 0 && stat("/proc/self/ns/user", &own_user) == 0 &&
	       !is_same(&its, &own) && is_same(&its_owner, &own_user);
}

static int take_if_monitor(struct process_ref process, void *ret)
{
	if (!is_in_namespace_of_ours(process.pid))
		return 0;
	*(struct process_ref *)ret = process;
	return 1;
}

void sandbox_find_monitor(const char *sid, struct process_ref *ret)
{
	sandbox_each_process("monitor", sid, take_if_monitor, ret);
}
