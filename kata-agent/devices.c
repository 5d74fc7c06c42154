/*
 * Device nodes in a container's root: see devices.h. Runs in the forked child before pivot_root,
 * while the guest's own /dev is still there; allocates nothing.
 */
#include "kata-agent/devices.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-agent/mount.h"
#include "kata-agent/resolve.h"

static const struct {
	const char *path;
	unsigned major, minor;
} default_devices[] = {
	{ "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	{ "ptmx", "pts/ptmx" },          { "core", "/proc/kcore" },
};

static bool is_device(const struct stat *st, mode_t kind, dev_t number)
{
	return (st->st_mode & S_IFMT) == kind && st->st_rdev == number;
}

int devices_open_null(struct error *err)
{
	CLEANUP(fd_close) int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, errno, "open the guest's /dev/null");
	if (!is_device(&st, S_IFCHR, makedev(1, 3)))
		return error_say(err, ENODEV, "the guest's /dev/null is not the null device");
	return steal_fd(&fd);
}

/* The guest's node of that number, by the name the container uses for it. */
static int open_guest_node(const struct msg_device *device, mode_t kind, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	struct stat st;

	if (!str_starts(device->path, "/dev/"))
		return error_say(err, EPERM, "it cannot be made there");
	fd = open(device->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, errno, "open the guest's device");
	if (!is_device(&st, kind, makedev(device->major, device->minor)))
		return error_say(err, ENODEV, "the guest's device has another number");
	return steal_fd(&fd);
}

static int bind_guest_node(int root_fd, const struct msg_device *device, mode_t kind,
			   struct error *err)
{
	CLEANUP(fd_close) int node = open_guest_node(device, kind, err);
	CLEANUP(fd_close) int target = -1;
	CLEANUP(fd_close) int copy = -1;

	if (node < 0)
		return node;
	target = resolve_create(root_fd, device->path, false, err);
	if (target < 0)
		return target;
	copy = mount_clone(node, false, err);
	return copy < 0 ? copy : mount_attach(copy, target, err);
}

/*
 * The image may have something of that name: the right node stays, no other thing does. Who shares
 * the image may put a link there at any time, so what was looked at is what gets owner and mode.
 */
static int make_node(int parent, const char *name, const struct msg_device *device, mode_t kind)
{
	dev_t number = makedev(device->major, device->minor);
	CLEANUP(fd_close) int fd = -1;
	char path[32];
	struct stat st;

	if (mknodat(parent, name, kind, number) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!is_device(&st, kind, kind == S_IFIFO ? st.st_rdev : number))
		return -EEXIST;
	if (fchownat(fd, "", device->uid, device->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	/* Older kernels have no fchmodat() of such a descriptor. /proc is the guest's. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, device->mode) < 0 ? -errno : 0;
}

static int make(int root_fd, const struct msg_device *device, struct error *err)
{
	mode_t kind = device->kind[0] == 'c' ? S_IFCHR : device->kind[0] == 'b' ? S_IFBLK : S_IFIFO;
	CLEANUP(fd_close) int parent = -1;
	const char *name;
	int r;

	if (device->kind[0] == '\0' || strchr("cbp", device->kind[0]) == NULL)
		return error_say(err, EINVAL, "kind %s is none of c, b, p", device->kind);
	parent = resolve_parent(root_fd, device->path, &name, err);
	if (parent < 0)
		return parent;
	r = make_node(parent, name, device, kind);
	if ((r == -EPERM || r == -EEXIST || r == -EROFS) && kind != S_IFIFO)
		return bind_guest_node(root_fd, device, kind, err);
	return r < 0 ? error_set(err, -r, "make the node") : 0;
}

int devices_make(int root_fd, const struct msg_device *device, struct error *err)
{
	if (make(root_fd, device, err) < 0)
		return error_prefix(err, "device %s", device->path);
	return 0;
}

/* What the guest's kernel drives it lists by number. */
static bool guest_has(const struct msg_device *device)
{
	char path[64];

	if (device->kind[0] == 'p')
		return true;
	return str_format(path, sizeof(path), "/sys/dev/%s/%u:%u",
			  device->kind[0] == 'b' ? "block" : "char", device->major,
			  device->minor) == 0 &&
	       access(path, F_OK) == 0;
}

bool devices_are_all_allowed(const struct msg_create *create)
{
	for (uint32_t i = create->n_device_rules; i > 0; i--) {
		const struct msg_device_rule *rule = &create->device_rules[i - 1];

		if (rule->kind[0] == 'a' && rule->major == UINT32_MAX && rule->minor == UINT32_MAX)
			return rule->allow;
	}
	return false;
}

/* The nodes of one directory of the guest's /dev; below: "" or its name and a slash. */
static int make_of_guest(int root_fd, const char *below, struct error *err)
{
	CLEANUP(dir_close) DIR *dir = NULL;
	struct dirent *entry;
	char path[300];
	int r = 0;

	if (str_format(path, sizeof(path), "/dev/%s", below) < 0 || (dir = opendir(path)) == NULL)
		return error_set(err, errno, "open the guest's /dev/%s", below);
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		char kind[2] = "c";
		struct msg_device device = { .path = path, .kind = kind };
		struct stat st;

		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    str_format(path, sizeof(path), "/dev/%s%s", below, entry->d_name) < 0)
			continue;
		if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
			continue;
		kind[0] = S_ISCHR(st.st_mode) ? 'c' : 'b';
		device.major = major(st.st_rdev);
		device.minor = minor(st.st_rdev);
		device.mode = st.st_mode & 0777;
		device.uid = st.st_uid;
		device.gid = st.st_gid;
		/* The container's own stay: its console, its terminals. */
		if (!str_eq(path, "/dev/console") && !str_eq(path, "/dev/ptmx"))
			r = devices_make(root_fd, &device, err);
	}
	return r;
}

int devices_make_asked(int root_fd, const struct msg_create *create, struct error *err)
{
	static const char *const places[] = { "", "net/", "input/", "cpu/0/" };
	bool all = devices_are_all_allowed(create);
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < create->n_devices; i++) {
		const struct msg_device *d = &create->devices[i];

		if (guest_has(d))
			r = devices_make(root_fd, d, err);
		else if (!all)
			r = error_say(err, ENODEV,
				      "device %s: the VM has none of number %u:%u, and the host's "
				      "are not passed on",
				      d->path, d->major, d->minor);
	}
	for (size_t i = 0; r == 0 && all && i < ARRAY_SIZE(places); i++) {
		char path[32];

		if (str_format(path, sizeof(path), "/dev/%s", places[i]) == 0 &&
		    access(path, F_OK) == 0)
			r = make_of_guest(root_fd, places[i], err);
	}
	return r;
}

int devices_make_default(int root_fd, struct error *err)
{
	CLEANUP(fd_close) int dev = -1;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++) {
		char path[32], kind[] = "c";
		struct msg_device device = { .path = path,
					     .kind = kind,
					     .major = default_devices[i].major,
					     .minor = default_devices[i].minor,
					     .mode = 0666 };

		r = str_format(path, sizeof(path), "%s", default_devices[i].path);
		if (r == 0)
			r = devices_make(root_fd, &device, err);
		if (r < 0)
			return r;
	}
	dev = resolve_create(root_fd, "/dev", true, err);
	if (dev < 0)
		return dev;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		/* The image's own /dev may have it, or be read-only: then it stays. */
		if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST &&
		    errno != EROFS)
			return error_set(err, errno, "make /dev/%s in the container",
					 links[i].name);
	}
	return 0;
}
