/* kata-agent/caps.c: capability sets stay within each other and within what there is. */
#include "kata-agent/caps.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/cleanup.h"

Test(caps, narrow)
{
	static const struct {
		struct msg_capabilities given;
		uint64_t available;
		struct msg_capabilities wanted;
	} cases[] = {
		{ { 0xff, 0xff, 0xff, 0xff, 0xff }, 0xf0, { 0xf0, 0xf0, 0xf0, 0xf0, 0xf0 } },
		{ { 0x1, 0xf, 0x3, 0x5, 0x7 }, 0xf, { 0x1, 0x3, 0x3, 0x1, 0x1 } },
		{ { UINT64_MAX, UINT64_MAX, 0, UINT64_MAX, UINT64_MAX },
		  UINT64_MAX,
		  { UINT64_MAX, 0, 0, UINT64_MAX, 0 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct msg_capabilities sets = cases[i].given;

		caps_narrow(&sets, cases[i].available);
		cr_expect(sets.bounding == cases[i].wanted.bounding, "case %zu", i);
		cr_expect(sets.effective == cases[i].wanted.effective, "case %zu", i);
		cr_expect(sets.permitted == cases[i].wanted.permitted, "case %zu", i);
		cr_expect(sets.inheritable == cases[i].wanted.inheritable, "case %zu", i);
		cr_expect(sets.ambient == cases[i].wanted.ambient, "case %zu", i);
	}
}

/* Each test runs in a process of its own. */
Test(caps, limit_and_apply)
{
	const uint64_t kill = 1 << CAP_KILL, chown = 1 << CAP_CHOWN;
	struct msg_capabilities sets = {
		.permitted = kill | chown, .effective = chown, .inheritable = kill, .ambient = kill
	};
	struct error err = { .text = "" };
	uint64_t available;

	if (geteuid() != 0)
		cr_skip("needs root");
	cr_assert(caps_available(&available, &err) == 0);
	cr_expect((available & chown) != 0);
	cr_assert(caps_limit(chown | kill, &err) == 0, "%s", err.text);
	cr_expect(prctl(PR_CAPBSET_READ, CAP_CHOWN) == 1);
	cr_expect(prctl(PR_CAPBSET_READ, CAP_KILL) == 1);
	cr_expect(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 0);
	cr_assert(caps_apply(&sets, &err) == 0, "%s", err.text);
	cr_expect(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0) == 1);
	cr_assert(caps_available(&available, &err) == 0);
	cr_expect(available == (kill | chown));
	sets.permitted |= 1 << CAP_SYS_ADMIN;
	cr_expect(caps_apply(&sets, &err) == -EPERM, "what was dropped came back");
	cr_expect(caps_limit(0, &err) == -EPERM, "CAP_SETPCAP is gone");
}
