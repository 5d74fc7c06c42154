/* kata-runtime/spec-mount.c: mount options as mount(8) names them. */
#include "kata-runtime/spec-mount.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json.h"

/* The options of a mount are the words of text. */
static int parse(const char *text, struct mount_options *ret, struct error *err)
{
	struct spec_mount mount = { .destination = (char *)"/d" };
	char words[8192], *word, *rest = words;
	int r;

	snprintf(words, sizeof(words), "%s", text);
	while ((word = strsep(&rest, " ")) != NULL)
		cr_assert(json_strings_add(&mount.options, word) == 0);
	r = mount_options_parse(&mount, ret, err);
	json_strings_fini(&mount.options);
	return r;
}

Test(spec_mount, options)
{
	static const struct {
		const char *text;
		uint64_t flags, clear;
		uint32_t propagation;
		bool copy_up;
		const char *data;
	} cases[] = {
		{ "", 0, 0, 0, false, "" },
		{ "defaults", 0, 0, 0, false, "" },
		{ "nosuid strictatime mode=755 size=65536k", MS_NOSUID | MS_STRICTATIME, 0, 0,
		  false, "mode=755,size=65536k" },
		{ "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5", MS_NOSUID | MS_NOEXEC,
		  0, 0, false, "newinstance,ptmxmode=0666,mode=0620,gid=5" },
		{ "rbind rprivate ro", MS_BIND | MS_REC | MS_RDONLY, 0, MS_PRIVATE | MS_REC, false,
		  "" },
		{ "bind rslave", MS_BIND, 0, MS_SLAVE | MS_REC, false, "" },
		{ "shared", 0, 0, MS_SHARED, false, "" },
		{ "shared rslave runbindable", 0, 0, MS_UNBINDABLE | MS_REC, false, "" },
		{ "ro rw", 0, MS_RDONLY, 0, false, "" },
		{ "rw ro", MS_RDONLY, 0, 0, false, "" },
		{ "suid dev exec async", 0, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS, 0,
		  false, "" },
		{ "nodev sync dirsync remount mand noatime nodiratime relatime",
		  MS_NODEV | MS_SYNCHRONOUS | MS_DIRSYNC | MS_REMOUNT | MS_MANDLOCK | MS_NOATIME |
			  MS_NODIRATIME | MS_RELATIME,
		  0, 0, false, "" },
		{ "nomand atime diratime norelatime nostrictatime", 0,
		  MS_MANDLOCK | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME, 0, false,
		  "" },
		{ "tmpcopyup size=1m", 0, 0, 0, true, "size=1m" },
		{ "RO", 0, 0, 0, false, "RO" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mount_options o = { 0 };
		struct error err = { 0 };

		cr_assert(parse(cases[i].text, &o, &err) == 0, "case %zu: %s", i, err.text);
		cr_expect(o.flags == cases[i].flags && o.clear == cases[i].clear, "case %zu: %s", i,
			  cases[i].text);
		cr_expect(o.propagation == cases[i].propagation && o.copy_up == cases[i].copy_up,
			  "case %zu", i);
		cr_expect_str_eq(o.data, cases[i].data, "case %zu: %s", i, o.data);
		mount_options_fini(&o);
	}
}

Test(spec_mount, options_for_all_below)
{
	static const struct {
		const char *text;
		uint64_t set, clear;
	} cases[] = {
		{ "ro", 0, 0 },
		{ "rro", MOUNT_ATTR_RDONLY, 0 },
		{ "rro rrw", 0, MOUNT_ATTR_RDONLY },
		{ "rrw rro", MOUNT_ATTR_RDONLY, 0 },
		{ "rnosuid rnodev rexec", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC },
		{ "rnoatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
		{ "rnoatime rstrictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
		{ "rnoatime ratime", 0, MOUNT_ATTR__ATIME },
		{ "rrelatime rnodiratime", MOUNT_ATTR_NODIRATIME, MOUNT_ATTR__ATIME },
		{ "rnosymfollow rsymfollow", 0, MOUNT_ATTR_NOSYMFOLLOW },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mount_options o = { 0 };
		struct error err = { 0 };

		cr_assert(parse(cases[i].text, &o, &err) == 0, "%s: %s", cases[i].text, err.text);
		cr_expect(o.all_set == cases[i].set && o.all_clear == cases[i].clear, "%s: %lx %lx",
			  cases[i].text, (long)o.all_set, (long)o.all_clear);
		cr_expect_str_eq(o.data, "");
		mount_options_fini(&o);
	}
}

Test(spec_mount, refuses)
{
	static const char *const cases[] = { "idmap", "ridmap", "idmap=uids=0-1-1", "ridmap=x",
					     "bind ro idmap" };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mount_options o = { 0 };
		struct error err = { 0 };

		cr_expect(parse(cases[i], &o, &err) == -ENOTSUP, "%s", cases[i]);
		cr_expect(strstr(err.text, "mount on /d: option ") != NULL, "%s", err.text);
		cr_expect(o.data == NULL);
	}
}

Test(spec_mount, data_fits_a_page)
{
	struct mount_options o = { 0 };
	struct error err = { 0 };
	char text[4200];

	memset(text, 'x', sizeof(text));
	text[4095] = '\0';
	cr_assert(parse(text, &o, &err) == 0, "%s", err.text);
	mount_options_fini(&o);
	text[4095] = 'x';
	text[4096] = '\0';
	cr_assert(parse(text, &o, &err) == -EINVAL);
}

Test(spec_mount, propagation)
{
	cr_expect(mount_propagation("rshared") == (MS_SHARED | MS_REC));
	cr_expect(mount_propagation("unbindable") == MS_UNBINDABLE);
	cr_expect(mount_propagation("ro") == 0 && mount_propagation("") == 0);
}
