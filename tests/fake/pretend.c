/* A system call that is not carried out: see pretend.h. */
#include "tests/fake/pretend.h"

#include <seccomp.h>
#include <unistd.h>

void pretend(const char *call, int64_t first, int64_t second)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct scmp_arg_cmp arguments[2];
	unsigned n = 0;

	if (first != PRETEND_ANY)
		arguments[n++] = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)first);
	if (second != PRETEND_ANY)
		arguments[n++] = SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)second);
	/* Root needs no no_new_privs for it, which may be what is to be missed. */
	if (filter == NULL || seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) < 0 ||
	    seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(0), seccomp_syscall_resolve_name(call), n,
				   arguments) < 0 ||
	    seccomp_load(filter) < 0)
		_exit(97);
}
