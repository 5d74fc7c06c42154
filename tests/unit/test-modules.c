/* kata-agent/modules.c: the image's list of modules. */
#include "kata-agent/modules.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

Test(modules, lines)
{
	static const struct {
		const char *line, *path;
	} cases[] = {
		{ "/lib/a.ko\n", "/lib/a.ko" },
		{ "  /lib/a b.ko \t\r\n", "/lib/a b.ko" },
		{ "/lib/a.ko", "/lib/a.ko" },
		{ "# /lib/a.ko\n", NULL },
		{ "\n", NULL },
		{ "", NULL },
		{ "   ", NULL },
		{ "lib/a.ko\n", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[64];
		const char *path = NULL;
		bool found;

		strcpy(line, cases[i].line);
		found = modules_parse_line(line, &path);
		cr_expect(found == (cases[i].path != NULL), "%s", cases[i].line);
		if (found)
			cr_expect_str_eq(path, cases[i].path);
	}
}

Test(modules, names)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{ "/lib/modules/6.1/kernel/drivers/virtio/virtio_pci.ko", "virtio_pci" },
		{ "/x/pvpanic-pci.ko.xz", "pvpanic_pci" },
		{ "name", "name" },
		{ "/x/", "" },
		{ "/x/longer-than-the-place", "longer_" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char small[8], name[64];

		modules_name(cases[i].path, name, sizeof(name));
		modules_name(cases[i].path, small, sizeof(small));
		cr_expect(strncmp(name, cases[i].name, strlen(cases[i].name)) == 0, "%s", name);
		cr_expect(strncmp(small, cases[i].name, 7) == 0 && strlen(small) < 8, "%s", small);
	}
}

Test(modules, a_list_that_cannot_be_loaded)
{
	char path[] = "/tmp/kata-test-modules.XXXXXX";
	CLEANUP(fd_close) int fd = mkstemp(path);
	const char list[] = "# two that are none\n/nosuch/one.ko\n\n/dev/null\n";
	struct error err;

	cr_assert(write(fd, list, sizeof(list) - 1) == sizeof(list) - 1);
	cr_expect(modules_load(path, NULL, &err) == 2);
	cr_expect(unlink(path) == 0);
	cr_expect(modules_load(path, NULL, &err) == 0, "a kernel without modules has no list");
	cr_expect(modules_load("/", NULL, &err) <= 0);
}
