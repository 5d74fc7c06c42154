/*
 * Capability sets by system call: see caps.h. Runs in the forked child, between the change of the
 * user and exec.
 */
#include "kata-agent/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void caps_narrow(struct msg_capabilities *sets, uint64_t available)
{
	sets->bounding &= available;
	sets->permitted &= available;
	sets->inheritable &= available & sets->bounding;
	sets->effective &= sets->permitted;
	sets->ambient &= sets->permitted & sets->inheritable;
}

static int get_sets(struct __user_cap_data_struct data[2], struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	if (syscall(SYS_capget, &header, data) < 0)
		return error_set(err, errno, "read the capabilities");
	return 0;
}

static uint64_t join(uint32_t low, uint32_t high)
{
	return low | (uint64_t)high << 32;
}

int caps_available(uint64_t *ret_set, struct error *err)
{
	struct __user_cap_data_struct data[2] = { 0 };
	int r = get_sets(data, err);

	if (r == 0)
		*ret_set = join(data[0].permitted, data[1].permitted);
	return r;
}

int caps_limit(uint64_t keep, struct error *err)
{
	for (int cap = 0; cap < 64; cap++) {
		if ((keep & UINT64_C(1) << cap) != 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			break; /* beyond the last one this kernel has */
		return error_set(err, errno, "drop capability %d from the bounding set", cap);
	}
	return 0;
}

static int set_ambient(uint64_t set, struct error *err)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_set(err, errno, "clear the ambient capabilities");
	for (int cap = 0; cap < 64; cap++) {
		if ((set & UINT64_C(1) << cap) == 0)
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return error_set(err, errno, "raise ambient capability %d", cap);
	}
	return 0;
}

int caps_apply(const struct msg_capabilities *sets, struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2], seen[2] = { 0 };
	int r;

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(sets->effective >> (32 * i));
		data[i].permitted = (uint32_t)(sets->permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(sets->inheritable >> (32 * i));
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return error_set(err, errno, "set the capabilities");
	r = set_ambient(sets->ambient, err);
	if (r == 0)
		r = get_sets(seen, err);
	if (r < 0)
		return r;
	if (join(seen[0].effective, seen[1].effective) != sets->effective ||
	    join(seen[0].permitted, seen[1].permitted) != sets->permitted ||
	    join(seen[0].inheritable, seen[1].inheritable) != sets->inheritable)
		return error_say(err, EINVAL, "the capabilities are not what was set");
	return 0;
}
