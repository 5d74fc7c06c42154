/* The JSON of `events`, in the shape that runc gives it. */
#ifndef KATA_RUNTIME_EVENTS_H
#define KATA_RUNTIME_EVENTS_H

#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/decoder.h"

struct json_object;

/* {"type":"stats","id":ID,"data":{...}} from the numbers of a cgroup2. To be put. */
struct json_object *events_stats(const char *id, const struct decoder_statistic *values,
				 uint32_t count);

/* {"type":"oom","id":ID}. To be put. */
struct json_object *events_oom(const char *id);

/* How often the kernel has ended a process for want of memory; 0 when that is not known. */
uint64_t events_oom_kills(const struct decoder_statistic *values, uint32_t count);

/* "5s", "500ms", "1m30s": Go's durations. 0, or -EINVAL also for none at all. */
int events_parse_interval(const char *text, int64_t *ret_ms);

#endif
