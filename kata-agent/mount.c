/*
 * Mounts by descriptor: see mount.h. Runs in the forked child that becomes a container's first
 * process, in its own mount namespace; allocates nothing. pid 1 makes its own few mounts itself.
 */
#include "kata-agent/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-agent/copyup.h"
#include "kata-agent/resolve.h"

/* Flags of a mount; the time flags replace each other. */
static const struct {
	uint64_t flag, set, clear;
} attributes[] = {
	{ MS_RDONLY, MOUNT_ATTR_RDONLY, 0 },
	{ MS_NOSUID, MOUNT_ATTR_NOSUID, 0 },
	{ MS_NODEV, MOUNT_ATTR_NODEV, 0 },
	{ MS_NOEXEC, MOUNT_ATTR_NOEXEC, 0 },
	{ MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, 0 },
	{ MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ MS_RELATIME, MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ MS_NOATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
	{ MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
};

/* Flags of the filesystem itself, by their names as options. */
static const struct {
	uint64_t flag;
	const char *name;
} fs_flags[] = {
	{ MS_SYNCHRONOUS, "sync" },
	{ MS_DIRSYNC, "dirsync" },
	{ 1 << 25, "lazytime" }, /* MS_LAZYTIME, which not every libc names */
};

static struct mount_attr attributes_of(uint64_t flags)
{
	struct mount_attr attr = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		if ((flags & attributes[i].flag) == 0)
			continue;
		if (attributes[i].clear != 0) {
			attr.attr_set &= ~attributes[i].clear;
			attr.attr_clr |= attributes[i].clear;
		}
		attr.attr_set |= attributes[i].set;
	}
	return attr;
}

bool mount_next_option(const char **data, char *buffer, size_t size, char **ret_value)
{
	size_t len;
	char *equals;

	*data += strspn(*data, ",");
	len = strcspn(*data, ",");
	if (len == 0)
		return false;
	buffer[0] = '\0';
	if (len < size) {
		memcpy(buffer, *data, len);
		buffer[len] = '\0';
	}
	*data += len;
	equals = strchr(buffer, '=');
	*ret_value = NULL;
	if (equals != NULL) {
		*equals = '\0';
		*ret_value = equals + 1;
	}
	return true;
}

/* What the kernel says about a refused option, when it says something. */
static int fs_error(int fs, int num, const char *type, const char *what, struct error *err)
{
	char text[256];
	ssize_t n = read(fs, text, sizeof(text) - 1);

	if (n <= 0)
		return error_set(err, num, "%s of type %s", what, type);
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return error_set(err, num, "%s of type %s (%s)", what, type, text);
}

static int set_options(int fs, const char *type, const char *data, struct error *err)
{
	char buffer[1024], *value;

	while (mount_next_option(&data, buffer, sizeof(buffer), &value)) {
		unsigned command = value != NULL ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

		if (buffer[0] == '\0')
			return error_set(err, EINVAL, "option of a mount of type %s", type);
		if (fsconfig(fs, command, buffer, value, 0) < 0)
			return fs_error(fs, errno, type, buffer, err);
	}
	return 0;
}

static int set_fs_flags(int fs, const char *type, uint64_t flags, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(fs_flags); i++) {
		if ((flags & fs_flags[i].flag) == 0)
			continue;
		if (fsconfig(fs, FSCONFIG_SET_FLAG, fs_flags[i].name, NULL, 0) < 0)
			return fs_error(fs, errno, type, fs_flags[i].name, err);
	}
	return 0;
}

int mount_new(const char *type, const char *source, uint64_t flags, const char *data,
	      struct error *err)
{
	struct mount_attr attr = attributes_of(flags);
	CLEANUP(fd_close) int fs = fsopen(type, FSOPEN_CLOEXEC);
	int fd, r;

	if (fs < 0)
		return error_set(err, errno, "filesystem type %s", type);
	if (source[0] != '\0' && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return fs_error(fs, errno, type, "source", err);
	r = set_options(fs, type, data, err);
	if (r == 0)
		r = set_fs_flags(fs, type, flags, err);
	if (r < 0)
		return r;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fs_error(fs, errno, type, "filesystem", err);
	fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attr.attr_set);
	if (fd < 0)
		return fs_error(fs, errno, type, "mount", err);
	return fd;
}

int mount_clone(int fd, bool recursive, struct error *err)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	int copy = open_tree(fd, "", flags | (recursive ? AT_RECURSIVE : 0));

	return copy < 0 ? error_set(err, errno, "bind") : copy;
}

int mount_set_flags(int mount_fd, uint64_t flags, struct error *err)
{
	struct mount_attr attr = attributes_of(flags);

	if (attr.attr_set == 0 && attr.attr_clr == 0)
		return 0;
	if (mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_set(err, errno, "set the flags of a mount");
	return 0;
}

int mount_set_propagation(int mount_fd, uint32_t propagation, struct error *err)
{
	struct mount_attr attr = { .propagation = propagation & ~(uint32_t)MS_REC };
	unsigned flags = AT_EMPTY_PATH | ((propagation & MS_REC) != 0 ? AT_RECURSIVE : 0);

	if (attr.propagation == 0)
		return 0;
	if (mount_setattr(mount_fd, "", flags, &attr, sizeof(attr)) < 0)
		return error_set(err, errno, "set the propagation of a mount");
	return 0;
}

/* For the mount and all below it: the options that begin with r, as rro. */
static int set_for_all(int mount_fd, const struct msg_mount *m, struct error *err)
{
	struct mount_attr attr = { .attr_set = m->all_set, .attr_clr = m->all_clear };

	if (attr.attr_set == 0 && attr.attr_clr == 0)
		return 0;
	if (mount_setattr(mount_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return error_set(err, errno, "set the recursive flags of a mount");
	return 0;
}

int mount_attach(int mount_fd, int target_fd, struct error *err)
{
	if (move_mount(mount_fd, "", target_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_set(err, errno, "attach a mount");
	return 0;
}

/* The share's own mounts appear when a directory is opened as one, so that is tried first. */
static int open_shared(int share_fd, const char *path, bool *ret_directory, struct error *err)
{
	int fd = resolve_open(share_fd, path, O_PATH | O_DIRECTORY, err);

	*ret_directory = true;
	if (fd == -ENOTDIR) {
		*ret_directory = false;
		fd = resolve_open(share_fd, path, O_PATH, err);
	}
	return fd;
}

static int make_shared(int share_fd, const struct msg_mount *m, bool *ret_directory,
		       struct error *err)
{
	CLEANUP(fd_close) int source = open_shared(share_fd, m->source, ret_directory, err);
	CLEANUP(fd_close) int copy = -1;
	int r;

	if (source < 0)
		return source;
	copy = mount_clone(source, (m->flags & MS_REC) != 0, err);
	if (copy < 0)
		return copy;
	r = mount_set_flags(copy, m->flags, err);
	return r < 0 ? r : steal_fd(&copy);
}

static bool has_option(const char *data, const char *name)
{
	char buffer[1024], *value;

	while (mount_next_option(&data, buffer, sizeof(buffer), &value)) {
		if (str_eq(buffer, name))
			return true;
	}
	return false;
}

/* A tmpfs takes the permissions of what it covers unless it is told others, as runc does. */
static int make_tmpfs(int target_fd, const struct msg_mount *m, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char data[PATH_MAX + 16];
	struct stat st;
	int r;

	if (fstat(target_fd, &st) < 0)
		return error_set(err, errno, "look at the mount's place");
	r = str_format(data, sizeof(data), "%s%s", m->data, "");
	if (r == 0 && !has_option(m->data, "mode"))
		r = str_format(data, sizeof(data), "mode=%04o,%s", st.st_mode & 07777, m->data);
	if (r < 0)
		return error_set(err, -r, "options of a tmpfs");
	fd = mount_new("tmpfs", m->source, m->copy_up ? m->flags & ~(uint64_t)MS_RDONLY : m->flags,
		       data, err);
	if (fd < 0)
		return fd;
	if (m->copy_up) {
		r = copyup_directory(target_fd, fd, err);
		if (r == 0)
			r = mount_set_flags(fd, m->flags, err);
		if (r < 0)
			return r;
	}
	return steal_fd(&fd);
}

/*
 * A sysfs shows the network, and that is the VM's: only who owns it may mount one. A container with
 * a user namespace gets the guest's instead, as runc does it.
 */
static int make_sysfs(const struct msg_mount *m, struct error *err)
{
	CLEANUP(fd_close) int place = -1;
	CLEANUP(fd_close) int copy = -1;
	int fd = mount_new("sysfs", m->source, m->flags, m->data, err), r;

	if (fd != -EPERM)
		return fd;
	place = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place < 0)
		return error_set(err, errno, "open the guest's /sys");
	copy = mount_clone(place, true, err);
	if (copy < 0)
		return copy;
	r = mount_set_flags(copy, m->flags, err);
	return r < 0 ? r : steal_fd(&copy);
}

/* A detached mount of any other type. cgroup is always the one hierarchy that the guest has. */
static int make_filesystem(int target_fd, const struct msg_mount *m, struct error *err)
{
	if (str_eq(m->type, "tmpfs"))
		return make_tmpfs(target_fd, m, err);
	if (str_eq(m->type, "cgroup") || str_eq(m->type, "cgroup2"))
		return mount_new("cgroup2", "cgroup", m->flags, "", err);
	if (str_eq(m->type, "sysfs"))
		return make_sysfs(m, err);
	return mount_new(m->type, m->source, m->flags, m->data, err);
}

/*
 * Where something of the host is mounted. A directory goes over a directory only: in words by which
 * docker tells its user to look at the paths.
 */
static int open_target(int root_fd, const char *path, bool directory, bool shared,
		       struct error *err)
{
	CLEANUP(fd_close) int fd = resolve_create(root_fd, path, directory, err);
	struct stat st;

	if (!shared || (fd < 0 && fd != -ENOTDIR))
		return steal_fd(&fd);
	if (fd < 0)
		return error_say(err, ENOTDIR,
				 "what is there is not a directory, as the source is");
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "look at %s in the container", path);
	if (!directory && S_ISDIR(st.st_mode))
		return error_say(err, ENOTDIR,
				 "the source is not a directory, as what is there is");
	return steal_fd(&fd);
}

static int apply(int root_fd, int share_fd, const struct msg_mount *m, struct error *err)
{
	CLEANUP(fd_close) int target = -1;
	CLEANUP(fd_close) int fd = -1;
	bool directory = true;
	int r;

	if (str_eq(m->type, "share")) {
		fd = make_shared(share_fd, m, &directory, err);
		if (fd < 0)
			return fd;
	} else if (str_eq(m->type, "bind") || (m->flags & MS_BIND) != 0) {
		return error_say(err, EINVAL, "only what is shared by the host can be bound");
	}
	target = open_target(root_fd, m->destination, directory, fd >= 0, err);
	if (target < 0)
		return target;
	if (fd < 0)
		fd = make_filesystem(target, m, err);
	if (fd < 0)
		return fd;
	r = set_for_all(fd, m, err);
	if (r == 0)
		r = mount_set_propagation(fd, m->propagation, err);
	return r < 0 ? r : mount_attach(fd, target, err);
}

int mount_put(int root_fd, const char *path, int mount_fd, struct error *err)
{
	CLEANUP(fd_close) int target = resolve_create(root_fd, path, true, err);
	int r = target < 0 ? target : mount_attach(mount_fd, target, err);

	return r < 0 ? error_prefix(err, "mount %s", path) : 0;
}

int mount_apply(int root_fd, int share_fd, const struct msg_mount *m, struct error *err)
{
	if (apply(root_fd, share_fd, m, err) < 0)
		return error_prefix(err, "mount %s", m->destination);
	return 0;
}
