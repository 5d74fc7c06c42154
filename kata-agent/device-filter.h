/* Which device files the processes of a container may use: a BPF program on its cgroup. */
#ifndef KATA_AGENT_DEVICE_FILTER_H
#define KATA_AGENT_DEVICE_FILTER_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"

/* Any number, in a rule. */
#define DEVICE_ANY UINT32_MAX

/*
 * The program for these rules and those of the default devices behind them: *ret is to be freed,
 * *ret_count its instructions. For each right asked for, the last rule that fits decides; without
 * one it is forbidden. -EINVAL for a rule of an unknown kind.
 */
int device_filter_make(const struct msg_device_rule *rules, uint32_t count, struct bpf_insn **ret,
		       size_t *ret_count, struct error *err);

/* Makes it, loads it and puts it on the cgroup, for the life of that. */
int device_filter_attach(int cgroup, const struct msg_device_rule *rules, uint32_t count,
			 struct error *err);

#endif
