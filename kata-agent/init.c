/*
 * What the first process of the guest does before it serves: see init.h. Called once by main.c. The
 * kernel gives it an initramfs with empty directories and, mostly, no open descriptor.
 */
#include "kata-agent/init.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-agent/link.h"
#include "kata-agent/modules.h"

static const struct {
	const char *type, *path, *data;
	unsigned long flags;
} mounts[] = {
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID },
	{ "devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
	{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV },
	{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "cgroup2", INIT_CGROUP, NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

/* Set after the modules are loaded. Some kernels lack some of them. */
static const struct {
	const char *path, *value;
} sysctls[] = {
	{ "kernel/core_pattern", "" }, /* no core files, and no program of a container's choice */
	{ "kernel/sysrq", "0" },
	{ "kernel/kexec_load_disabled", "1" },
	{ "kernel/modules_disabled", "1" },
	{ "kernel/dmesg_restrict", "1" },
	{ "fs/protected_symlinks", "1" },
	{ "fs/protected_hardlinks", "1" },
};

static int mount_all(struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		const char *path = mounts[i].path;

		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return error_set(err, errno, "make %s", path);
		/* EBUSY: the kernel has mounted devtmpfs itself */
		if (mount(mounts[i].type, path, mounts[i].type, mounts[i].flags, mounts[i].data) <
			    0 &&
		    errno != EBUSY)
			return error_set(err, errno, "mount %s", path);
	}
	if (mkdir(INIT_RUN, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "make " INIT_RUN);
	return 0;
}

/* Descriptors 0, 1 and 2 are taken, or the next file opened would be somebody's stdout. */
static int open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int i = 0; i < 3; i++) {
		if (fd != i && dup3(fd, i, O_CLOEXEC) < 0)
			return -errno;
	}
	if (fd > 2)
		close(fd);
	return 0;
}

/*
 * pivot_root(2) cannot leave the initramfs, since that is mounted on nothing. So before anything
 * else is mounted it is bound to a directory of its own, and that mount becomes the root.
 */
static int move_root(struct error *err)
{
	if (mkdir("/tmp", 0755) < 0 && errno != EEXIST)
		return error_set(err, errno, "make /tmp");
	if (mount("/", "/tmp", NULL, MS_BIND, NULL) < 0)
		return error_set(err, errno, "bind the root");
	if (chdir("/tmp") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0)
		return error_set(err, errno, "move the root");
	if (chroot(".") < 0 || chdir("/") < 0)
		return error_set(err, errno, "enter the root");
	return 0;
}

/* The agent's program lies there: no container may ever get to write it (CVE-2019-5736). */
static void protect_root(void)
{
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		log_warning("the guest's root stays writable", KV("errno", errno));
}

static void set_sysctls(void)
{
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
		CLEANUP(fd_close) int fd = -1;
		size_t len = strlen(sysctls[i].value);

		if (str_format(path, sizeof(path), "/proc/sys/%s", sysctls[i].path) < 0)
			continue;
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		/* a line end, since an empty write sets nothing */
		if (fd < 0 || (len > 0 ? write(fd, sysctls[i].value, len) : write(fd, "\n", 1)) < 0)
			log_warning("sysctl not set", KV_S("name", sysctls[i].path),
				    KV("errno", errno));
	}
}

static void bring_loopback_up(void)
{
	CLEANUP(fd_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		log_warning("loopback interface not up", KV("errno", errno));
}

static void save_from_oom_killer(void)
{
	CLEANUP(fd_close) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		log_warning("oom_score_adj of the agent not set", KV("errno", errno));
}

int init_guest(struct error *err)
{
	uint32_t port;
	int moved, mounted, r;

	umask(022);
	moved = move_root(err);
	mounted = moved < 0 ? moved : mount_all(err);
	r = open_console();
	log_start("agent", STDERR_FILENO, LOG_INFO);
	if (mounted < 0)
		return mounted;
	if (r < 0)
		return error_set(err, -r, "open the console");
	/* Where the link is no vsock, no process of the guest shall have any. */
	r = modules_load(INIT_MODULES, link_wants_vsock(&port) ? NULL : "vsock", err);
	if (r < 0)
		log_error("modules not loaded", KV_ERR(err));
	protect_root();
	set_sysctls();
	bring_loopback_up();
	save_from_oom_killer();
	return 0;
}
