/*
 * Loading a seccomp filter: see seccomp.h. The agent checks and keeps it, the forked child of each
 * process loads it; that part allocates nothing.
 */
#include "kata-agent/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FLAGS = SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW };

int seccomp_check(const struct msg_seccomp *filter, struct error *err)
{
	if (filter->program.len % sizeof(struct sock_filter) != 0 ||
	    filter->program.len / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return error_say(err, EINVAL, "seccomp: %u bytes are no program",
				 filter->program.len);
	if ((filter->flags & ~(uint32_t)FLAGS) != 0)
		return error_say(err, EINVAL, "seccomp: flags 0x%x", filter->flags);
	return 0;
}

int seccomp_copy(const struct msg_seccomp *filter, struct msg_seccomp *ret, struct error *err)
{
	uint8_t *data;

	*ret = (struct msg_seccomp){ .flags = filter->flags };
	if (filter->program.len == 0)
		return 0;
	data = malloc(filter->program.len);
	if (data == NULL)
		return error_set(err, ENOMEM, "seccomp");
	memcpy(data, filter->program.data, filter->program.len);
	ret->program = (struct wire_bin){ data, filter->program.len };
	return 0;
}

void seccomp_fini(struct msg_seccomp *filter)
{
	free(filter->program.data);
	*filter = (struct msg_seccomp){ 0 };
}

int seccomp_load(const struct msg_seccomp *filter, struct error *err)
{
	struct sock_fprog program = {
		.len = (unsigned short)(filter->program.len / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(void *)filter->program.data,
	};

	if (program.len == 0)
		return 0;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &program) < 0)
		return error_set(err, errno, "load the seccomp filter");
	return 0;
}

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)

/*
 * socket(AF_VSOCK) fails as where there is no vsock, and io_uring is unknown, since it makes
 * sockets that no filter sees; its number is the same everywhere. Every architecture that the
 * kernel runs has the plain call; of 32 bit x86 also socketcall(), whose arguments cannot be seen,
 * so that its socket() is unknown and the C library uses the plain call.
 */
int seccomp_refuse_vsock(struct error *err)
{
	struct sock_filter code[] = {
		LOAD(nr),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~UINT32_C(0x40000000)), /* x32's mark */
#if defined(__x86_64__)
		IF(SYS_io_uring_setup, 14, 0),
		LOAD(arch),
		IF(AUDIT_ARCH_I386, 0, 5),
		LOAD(nr),
		IF(359 /* socket */, 6, 0),
		IF(102 /* socketcall */, 0, 7),
		LOAD(args[0]),
		IF(1 /* SYS_SOCKET */, 7, 5),
		LOAD(nr),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~UINT32_C(0x40000000)), /* x32's mark */
		IF(SYS_socket, 0, 2),
#else
		IF(SYS_io_uring_setup, 6, 0),
		LOAD(nr),
		IF(SYS_socket, 0, 2),
#endif
		LOAD(args[0]),
		IF(AF_VSOCK, 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return error_set(err, errno, "refuse vsock");
	return 0;
}
