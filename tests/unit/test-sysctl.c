/* kata-runtime/sysctl.c: which kernel parameters a container may have. */
#include "kata-runtime/sysctl.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

Test(sysctl, names)
{
	/* path NULL: refused */
	static const struct {
		const char *name, *path;
	} cases[] = {
		{ "net.ipv4.ip_forward", "net/ipv4/ip_forward" },
		{ "net/ipv4/ip_forward", "net/ipv4/ip_forward" },
		{ "net.ipv4.conf.eth0/5.rp_filter", "net/ipv4/conf/eth0.5/rp_filter" },
		{ "net/ipv4/conf/eth0.5/rp_filter", "net/ipv4/conf/eth0.5/rp_filter" },
		{ "kernel.shmmax", "kernel/shmmax" },
		{ "kernel.sem", "kernel/sem" },
		{ "kernel.shm_rmid_forced", "kernel/shm_rmid_forced" },
		{ "kernel.domainname", "kernel/domainname" },
		{ "fs.mqueue.msg_max", "fs/mqueue/msg_max" },
		{ "kernel.hostname", NULL },
		{ "kernel.shmmax.x", NULL },
		{ "kernel.core_pattern", NULL },
		{ "kernel.sysrq", NULL },
		{ "vm.overcommit_memory", NULL },
		{ "fs.file-max", NULL },
		{ "fs.mqueue", NULL },
		{ "net", NULL },
		{ "network.x", NULL },
		{ "", NULL },
		{ ".", NULL },
		{ "net.", NULL },
		{ "net..x", NULL },
		{ "net/../kernel/core_pattern", NULL },
		{ "net/.x", NULL },
		{ "/net/x", NULL },
		{ "net/x y", NULL },
		{ "net/x\n", NULL },
	};
	char long_name[400];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };
		char path[64] = "";
		int r = sysctl_path(cases[i].name, path, sizeof(path), &err);

		cr_expect(r == (cases[i].path != NULL ? 0 : -EINVAL), "%s: %d", cases[i].name, r);
		if (cases[i].path != NULL)
			cr_expect_str_eq(path, cases[i].path);
		else
			cr_expect(strstr(err.text, cases[i].name) != NULL, "%s", err.text);
	}
	memset(long_name, 'x', sizeof(long_name));
	memcpy(long_name, "net.", 4);
	long_name[sizeof(long_name) - 1] = '\0';
	cr_expect(sysctl_path(long_name, (char[256]){ 0 }, 256, NULL) == -EINVAL);
}
