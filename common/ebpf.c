/*
 * BPF programs: see ebpf.h. Called by kata-agent for its containers' cgroups, and by kata-runtime
 * and netmon, while they are root, for what a network namespace's interfaces receive.
 */
#include "common/ebpf.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

enum { LOAD_ATTEMPTS = 100 };

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int ebpf_load(enum bpf_prog_type type, enum bpf_attach_type attach, const struct bpf_insn *code,
	      size_t count, const char *what, struct error *err)
{
	union bpf_attr attr;
	sigset_t all, before;
	int program = -1, num;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.expected_attach_type = type == BPF_PROG_TYPE_CGROUP_DEVICE ? 0 : attach;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = (uint32_t)count;
	attr.license = (uintptr_t) "Apache-2.0";
	/*
	 * The verifier gives up when a signal comes in, as of a child that ends, so none does; what
	 * else wakes it is rare.
	 */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (int i = 0; i < LOAD_ATTEMPTS && program < 0; i++) {
		program = bpf(BPF_PROG_LOAD, &attr);
		if (program < 0 && errno != EAGAIN)
			break;
	}
	num = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return program < 0 ? error_set(err, num, "load %s", what) : program;
}

int ebpf_attach(int cgroup, enum bpf_prog_type type, enum bpf_attach_type attach,
		const struct bpf_insn *code, size_t count, const char *what, struct error *err)
{
	CLEANUP(fd_close) int program = ebpf_load(type, attach, code, count, what, err);
	union bpf_attr attr;

	if (program < 0)
		return program;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup;
	attr.attach_bpf_fd = (uint32_t)program;
	attr.attach_type = attach;
	attr.attach_flags = BPF_F_ALLOW_MULTI; /* a container may add stricter ones below */
	if (bpf(BPF_PROG_ATTACH, &attr) < 0)
		return error_set(err, errno, "put %s on the cgroup", what);
	return 0;
}
