/*
 * Scheduling: see scheduling.h. Runs in the forked child while it has CAP_SYS_NICE. The C library
 * has no functions for either system call.
 */
#include "kata-agent/scheduling.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IOPRIO_WHO_PROCESS = 1 };

/* The first version of the kernel's struct sched_attr, 48 bytes. */
struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

int scheduling_set(const struct msg_process *process, struct error *err)
{
	const struct msg_scheduler *s = &process->scheduler;
	struct attributes attributes = { .size = sizeof(attributes),
					 .policy = s->policy,
					 .flags = s->flags,
					 .nice = s->nice,
					 .priority = s->priority,
					 .runtime = s->runtime,
					 .deadline = s->deadline,
					 .period = s->period };

	if (s->wanted && syscall(SYS_sched_setattr, 0, &attributes, 0) < 0)
		return error_set(err, errno, "process.scheduler");
	if (process->io_priority != 0 &&
	    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, process->io_priority) < 0)
		return error_set(err, errno, "process.ioPriority");
	return 0;
}
