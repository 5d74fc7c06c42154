/* kata-runtime/virtiofsd-probe.c: a program is asked once, and again when it is another one. */
#include "kata-runtime/virtiofsd-probe.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

static char dir[] = "/tmp/test-virtiofsd-probe.XXXXXX";

static void enter_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
}

static void remove_dir(void)
{
	unlink("asked");
	unlink("cache");
	unlink("program");
	rmdir(dir);
}

/* A program that leaves a byte in the file "asked" each time and prints the version. */
static void write_program(const char *name, const char *version)
{
	FILE *file = fopen(name, "we");

	cr_assert_not_null(file);
	fprintf(file, "#!/bin/sh\nprintf . >>%s/asked\necho '%s'\n", dir, version);
	fclose(file);
	chmod(name, 0755);
}

/* Probes, and checks kind and how often the program was asked so far. */
static void expect(enum virtiofsd_kind kind, off_t asked)
{
	enum virtiofsd_kind got = kind == VIRTIOFSD_C ? VIRTIOFSD_RUST : VIRTIOFSD_C;
	struct error err = { 0 };
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/program", dir);
	cr_assert_eq(virtiofsd_probe_cached("cache", path, &got, &err), 0, "%s", err.text);
	cr_expect_eq(got, kind);
	cr_assert_eq(stat("asked", &st), 0);
	cr_expect_eq(st.st_size, asked, "asked %lld times", (long long)st.st_size);
}

Test(virtiofsd_probe, asks_once, .init = enter_dir, .fini = remove_dir)
{
	struct stat st;

	write_program("program", "virtiofsd 1.13.2");
	expect(VIRTIOFSD_RUST, 1);
	expect(VIRTIOFSD_RUST, 1);
	/* written in place */
	write_program("program", "virtiofsd version 7.2.22");
	expect(VIRTIOFSD_C, 2);
	expect(VIRTIOFSD_C, 2);
	/* replaced, with another one of the same size and time */
	cr_assert_eq(stat("program", &st), 0);
	write_program("new", "virtiofsd backend 1.4.00");
	cr_assert_eq(utimensat(AT_FDCWD, "new", (struct timespec[]){ st.st_atim, st.st_mtim }, 0),
		     0);
	cr_assert_eq(rename("new", "program"), 0);
	expect(VIRTIOFSD_RUST, 3);
}

/* A cache that is damaged, is not ours alone or is no file is not believed. */
Test(virtiofsd_probe, doubts_the_cache, .init = enter_dir, .fini = remove_dir)
{
	write_program("program", "virtiofsd 1.13.2");
	expect(VIRTIOFSD_RUST, 1);
	cr_assert_eq(truncate("cache", 10), 0);
	expect(VIRTIOFSD_RUST, 2);
	cr_assert_eq(chmod("cache", 0666), 0);
	expect(VIRTIOFSD_RUST, 3);
	cr_assert_eq(rename("cache", "elsewhere"), 0);
	cr_assert_eq(symlink("elsewhere", "cache"), 0);
	expect(VIRTIOFSD_RUST, 4);
	expect(VIRTIOFSD_RUST, 4); /* the link was replaced */
	unlink("elsewhere");
}

/* What is no virtiofsd is not remembered, nor is one that cannot be run. */
Test(virtiofsd_probe, remembers_no_failure, .init = enter_dir, .fini = remove_dir)
{
	enum virtiofsd_kind kind;
	struct error err = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "%s/program", dir);
	cr_expect_eq(virtiofsd_probe_cached("cache", path, &kind, &err), -ENOENT);
	cr_expect_not_null(strstr(err.text, path), "%s", err.text);
	write_program("program", "QEMU emulator version 7.2.22");
	cr_expect_eq(virtiofsd_probe_cached("cache", path, &kind, &err), -EPROTONOSUPPORT);
	cr_expect_eq(access("cache", F_OK), -1);
	/* Nowhere to keep it: it is asked each time. */
	write_program("program", "virtiofsd 1.13.2");
	cr_expect_eq(virtiofsd_probe_cached("none/cache", path, &kind, &err), 0);
	cr_expect_eq(kind, VIRTIOFSD_RUST);
}
