/* Loading and attaching: see bpf.h. Called by device-filter.c and dns-redirect.c. */
#include "kata-agent/bpf.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int bpf_attach(int cgroup, enum bpf_prog_type type, enum bpf_attach_type attach,
	       const struct bpf_insn *code, size_t count, const char *what, struct error *err)
{
	CLEANUP(fd_close) int program = -1;
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.expected_attach_type = type == BPF_PROG_TYPE_CGROUP_DEVICE ? 0 : attach;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = (uint32_t)count;
	attr.license = (uintptr_t) "Apache-2.0";
	program = bpf(BPF_PROG_LOAD, &attr);
	if (program < 0)
		return error_set(err, errno, "load %s", what);
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup;
	attr.attach_bpf_fd = (uint32_t)program;
	attr.attach_type = attach;
	attr.attach_flags = BPF_F_ALLOW_MULTI; /* a container may add stricter ones below */
	if (bpf(BPF_PROG_ATTACH, &attr) < 0)
		return error_set(err, errno, "put %s on the cgroup", what);
	return 0;
}
