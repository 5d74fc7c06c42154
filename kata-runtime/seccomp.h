/* A seccomp profile as the program that the guest's kernel runs. */
#ifndef KATA_RUNTIME_SECCOMP_H
#define KATA_RUNTIME_SECCOMP_H

#include "common/buf.h"
#include "common/error.h"
#include "kata-runtime/spec.h"

/* Most bytes of a program: what the kernel takes, BPF_MAXINSNS instructions of 8 bytes. */
enum { SECCOMP_PROGRAM_MAX = 4096 * 8 };

/*
 * Compiles: ret gets classic BPF (struct sock_filter), nothing when the profile is not wanted.
 * System calls that libseccomp does not know are left out, as runc does. -EINVAL for what
 * libseccomp refuses, -E2BIG for a program over SECCOMP_PROGRAM_MAX.
 */
int seccomp_compile(const struct spec_seccomp *profile, struct buf *ret, struct error *err);

#endif
