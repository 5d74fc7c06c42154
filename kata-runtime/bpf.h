/* What a system call filter allows, found out from its BPF program. */
#ifndef KATA_RUNTIME_BPF_H
#define KATA_RUNTIME_BPF_H

#include <linux/filter.h>
#include <stddef.h>

/* Numbers that are looked at: Linux has fewer than 500 system calls. */
enum { BPF_CALLS = 512 };

struct bpf_program {
	struct sock_filter *code; /* to be freed */
	size_t len;               /* instructions */
};

/*
 * How many system calls of this architecture all the programs together let through, at least with
 * some arguments. What cannot be understood counts as let through.
 */
unsigned bpf_count_allowed(const struct bpf_program *programs, size_t count);

/* Whether they let this one through. */
_Bool bpf_allows(const struct bpf_program *programs, size_t count, unsigned call);

#endif
