/* kata-runtime/spec-default.c: `spec` writes what `runc spec` writes, and it can be read. */
#include "kata-runtime/spec-default.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-runtime/json.h"
#include "kata-runtime/spec.h"
#include "tests/unit/srcdir.h"

Test(spec_default, is_what_runc_writes)
{
	const char *path = TEST_SRCDIR "/tests/unit/samples/spec-default.json";
	CLEANUP(json_freep) struct json_object *ours = NULL, *theirs = NULL;
	CLEANUP(freep) char *text = NULL;
	struct error err = { 0 };
	size_t len;

	cr_assert(json_read_file(path, &text, &len, &err) == 0, "%s", err.text);
	cr_assert(json_parse("theirs", text, len, false, &theirs, &err) == 0, "%s", err.text);
	cr_assert(json_parse("ours", spec_default_text(), strlen(spec_default_text()), false, &ours,
			     &err) == 0,
		  "%s", err.text);
	cr_assert(json_object_equal(ours, theirs));
}

Test(spec_default, is_a_spec_and_is_written_once)
{
	char dir[] = "/tmp/kata-test-spec-default-XXXXXX", path[64];
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct error err = { 0 };

	cr_assert(mkdtemp(dir) != NULL);
	cr_assert(spec_default_write(dir, &err) == 0, "%s", err.text);
	cr_assert(spec_load(dir, &spec, &err) == 0, "%s", err.text);
	cr_expect(spec->process.terminal && spec->process.args.count == 1);
	cr_expect(spec->process.unapplied.count == 0 && spec->unapplied.count == 0);
	cr_assert(spec_default_write(dir, &err) == -EEXIST);
	cr_expect(strstr(err.text, "config.json exists") != NULL, "%s", err.text);
	snprintf(path, sizeof(path), "%s/config.json", dir);
	unlink(path);
	rmdir(dir);
	cr_assert(spec_default_write(dir, &err) == -ENOENT);
}
