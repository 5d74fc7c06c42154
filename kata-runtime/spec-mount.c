/* Mount options of config.json: see spec-mount.h. Pure; the result belongs to the caller. */
#include "kata-runtime/spec-mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/str.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum action { SET, CLEAR, PROPAGATE, COPY_UP, SET_ALL, CLEAR_ALL, REFUSE };

static const struct {
	const char *name;
	uint64_t flags;
	enum action action;
} options[] = {
	{ "async", MS_SYNCHRONOUS, CLEAR },
	{ "atime", MS_NOATIME, CLEAR },
	{ "bind", MS_BIND, SET },
	{ "defaults", 0, SET },
	{ "dev", MS_NODEV, CLEAR },
	{ "diratime", MS_NODIRATIME, CLEAR },
	{ "dirsync", MS_DIRSYNC, SET },
	{ "exec", MS_NOEXEC, CLEAR },
	{ "iversion", MS_I_VERSION, SET },
	{ "lazytime", MS_LAZYTIME, SET },
	{ "loud", MS_SILENT, CLEAR },
	{ "mand", MS_MANDLOCK, SET },
	{ "noatime", MS_NOATIME, SET },
	{ "nodev", MS_NODEV, SET },
	{ "nodiratime", MS_NODIRATIME, SET },
	{ "noexec", MS_NOEXEC, SET },
	{ "noiversion", MS_I_VERSION, CLEAR },
	{ "nolazytime", MS_LAZYTIME, CLEAR },
	{ "nomand", MS_MANDLOCK, CLEAR },
	{ "norelatime", MS_RELATIME, CLEAR },
	{ "nostrictatime", MS_STRICTATIME, CLEAR },
	{ "nosuid", MS_NOSUID, SET },
	{ "nosymfollow", MS_NOSYMFOLLOW, SET },
	{ "rbind", MS_BIND | MS_REC, SET },
	{ "relatime", MS_RELATIME, SET },
	{ "remount", MS_REMOUNT, SET },
	{ "ro", MS_RDONLY, SET },
	{ "rw", MS_RDONLY, CLEAR },
	{ "silent", MS_SILENT, SET },
	{ "strictatime", MS_STRICTATIME, SET },
	{ "suid", MS_NOSUID, CLEAR },
	{ "symfollow", MS_NOSYMFOLLOW, CLEAR },
	{ "sync", MS_SYNCHRONOUS, SET },

	{ "private", MS_PRIVATE, PROPAGATE },
	{ "rprivate", MS_PRIVATE | MS_REC, PROPAGATE },
	{ "rshared", MS_SHARED | MS_REC, PROPAGATE },
	{ "rslave", MS_SLAVE | MS_REC, PROPAGATE },
	{ "runbindable", MS_UNBINDABLE | MS_REC, PROPAGATE },
	{ "shared", MS_SHARED, PROPAGATE },
	{ "slave", MS_SLAVE, PROPAGATE },
	{ "unbindable", MS_UNBINDABLE, PROPAGATE },

	{ "tmpcopyup", 0, COPY_UP },

	/*
	 * Attributes for a mount and all below it: flags are MOUNT_ATTR_*. The ways to keep access
	 * times are one number, which is set as a whole; the negative ones mean the kernel's own.
	 */
	{ "ratime", MOUNT_ATTR_RELATIME, SET_ALL },
	{ "rdev", MOUNT_ATTR_NODEV, CLEAR_ALL },
	{ "rdiratime", MOUNT_ATTR_NODIRATIME, CLEAR_ALL },
	{ "rexec", MOUNT_ATTR_NOEXEC, CLEAR_ALL },
	{ "rnoatime", MOUNT_ATTR_NOATIME, SET_ALL },
	{ "rnodev", MOUNT_ATTR_NODEV, SET_ALL },
	{ "rnodiratime", MOUNT_ATTR_NODIRATIME, SET_ALL },
	{ "rnoexec", MOUNT_ATTR_NOEXEC, SET_ALL },
	{ "rnorelatime", MOUNT_ATTR_RELATIME, SET_ALL },
	{ "rnostrictatime", MOUNT_ATTR_RELATIME, SET_ALL },
	{ "rnosuid", MOUNT_ATTR_NOSUID, SET_ALL },
	{ "rnosymfollow", MOUNT_ATTR_NOSYMFOLLOW, SET_ALL },
	{ "rrelatime", MOUNT_ATTR_RELATIME, SET_ALL },
	{ "rro", MOUNT_ATTR_RDONLY, SET_ALL },
	{ "rrw", MOUNT_ATTR_RDONLY, CLEAR_ALL },
	{ "rstrictatime", MOUNT_ATTR_STRICTATIME, SET_ALL },
	{ "rsuid", MOUNT_ATTR_NOSUID, CLEAR_ALL },
	{ "rsymfollow", MOUNT_ATTR_NOSYMFOLLOW, CLEAR_ALL },
	/* Other owners than the host's. */
	{ "idmap", 0, REFUSE },
	{ "ridmap", 0, REFUSE },
};

void mount_options_fini(struct mount_options *o)
{
	free(o->data);
	*o = (struct mount_options){ 0 };
}

/* Those that are refused stand at the end of the table. */
const char *mount_option_name(size_t i)
{
	return i < ARRAY_SIZE(options) && options[i].action != REFUSE ? options[i].name : NULL;
}

uint32_t mount_propagation(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].action == PROPAGATE && str_eq(options[i].name, text))
			return (uint32_t)options[i].flags;
	return 0;
}

/* mount_setattr(2) wants all bits of the access times cleared before one of them is set. */
static void set_all(struct mount_options *ret, uint64_t flag)
{
	if ((flag & ~(uint64_t)MOUNT_ATTR__ATIME) == 0) {
		ret->all_set &= ~(uint64_t)MOUNT_ATTR__ATIME;
		ret->all_clear |= MOUNT_ATTR__ATIME;
	} else {
		ret->all_clear &= ~flag;
	}
	ret->all_set |= flag;
}

/* 1 when text is no flag: the filesystem's own option. */
static int apply(const struct spec_mount *mount, const char *text, struct mount_options *ret,
		 struct error *err)
{
	size_t i;

	/* crun takes arguments of its own there: idmap=uids=...;gids=... */
	if (str_starts(text, "idmap=") || str_starts(text, "ridmap="))
		text = "idmap";
	for (i = 0; i < ARRAY_SIZE(options); i++)
		if (str_eq(options[i].name, text))
			break;
	if (i == ARRAY_SIZE(options))
		return 1;
	switch (options[i].action) {
	case SET:
		ret->flags |= options[i].flags;
		ret->clear &= ~options[i].flags;
		break;
	case CLEAR:
		ret->flags &= ~options[i].flags;
		ret->clear |= options[i].flags;
		break;
	case PROPAGATE:
		ret->propagation = (uint32_t)options[i].flags;
		break;
	case COPY_UP:
		ret->copy_up = true;
		break;
	case SET_ALL:
		set_all(ret, options[i].flags);
		break;
	case CLEAR_ALL:
		ret->all_set &= ~options[i].flags;
		ret->all_clear |= options[i].flags;
		break;
	case REFUSE:
		return error_say(err, ENOTSUP, "mount on %s: option %s is not supported",
				 mount->destination, text);
	}
	return 0;
}

int mount_options_parse(const struct spec_mount *mount, struct mount_options *ret,
			struct error *err)
{
	CLEANUP(buf_fini) struct buf data = { 0 };
	struct mount_options o = { 0 };
	int r;

	for (uint32_t i = 0; i < mount->options.count; i++) {
		const char *text = mount->options.items[i];

		if (text[0] == '\0')
			continue;
		r = apply(mount, text, &o, err);
		if (r < 0)
			return r;
		if (r > 0 && ((buf_len(&data) > 0 && buf_append(&data, ",", 1) < 0) ||
			      buf_append(&data, text, strlen(text)) < 0))
			return error_set(err, ENOMEM, "mount on %s", mount->destination);
	}
	if (buf_append(&data, "", 1) < 0)
		return error_set(err, ENOMEM, "mount on %s", mount->destination);
	if (buf_len(&data) > 4096) /* what mount(2) takes */
		return error_say(err, EINVAL, "mount on %s: options longer than a page",
				 mount->destination);
	o.data = (char *)steal_ptr(&data.data); /* nothing was consumed: it begins there */
	*ret = o;
	return 0;
}
