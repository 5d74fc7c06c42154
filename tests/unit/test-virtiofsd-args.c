/* virtiofsd's arguments for both programs: kata-runtime/virtiofsd-args.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/str.h"
#include "kata-runtime/virtiofsd-args.h"

/* What "--version" printed in distributions, and what is neither of the two; -1: refused. */
static const struct {
	const char *version;
	int kind;
} versions[] = {
	{ "virtiofsd version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n"
	  "Copyright (c) 2003-2022 Fabrice Bellard and the QEMU Project developers\n"
	  "using FUSE kernel interface version 7.36\n",
	  VIRTIOFSD_C },
	{ "virtiofsd version 5.2.0 (Debian 1:5.2+dfsg-11)\n", VIRTIOFSD_C },
	{ "virtiofsd version 7.2.0", VIRTIOFSD_C },
	{ "virtiofsd backend 1.4.0\n", VIRTIOFSD_RUST },
	{ "virtiofsd 1.10.1\n", VIRTIOFSD_RUST },
	{ "virtiofsd 1.13.2\n", VIRTIOFSD_RUST },
	{ "virtiofsd 2.0.0\n", VIRTIOFSD_RUST },
	{ "virtiofsd backend 0.1.0\n", -1 },
	{ "virtiofsd 0.9.0\n", -1 },
	{ "virtiofsd version 4.2.0\n", -1 },
	{ "virtiofsd 1", -1 },
	{ "virtiofsd 1beta", -1 },
	{ "virtiofsd 99999999999999999999.1", -1 },
	{ "virtiofsd .1", -1 },
	{ "virtiofsd version ", -1 },
	{ " virtiofsd 1.13.2", -1 },
	{ "QEMU emulator version 7.2.22\n", -1 },
	{ "", -1 },
	{ "\n", -1 },
	{ "\x7f"
	  "ELF\x02\x01\x01",
	  -1 },
};

Test(virtiofsd_args, recognise)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		enum virtiofsd_kind kind = VIRTIOFSD_C;
		struct error err = { 0 };
		int r = virtiofsd_recognise(versions[i].version, &kind, &err);

		if (versions[i].kind < 0) {
			cr_expect_eq(r, -EPROTONOSUPPORT, "row %zu", i);
			cr_expect(str_starts(err.text, "virtiofsd: unknown version \""), "%s",
				  err.text);
		} else {
			cr_expect_eq(r, 0, "row %zu: %s", i, err.text);
			cr_expect_eq((int)kind, versions[i].kind, "row %zu", i);
		}
	}
}

Test(virtiofsd_args, unknown_version_is_escaped_and_cut)
{
	enum virtiofsd_kind kind;
	char long_line[4096];
	struct error err = { 0 };

	cr_expect_lt(virtiofsd_recognise("ev\x1b[31mil\"\nsecond line", &kind, &err), 0);
	cr_expect_str_eq(err.text, "virtiofsd: unknown version \"ev\\x1b[31mil\\x22\"");
	memset(long_line, 'a', sizeof(long_line));
	long_line[sizeof(long_line) - 1] = '\0';
	cr_expect_lt(virtiofsd_recognise(long_line, &kind, &err), 0);
	cr_expect_lt(strlen(err.text), 150);
}

/* The arguments as one line. */
static void line(const struct virtiofsd_config *config, char *text, size_t size)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct error err = { 0 };
	size_t used = 0;

	cr_assert_eq(virtiofsd_args_make(config, &argv, &err), 0, "%s", err.text);
	cr_assert(argv.items[argv.count] == NULL);
	for (uint32_t i = 0; i < argv.count; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? " " : "",
					 argv.items[i]);
	cr_assert_lt(used, size);
}

static const struct {
	struct virtiofsd_config config;
	const char *line;
} lines[] = {
	{ { "virtiofsd", VIRTIOFSD_C, "/share", NULL, false, false },
	  "virtiofsd --fd=3 -f -o source=/share -o sandbox=namespace -o cache=auto -o xattr "
	  "-o announce_submounts -o no_flock -o no_posix_lock -o log_level=warn" },
	{ { "/usr/lib/qemu/virtiofsd", VIRTIOFSD_C, "/a b/c", "-mknod", true, true },
	  "/usr/lib/qemu/virtiofsd --fd=3 -f -o source=/a b/c -o sandbox=namespace -o cache=auto "
	  "-o xattr -o announce_submounts -o flock -o posix_lock -o log_level=debug "
	  "-o modcaps=-mknod" },
	{ { "virtiofsd", VIRTIOFSD_RUST, "/share", NULL, false, false },
	  "virtiofsd --fd=3 --shared-dir=/share --sandbox=namespace --cache=auto --xattr "
	  "--announce-submounts --log-level=warn" },
	{ { "virtiofsd", VIRTIOFSD_C, "/share", NULL, false, false, "none" },
	  "virtiofsd --fd=3 -f -o source=/share -o sandbox=namespace -o cache=none -o xattr "
	  "-o announce_submounts -o no_flock -o no_posix_lock -o log_level=warn" },
	{ { "virtiofsd", VIRTIOFSD_RUST, "/share", NULL, false, false, "none" },
	  "virtiofsd --fd=3 --shared-dir=/share --sandbox=namespace --cache=never --xattr "
	  "--announce-submounts --log-level=warn" },
	{ { "virtiofsd", VIRTIOFSD_RUST, "/share", "-mknod:+sys_admin", true, true },
	  "virtiofsd --fd=3 --shared-dir=/share --sandbox=namespace --cache=auto --xattr "
	  "--announce-submounts --log-level=debug --modcaps=-mknod:+sys_admin" },
};

Test(virtiofsd_args, lines)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char text[1024];

		line(&lines[i].config, text, sizeof(text));
		cr_expect_str_eq(text, lines[i].line, "row %zu", i);
	}
}

static const struct virtiofsd_config bad[] = {
	{ "v", VIRTIOFSD_C, "" },
	{ "v", VIRTIOFSD_C, "share" },
	{ "v", VIRTIOFSD_C, "/share,sandbox=none" },
	{ "v", VIRTIOFSD_RUST, "/share\\,x" },
	{ "v", VIRTIOFSD_C, "/share", "" },
	{ "v", VIRTIOFSD_C, "/share", "+chown,sandbox=none" },
	{ "v", VIRTIOFSD_RUST, "/share", "+CHOWN" },
	{ "v", VIRTIOFSD_RUST, "/share", "-mknod --sandbox=none" },
};

Test(virtiofsd_args, refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct argv argv = { .count = 77 };
		struct error err = { 0 };

		cr_expect_eq(virtiofsd_args_make(&bad[i], &argv, &err), -EINVAL, "row %zu", i);
		cr_expect(str_starts(err.text, "virtiofsd: "), "row %zu: %s", i, err.text);
		cr_expect_eq(argv.count, 77, "row %zu: written on failure", i);
	}
}

Test(virtiofsd_args, names)
{
	cr_expect_str_eq(virtiofsd_kind_name(VIRTIOFSD_C), "C");
	cr_expect_str_eq(virtiofsd_kind_name(VIRTIOFSD_RUST), "Rust");
	cr_expect(virtiofsd_has_locks(VIRTIOFSD_C));
	cr_expect_not(virtiofsd_has_locks(VIRTIOFSD_RUST));
}
