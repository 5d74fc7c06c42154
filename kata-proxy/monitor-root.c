/*
 * The monitor's namespaces, root, share and sockets: see monitor-root.h. Called by monitor.c while
 * it still is root, in the order of the header; every descriptor returned is the caller's. What is
 * made here lives as long as the sandbox's mount namespace.
 */
#include "kata-proxy/monitor-root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/launch.h"

/* Where the new root is built: a directory that every host has and that nothing below needs. */
#define STAGE "/run"
#define HUGE_PAGE_SIZE "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"
#define VHOST_USER_SOCKET KEPT "/vhost-user.sock"

/* The directory that becomes the root when QEMU and virtiofsd have started. */
#define KEPT "/kept"

enum { BACKLOG = 8 }; /* workers may come and go while QEMU stands still */

static int mount_on(const char *source, const char *target, const char *type, unsigned long flags,
		    const char *data, struct error *err)
{
	if (mount(source, target, type, flags, data) < 0)
		return error_set(err, errno, "mount %s in the sandbox's root", target);
	return 0;
}

static int make_dir(const char *path, mode_t mode, struct error *err)
{
	if (mkdir(path, mode) < 0)
		return error_set(err, errno, "make %s in the sandbox's root", path);
	return 0;
}

/* Shows one device node of the host. */
static int show_device(const char *node, const char *target, struct error *err)
{
	CLEANUP(fd_close) int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set(err, errno, "make %s in the sandbox's root", target);
	return mount_on(node, target, NULL, MS_BIND, NULL, err);
}

static int make_link(const char *target, const char *name, struct error *err)
{
	if (symlink(target, name) < 0)
		return error_set(err, errno, "link %s in the sandbox's root", name);
	return 0;
}

static int show_usr(struct error *err)
{
	static const char *const links[] = { "lib", "lib64", "bin", "sbin" };
	int r;

	r = mount_on("/usr", STAGE "/usr", NULL, MS_BIND, NULL, err);
	if (r == 0)
		r = mount_on(NULL, STAGE "/usr", NULL,
			     MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(links); i++) {
		char target[32], name[32];

		snprintf(target, sizeof(target), "usr/%s", links[i]);
		snprintf(name, sizeof(name), STAGE "/%s", links[i]);
		r = make_link(target, name, err);
	}
	return r;
}

/*
 * The size of a huge page, which QEMU's virtio-mem asks for; in a file of our own, as all else of
 * /sys is nobody's business. Without huge pages on the host: what QEMU would take itself.
 */
static int tell_huge_page(struct error *err)
{
	static const char *const dirs[] = { "/sys", "/sys/kernel", "/sys/kernel/mm",
					    "/sys/kernel/mm/transparent_hugepage" };
	CLEANUP(fd_close) int from = open(HUGE_PAGE_SIZE, O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_close) int to = -1;
	char text[32] = "2097152\n", path[80];
	ssize_t n = from < 0 ? 0 : read(from, text, sizeof(text) - 1);
	int r = 0;

	if (n > 0)
		text[n] = '\0';
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), STAGE "%s", dirs[i]);
		r = make_dir(path, 0755, err);
	}
	if (r < 0)
		return r;
	to = open(STAGE HUGE_PAGE_SIZE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (to < 0 || write(to, text, strlen(text)) != (ssize_t)strlen(text))
		return error_set(err, errno, "make %s in the sandbox's root", HUGE_PAGE_SIZE);
	return 0;
}

static int build(bool kvm, struct error *err)
{
	static const char *const dirs[] = { "/usr", "/proc", "/dev", KEPT, KEPT LAUNCH_SHARE };
	int r;

	r = mount_on("tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		     "size=64k,nr_inodes=64,mode=0755", err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++) {
		char path[32];

		snprintf(path, sizeof(path), STAGE "%s", dirs[i]);
		r = make_dir(path, 0755, err);
	}
	if (r == 0)
		r = make_dir(STAGE LAUNCH_SHARE, 0700, err);
	if (r == 0)
		r = make_link(KEPT MONITOR_AGENT_SOCKET, STAGE MONITOR_AGENT_SOCKET, err);
	if (r == 0)
		r = show_usr(err);
	if (r == 0)
		r = mount_on("proc", STAGE "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL,
			     err);
	if (r == 0)
		r = tell_huge_page(err);
	if (r == 0)
		r = show_device("/dev/null", STAGE "/dev/null", err);
	if (r == 0 && kvm)
		r = show_device("/dev/kvm", STAGE "/dev/kvm", err);
	return r;
}

static int make_share(struct error *err)
{
	char options[64];
	int r;

	snprintf(options, sizeof(options), "size=64k,nr_inodes=%d,mode=0700", MONITOR_SHARE_INODES);
	r = mount_on("tmpfs", LAUNCH_SHARE, "tmpfs", MS_NOSUID | MS_NODEV, options, err);
	if (r == 0)
		r = mount_on(NULL, LAUNCH_SHARE, NULL, MS_SHARED, NULL, err);
	return r;
}

/* Makes the mount at dir the root and lets all others of this namespace go. */
static int pivot(const char *dir, struct error *err)
{
	if (chdir(dir) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_set(err, errno, "enter the sandbox's root");
	return 0;
}

int monitor_root_enter(bool kvm, struct error *err)
{
	mode_t mask = umask(0);
	int r;

	if (unshare((int)privsep_row(PRIVSEP_MONITOR)->namespaces & ~CLONE_NEWPID) < 0)
		return error_set(err, errno, "leave the host's namespaces");
	r = mount_on(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL, err);
	if (r == 0)
		r = build(kvm, err);
	if (r < 0)
		return r;
	/* Every mount left in this namespace would stay pinned on the host: let all of them go. */
	r = pivot(STAGE, err);
	umask(mask);
	return r < 0 ? r : make_share(err);
}

int monitor_root_leave(struct error *err)
{
	int r;

	if (SANITIZED)
		return 0;
	r = mount_on(KEPT, "/proc", NULL, MS_BIND, NULL, err);
	if (r == 0)
		r = mount_on(LAUNCH_SHARE, "/proc" LAUNCH_SHARE, NULL, MS_MOVE, NULL, err);
	return r < 0 ? r : pivot("/proc", err);
}

static int unix_socket(const char *path, int flags, struct sockaddr_un *ret_address,
		       struct error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		return error_set(err, errno, "make a socket");
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s", path);
	return fd;
}

static int listen_at(const char *path, struct error *err)
{
	struct sockaddr_un address;
	CLEANUP(fd_close) int fd = unix_socket(path, 0, &address, err);

	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
		return error_set(err, errno, "listen at %s in the sandbox's root", path);
	return steal_fd(&fd);
}

static int connect_to(const char *path, int flags, struct error *err)
{
	struct sockaddr_un address;
	CLEANUP(fd_close) int fd = unix_socket(path, flags, &address, err);

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "connect to %s in the sandbox's root", path);
	return steal_fd(&fd);
}

int monitor_root_vhost_user(int *ret_listening, int *ret_connected, struct error *err)
{
	CLEANUP(fd_close) int listening = listen_at(VHOST_USER_SOCKET, err);
	CLEANUP(fd_close) int connected = -1;

	if (listening < 0)
		return listening;
	connected = connect_to(VHOST_USER_SOCKET, 0, err);
	if (connected < 0)
		return connected;
	if (unlink(VHOST_USER_SOCKET) < 0)
		return error_set(err, errno, "remove %s", VHOST_USER_SOCKET);
	*ret_listening = steal_fd(&listening);
	*ret_connected = steal_fd(&connected);
	return 0;
}

int monitor_root_listen_agent(uid_t owner, struct error *err)
{
	CLEANUP(fd_close) int fd = listen_at(KEPT MONITOR_AGENT_SOCKET, err);

	if (fd < 0)
		return fd;
	if (chmod(MONITOR_AGENT_SOCKET, 0600) < 0 || chown(MONITOR_AGENT_SOCKET, owner, owner) < 0)
		return error_set(err, errno, "give %s to its user", MONITOR_AGENT_SOCKET);
	return steal_fd(&fd);
}

int monitor_root_connect_agent(struct error *err)
{
	return connect_to(MONITOR_AGENT_SOCKET, SOCK_NONBLOCK, err);
}

int monitor_root_seal(struct error *err)
{
	return mount_on(NULL, "/", NULL,
			MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL,
			err);
}
