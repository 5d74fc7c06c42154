/*
 * Memory and processors by QMP: see vm-plug.h. Called by vm-grow.c in kata-runtime. What QEMU says
 * is checked: a guest that has broken into it could say anything.
 */
#include "kata-runtime/vm-plug.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "kata-runtime/qemu-args.h"

enum { MIB_SHIFT = 20, LOOK_MS = 50, STEP_MS = 2000 };

static void json_put(struct json_object **json)
{
	json_object_put(*json);
	*json = NULL;
}

static int broken(const char *command, struct error *err)
{
	return error_say(err, EBADMSG, "QMP %s: QEMU sent something else", command);
}

/* A member of that type, or NULL. */
static struct json_object *member(struct json_object *json, const char *name, enum json_type type)
{
	struct json_object *value;

	return json_object_is_type(json, json_type_object) &&
			       json_object_object_get_ex(json, name, &value) &&
			       json_object_is_type(value, type)
		       ? value
		       : NULL;
}

/* A member that is a number of bytes, in MiB: 0 or -EBADMSG. */
static int get_mib(struct json_object *json, const char *name, uint32_t *ret)
{
	struct json_object *value = member(json, name, json_type_int);
	int64_t bytes = value != NULL ? json_object_get_int64(value) : -1;

	if (bytes < 0 || bytes >> MIB_SHIFT > QEMU_MEMORY_MAX_MIB)
		return -EBADMSG;
	*ret = (uint32_t)(bytes >> MIB_SHIFT);
	return 0;
}

/* The plugged memory and the most of it; both 0 when there is no such device. */
static int look_at_device(struct qmp *qmp, int64_t deadline, uint32_t *ret_mib, uint32_t *ret_max,
			  struct error *err)
{
	const char *command = "query-memory-devices";
	CLEANUP(json_put) struct json_object *list = NULL;
	int r = qmp_command(qmp, command, NULL, deadline, &list, err);

	if (r < 0)
		return r;
	if (!json_object_is_type(list, json_type_array))
		return broken(command, err);
	*ret_mib = *ret_max = 0;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *data =
			member(json_object_array_get_idx(list, i), "data", json_type_object);
		struct json_object *id = member(data, "id", json_type_string);

		if (id == NULL || !str_eq(json_object_get_string(id), QEMU_PLUG_ID))
			continue;
		if (get_mib(data, "size", ret_mib) < 0 || get_mib(data, "max-size", ret_max) < 0 ||
		    *ret_mib > *ret_max)
			return broken(command, err);
	}
	return 0;
}

static int look_at_base(struct qmp *qmp, int64_t deadline, uint32_t *ret_mib, struct error *err)
{
	const char *command = "query-memory-size-summary";
	CLEANUP(json_put) struct json_object *json = NULL;
	int r = qmp_command(qmp, command, NULL, deadline, &json, err);

	if (r < 0)
		return r;
	return get_mib(json, "base-memory", ret_mib) < 0 ? broken(command, err) : 0;
}

/* The places for processors; those that are taken have a path. *ret_list is the caller's. */
static int list_places(struct qmp *qmp, int64_t deadline, struct json_object **ret_list,
		       struct error *err)
{
	const char *command = "query-hotpluggable-cpus";
	CLEANUP(json_put) struct json_object *list = NULL;
	int r = qmp_command(qmp, command, NULL, deadline, &list, err);

	if (r < 0)
		return r;
	if (!json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > QEMU_VCPUS_MAX)
		return broken(command, err);
	*ret_list = steal_ptr(&list);
	return 0;
}

static bool is_free(struct json_object *place)
{
	return member(place, "qom-path", json_type_string) == NULL;
}

int vm_plug_look(struct qmp *qmp, int64_t deadline, struct vm_plug *ret, struct error *err)
{
	CLEANUP(json_put) struct json_object *places = NULL;
	struct vm_plug plug = { 0 };
	uint32_t base = 0, most = 0;
	int r = look_at_base(qmp, deadline, &base, err);

	if (r == 0)
		r = look_at_device(qmp, deadline, &plug.plugged_mib, &most, err);
	if (r == 0)
		r = list_places(qmp, deadline, &places, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(places); i++) {
		bool empty = is_free(json_object_array_get_idx(places, i));

		plug.vcpus += !empty;
		plug.more_vcpus += empty;
	}
	plug.memory_mib = base + plug.plugged_mib;
	plug.more_mib = most - plug.plugged_mib;
	*ret = plug;
	return 0;
}

/* --- memory ----------------------------------------------------------------------------------- */

static int request(struct qmp *qmp, uint32_t mib, int64_t deadline, struct error *err)
{
	CLEANUP(json_put) struct json_object *json = json_object_new_object();

	if (json == NULL)
		return error_set(err, ENOMEM, "QMP");
	json_object_object_add(json, "path",
			       json_object_new_string("/machine/peripheral/" QEMU_PLUG_ID));
	json_object_object_add(json, "property", json_object_new_string("requested-size"));
	json_object_object_add(json, "value", json_object_new_int64((int64_t)mib << MIB_SHIFT));
	return qmp_command(qmp, "qom-set", json, deadline, NULL, err);
}

static void on_event(void *context, const char *name, struct json_object *data)
{
	bool *changed = context;

	(void)data;
	*changed = *changed || str_eq(name, "MEMORY_DEVICE_SIZE_CHANGE");
}

/*
 * Until the guest has that much. QEMU tells of changes, but of no more than one in a second, so the
 * wait for its word is a short one.
 */
static int wait_for(struct qmp *qmp, uint32_t wanted, int64_t deadline, struct error *err)
{
	uint32_t now = 0, most = 0;

	for (;;) {
		int64_t soon = deadline_in_ms(LOOK_MS);
		bool changed = false;
		int r = look_at_device(qmp, deadline_in_ms(STEP_MS), &now, &most, err);

		if (r < 0 || now >= wanted)
			return r;
		if (deadline_left_ms(deadline) == 0)
			return error_say(err, ETIMEDOUT,
					 "the guest has taken %u of %u MiB that were plugged", now,
					 wanted);
		qmp->context = &changed;
		qmp->on_event = on_event;
		r = qmp_wait_event(qmp, &changed, soon < deadline ? soon : deadline, err);
		qmp->on_event = NULL;
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
}

int vm_plug_memory(struct qmp *qmp, const struct vm_plug *plug, uint32_t mib, int64_t deadline,
		   struct error *err)
{
	uint32_t wanted = plug->plugged_mib + mib;
	struct error ignored;
	int r = request(qmp, wanted, deadline_in_ms(STEP_MS), err);

	if (r < 0)
		return r;
	r = wait_for(qmp, wanted, deadline, err);
	if (r < 0)
		request(qmp, plug->plugged_mib, deadline_in_ms(STEP_MS), &ignored);
	return r;
}

/* --- processors ------------------------------------------------------------------------------- */

static int plug_one(struct qmp *qmp, struct json_object *place, int64_t deadline, struct error *err)
{
	struct json_object *type = member(place, "type", json_type_string);
	struct json_object *props = member(place, "props", json_type_object);
	CLEANUP(json_put) struct json_object *json = json_object_new_object();

	if (json == NULL)
		return error_set(err, ENOMEM, "QMP");
	if (type == NULL || props == NULL)
		return broken("query-hotpluggable-cpus", err);
	json_object_object_add(json, "driver", json_object_get(type));
	json_object_object_foreach(props, name, value)
		json_object_object_add(json, name, json_object_get(value));
	return qmp_command(qmp, "device_add", json, deadline, NULL, err);
}

int vm_plug_vcpus(struct qmp *qmp, uint32_t count, int64_t deadline, struct error *err)
{
	CLEANUP(json_put) struct json_object *places = NULL;
	int r = list_places(qmp, deadline, &places, err);

	if (r < 0)
		return r;
	/* QEMU lists them from the last to the first. */
	for (size_t i = json_object_array_length(places); i > 0 && count > 0 && r == 0; i--) {
		struct json_object *place = json_object_array_get_idx(places, i - 1);

		if (!is_free(place))
			continue;
		r = plug_one(qmp, place, deadline, err);
		count--;
	}
	if (r == 0 && count > 0)
		return error_say(err, ENOSPC, "the VM has no place for %u more processors", count);
	return r;
}
