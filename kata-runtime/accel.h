/*
 * Which accelerator a VM gets: KVM only where it can really run a guest, TCG otherwise.
 *
 * An openable /dev/kvm is not enough. Under some paravirtual hosts it opens and answers every
 * ioctl, and an ordinary guest hangs after a few instructions. So "auto" asks twice: the CPU's
 * flags, which costs microseconds, and then a child that runs a small long-mode guest.
 */
#ifndef KATA_ACCEL_H
#define KATA_ACCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum accel { ACCEL_KVM, ACCEL_TCG };

enum { ACCEL_REASON_MAX = 256 };

struct accel_result {
	enum accel accel;
	bool fallback;                 /* "auto" found no usable KVM: worth one warning */
	int64_t took_us;               /* what the decision cost */
	char reason[ACCEL_REASON_MAX]; /* one sentence, with the numbers of the probe */
};

/* What a run of the probe showed. */
struct accel_probe {
	bool usable;
	int64_t took_us;
	char reason[ACCEL_REASON_MAX];
};

/* "kvm" or "tcg": as QEMU and the configuration call it. */
const char *accel_name(enum accel accel);

/*
 * Decides. wanted is the configuration's "auto", "kvm" or "tcg". "kvm" is taken at its word once
 * /dev/kvm opens and speaks API version 12; "auto" never fails for want of KVM. -EINVAL: another
 * word; -ENOTSUP: "kvm" without /dev/kvm. Ends within about 2.5 seconds whatever KVM does.
 */
int accel_choose(const char *wanted, struct accel_result *ret, struct error *err);

/* Whether the text of /proc/cpuinfo has vmx or svm among the flags of a processor. */
bool accel_cpuinfo_has_virtualization(const char *text, size_t len);

/*
 * Runs the probe guest in a child on the KVM device at path: 10^6 turns of a long-mode loop, a
 * page table reload and an exception, within 200 ms. Where this architecture has no probe,
 * answering the API version is enough. Reports; it has no way to fail.
 */
void accel_probe(const char *path, struct accel_probe *ret);

#endif
