/*
 * Loading a seccomp filter: see seccomp.h. The agent checks and keeps it, the forked child of each
 * process loads it; that part allocates nothing.
 */
#include "kata-agent/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
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
