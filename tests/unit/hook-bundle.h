/*
 * A bundle for tests of hooks: a directory of its own, which is the working directory while a test
 * runs, and a config.json of which only the hooks differ.
 */
#ifndef KATA_TEST_HOOK_BUNDLE_H
#define KATA_TEST_HOOK_BUNDLE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-runtime/spec.h"

static char bundle_dir[] = "/tmp/test-hook-bundle.XXXXXX";

static inline void bundle_set_up(void)
{
	cr_assert_not_null(mkdtemp(bundle_dir));
	cr_assert(chdir(bundle_dir) == 0);
}

static inline void bundle_tear_down(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", bundle_dir);
	cr_assert(chdir("/") == 0 && system(command) == 0);
}

/* With these hooks in its config.json. */
static inline struct spec *bundle_spec(const char *hooks)
{
	static const char format[] =
		"{ \"ociVersion\": \"1.0.2\", \"root\": { \"path\": \"rootfs\" },"
		"  \"process\": { \"cwd\": \"/\", \"args\": [ \"true\" ],"
		"    \"user\": { \"uid\": 0, \"gid\": 0 } },"
		"  \"annotations\": { \"org.example/name\": \"a \\\"value\\\"\" },"
		"  \"linux\": { \"namespaces\": [ { \"type\": \"network\" } ] }, \"hooks\": %s }";
	CLEANUP(freep) char *text = NULL;
	struct spec *spec = NULL;
	struct error err = { 0 };
	int len = asprintf(&text, format, hooks);

	cr_assert(len > 0);
	cr_assert(spec_parse("config.json", bundle_dir, text, (size_t)len, &spec, &err) == 0, "%s",
		  err.text);
	return spec;
}

/* Of a file in it; static. */
static inline const char *bundle_text(const char *name)
{
	static char text[4096];
	CLEANUP(fd_close) int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

#endif
