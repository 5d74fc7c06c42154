/*
 * linux.resources of config.json: see spec.h. This version applies none of it, so the types are
 * checked and what holds a real limit is named. Engines send 0 or -1 for "no limit".
 */
#include <stddef.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "kata-runtime/spec-parse.h"

enum kind {
	LIMIT,  /* a number; real when over 0 */
	SHARES, /* a number; real when neither 0 nor the kernel's default */
	NUMBER, /* a number; real when not 0 */
	GIVEN,  /* a number; real when it is there */
	FLAG,   /* a bool; real when true */
	TEXT,   /* a string; real when not empty */
	LIST,   /* a list; real when not empty */
	OBJECT  /* an object; real when not empty */
};

enum { CPU_SHARES_DEFAULT = 1024 };

/* key NULL: the section itself. */
static const struct {
	const char *section, *key;
	enum kind kind;
} limits[] = {
	{ "memory", "limit", LIMIT },
	{ "memory", "reservation", LIMIT },
	{ "memory", "swap", LIMIT },
	{ "memory", "kernel", LIMIT },
	{ "memory", "kernelTCP", LIMIT },
	{ "memory", "swappiness", GIVEN },
	{ "memory", "disableOOMKiller", FLAG },
	{ "cpu", "shares", SHARES },
	{ "cpu", "quota", LIMIT },
	{ "cpu", "burst", LIMIT },
	{ "cpu", "realtimeRuntime", NUMBER },
	{ "cpu", "idle", NUMBER },
	{ "cpu", "cpus", TEXT },
	{ "cpu", "mems", TEXT },
	{ "pids", "limit", LIMIT },
	{ "blockIO", "weight", LIMIT },
	{ "blockIO", "leafWeight", LIMIT },
	{ "blockIO", "weightDevice", LIST },
	{ "blockIO", "throttleReadBpsDevice", LIST },
	{ "blockIO", "throttleWriteBpsDevice", LIST },
	{ "blockIO", "throttleReadIOPSDevice", LIST },
	{ "blockIO", "throttleWriteIOPSDevice", LIST },
	{ "hugepageLimits", NULL, LIST },
	{ "network", "classID", LIMIT },
	{ "network", "priorities", LIST },
	{ "rdma", NULL, OBJECT },
	{ "unified", NULL, OBJECT },
};

/* 1 when the value is a real limit. */
static int is_real(const struct json_at *at, enum kind kind, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int64_t number;
	bool yes;
	int r;

	switch (kind) {
	case LIMIT:
	case SHARES:
	case NUMBER:
	case GIVEN:
		r = json_to_i64(at, INT64_MIN, INT64_MAX, &number, err);
		if (r < 0)
			return r;
		if (kind == SHARES)
			return number > 0 && number != CPU_SHARES_DEFAULT;
		return kind == GIVEN || (kind == LIMIT ? number > 0 : number != 0);
	case FLAG:
		r = json_to_bool(at, &yes, err);
		return r < 0 ? r : yes;
	case TEXT:
		r = json_to_string(at, SPEC_PATH_MAX, &text, err);
		return r < 0 ? r : text[0] != '\0';
	case LIST:
		r = json_need_list(at, SPEC_LIST_MAX, err);
		return r < 0 ? r : spec_says(at);
	case OBJECT:
		r = json_need_object(at, err);
		return r < 0 ? r : spec_says(at);
	}
	return 0;
}

int spec_read_resources(const struct json_at *at, struct wire_strings *unapplied, struct error *err)
{
	struct json_at section, member;
	int r = json_need_object(at, err);

	/* resources.devices is about the host's device nodes; the VM has none of them. */
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(limits); i++) {
		if (!json_member(at, limits[i].section, &section))
			continue;
		if (limits[i].key == NULL) {
			member = section;
		} else {
			r = json_need_object(&section, err);
			if (r < 0)
				return r;
			if (!json_member(&section, limits[i].key, &member))
				continue;
		}
		r = is_real(&member, limits[i].kind, err);
		if (r > 0)
			r = spec_note(unapplied, &member, err);
	}
	return r < 0 ? r : 0;
}
