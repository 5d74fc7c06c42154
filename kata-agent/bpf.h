/* BPF programs on cgroups of the guest: bpf(2). */
#ifndef KATA_AGENT_BPF_H
#define KATA_AGENT_BPF_H

#include <linux/bpf.h>
#include <stddef.h>

#include "common/error.h"

/*
 * Loads a program, also while signals come in (the kernel then says EAGAIN). Returns its descriptor
 * (caller closes) or a negative errno with err set; what is for the error's text.
 */
int bpf_load(enum bpf_prog_type type, enum bpf_attach_type attach, const struct bpf_insn *code,
	     size_t count, const char *what, struct error *err);

/*
 * Loads a program and puts it on the cgroup beside others, for the life of that. what is for the
 * error's text.
 */
int bpf_attach(int cgroup, enum bpf_prog_type type, enum bpf_attach_type attach,
	       const struct bpf_insn *code, size_t count, const char *what, struct error *err);

#endif
