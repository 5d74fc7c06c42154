/* kata-runtime/assets.c: which VMs run something older than a new one would. */
#include "kata-runtime/assets.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	cr_assert(file != NULL);
	fputs(text, file);
	fclose(file);
}

static bool stale(const struct state *state, const struct config *config, bool hypervisor,
		  bool kernel, bool image)
{
	return asset_is_stale(state, config, ASSET_HYPERVISOR) == hypervisor &&
	       asset_is_stale(state, config, ASSET_KERNEL) == kernel &&
	       asset_is_stale(state, config, ASSET_IMAGE) == image;
}

Test(assets, a_file_that_is_replaced_or_another_path)
{
	char dir[] = "/tmp/kata-test-assets-XXXXXX";
	CLEANUP(state_fini) struct state state = { 0 }, member = { 0 };
	struct config config = { 0 };
	struct error err = { 0 };

	cr_assert(mkdtemp(dir) != NULL && chdir(dir) == 0);
	put("qemu", "1");
	put("vmlinux", "1");
	put("image", "1");
	config.hypervisor.path = (char *)"qemu";
	config.hypervisor.kernel = (char *)"vmlinux";
	config.hypervisor.initrd = (char *)"image";
	cr_assert(assets_note(&state, &config, &err) == 0);
	cr_assert(assets_copy(&member, &state, &err) == 0);
	cr_expect_str_eq(member.asset_path[ASSET_KERNEL], "vmlinux");
	cr_expect(stale(&member, &config, false, false, false));
	put("image.new", "1");
	cr_assert(rename("image.new", "image") == 0);
	cr_expect(stale(&member, &config, false, false, true));
	config.hypervisor.kernel = (char *)"qemu";
	cr_expect(stale(&member, &config, false, true, true));
	cr_assert(unlink("qemu") == 0);
	cr_expect(stale(&member, &config, true, true, true));
	/* What was not there, or was not noted, is not known. */
	config.hypervisor.kernel = (char *)"nothing";
	cr_assert(assets_note(&state, &config, &err) == 0);
	cr_expect(stale(&state, &config, false, false, false));
	for (enum state_asset i = 0; i < STATE_ASSETS; i++)
		cr_expect(str_eq(asset_path(&config, i), state.asset_path[i]), "%s", asset_name(i));
	unlink("vmlinux");
	unlink("image");
	cr_expect(rmdir(dir) == 0);
}
