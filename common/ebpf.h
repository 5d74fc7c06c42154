/* Programs for the kernel: bpf(2). */
#ifndef KATA_EBPF_H
#define KATA_EBPF_H

#include <linux/bpf.h>
#include <stddef.h>

#include "common/error.h"

#define EBPF_INSN(code_, dst, src, off_, imm_) \
	((struct bpf_insn){ .code = (code_), \
			    .dst_reg = (dst), \
			    .src_reg = (src), \
			    .off = (int16_t)(off_), \
			    .imm = (int32_t)(imm_) })

/*
 * Loads a program, also while signals come in (the kernel then says EAGAIN). Returns its descriptor
 * (caller closes) or a negative errno with err set; what is for the error's text.
 */
int ebpf_load(enum bpf_prog_type type, enum bpf_attach_type attach, const struct bpf_insn *code,
	      size_t count, const char *what, struct error *err);

/*
 * Loads a program and puts it on the cgroup beside others, for the life of that. what is for the
 * error's text.
 */
int ebpf_attach(int cgroup, enum bpf_prog_type type, enum bpf_attach_type attach,
		const struct bpf_insn *code, size_t count, const char *what, struct error *err);

#endif
