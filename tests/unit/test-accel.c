/* The choice of the accelerator: kata-runtime/accel.h. Nothing here starts a guest on KVM. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "kata-runtime/accel-code.h"
#include "kata-runtime/accel.h"

static const struct {
	const char *text;
	bool has;
} cpuinfos[] = {
	{ "", false },
	{ "flags", false },
	{ "flags\t\t:", false },
	{ "flags\t\t: fpu vme svm", true },
	{ "flags\t\t: vmx\n", true },
	{ "flags: vmx fpu\n", true },
	{ "flags:vmx\n", true },
	{ "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vmx est\nbugs\t\t:\n", true },
	{ "flags\t\t: fpu\nprocessor\t: 1\nflags\t\t: fpu svm\n", true },
	{ "flags\t\t: fpu hypervisor lahf_lm\n", false },
	{ "flags\t\t: vmxnet xvmx svme svm_lock\n", false },
	{ "flags\t\t: fpu\nvmx flags\t: vnmi preemption_timer vmx\n", false },
	{ "model name\t: Fancy svm vmx CPU\nflags\t\t: fpu\n", false },
	{ "flagship\t: vmx\n", false },
	{ "bugs\t\t: svm\n", false },
	{ "\n\n\nflags\t: vmx", true },
};

Test(accel, cpuinfo)
{
	for (size_t i = 0; i < ARRAY_SIZE(cpuinfos); i++)
		cr_expect_eq(accel_cpuinfo_has_virtualization(cpuinfos[i].text,
							      strlen(cpuinfos[i].text)),
			     cpuinfos[i].has, "row %zu: %s", i, cpuinfos[i].text);
}

Test(accel, cpuinfo_is_cut_anywhere)
{
	static const char text[] = "processor\t: 0\nflags\t\t: fpu vmx\nbugs\t\t:\n";
	size_t whole = strlen("processor\t: 0\nflags\t\t: fpu vmx");

	for (size_t len = 0; len < sizeof(text); len++) {
		char *copy = malloc(len + 1); /* its end is seen by the address sanitizer */

		memcpy(copy, text, len);
		cr_expect_eq(accel_cpuinfo_has_virtualization(copy, len), len >= whole, "%zu", len);
		free(copy);
	}
}

Test(accel, words)
{
	static const char *const bad[] = { "", "KVM", "kvm ", "hvf", "autotcg" };
	struct accel_result result;
	struct error err;

	cr_assert_eq(accel_choose("tcg", &result, &err), 0);
	cr_expect_eq(result.accel, ACCEL_TCG);
	cr_expect_not(result.fallback);
	cr_expect_neq(result.reason[0], '\0');
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(accel_choose(bad[i], &result, &err), -EINVAL, "%s", bad[i]);
		cr_expect(strstr(err.text, "\"auto\", \"kvm\" or \"tcg\"") != NULL, "%s", err.text);
	}
	cr_expect_str_eq(accel_name(ACCEL_KVM), "kvm");
	cr_expect_str_eq(accel_name(ACCEL_TCG), "tcg");
}

static bool this_cpu_has_virtualization(void)
{
	CLEANUP(file_close) FILE *file = fopen("/proc/cpuinfo", "re");
	char line[8192];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (accel_cpuinfo_has_virtualization(line, strlen(line)))
			return true;
	return false;
}

#if defined(__x86_64__)
Test(accel, auto_without_flags_is_tcg_at_once)
{
	struct accel_result result;
	struct error err;

	if (this_cpu_has_virtualization())
		cr_skip("this CPU has vmx or svm");
	cr_assert_eq(accel_choose("auto", &result, &err), 0);
	cr_expect_eq(result.accel, ACCEL_TCG);
	cr_expect(result.fallback);
	cr_expect(strstr(result.reason, "neither vmx nor svm") != NULL, "%s", result.reason);
	cr_expect_lt(result.took_us, 50000); /* about 0.1 ms; the rest is for a busy machine */
}
#endif

Test(accel, kvm_is_an_error_without_the_device)
{
	struct accel_result result = { .reason = "untouched" };
	struct error err;
	int r;

	if (access("/dev/kvm", R_OK | W_OK) == 0) {
		r = accel_choose("kvm", &result, &err);
		cr_expect(r == 0 ? result.accel == ACCEL_KVM : r == -ENOTSUP);
		return;
	}
	cr_expect_eq(accel_choose("kvm", &result, &err), -ENOTSUP);
	cr_expect(strstr(err.text, "/dev/kvm") != NULL, "%s", err.text);
	cr_expect_str_eq(result.reason, "untouched");
}

static const struct {
	const char *path, *reason;
} devices[] = {
	{ "/dev/null", "/dev/null: its API version" },
	{ "/dev/zero", "/dev/zero: its API version" },
	{ "/nowhere/kvm", "/nowhere/kvm: opening it: not found" },
	{ "/proc/self", "/proc/self: opening it" },
};

Test(accel, probe_of_what_is_no_kvm)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct accel_probe found;

		accel_probe(devices[i].path, &found);
		cr_expect_not(found.usable);
		cr_expect(strncmp(found.reason, devices[i].reason, strlen(devices[i].reason)) == 0,
			  "%s: %s", devices[i].path, found.reason);
		cr_expect_gt(found.took_us, 0);
	}
}

/* A caller may have been started with SIGCHLD ignored: its children then reap themselves. */
Test(accel, probe_with_sigchld_ignored)
{
	struct accel_probe found;

	signal(SIGCHLD, SIG_IGN);
	accel_probe("/dev/null", &found);
	cr_expect(strstr(found.reason, "API version") != NULL, "%s", found.reason);
	cr_expect_lt(found.took_us, 900000);
}

Test(accel, guest_code_is_what_its_comments_say)
{
	uint32_t loops;

	memcpy(&loops, accel_code + 1, sizeof(loops));
	cr_expect_eq(loops, ACCEL_LOOPS);
	cr_expect_eq(accel_code[ACCEL_HANDLER_OFFSET], 0xb0);
	cr_expect_eq(accel_code[ACCEL_HANDLER_OFFSET + 1], ACCEL_STEP_EXCEPTION);
	cr_expect_eq(accel_code[sizeof(accel_code) - 1], 0xcf);
}
