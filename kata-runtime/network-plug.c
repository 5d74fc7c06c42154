/*
 * Devices in and out by QMP: see network-plug.h. Called by network-sync.c, in the watcher's process
 * or in the runtime's. The names are those of qemu-args.h.
 */
#include "kata-runtime/network-plug.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

static void json_put(struct json_object **json)
{
	json_object_put(*json);
	*json = NULL;
}

/* "net3" and the like. */
struct name {
	char text[16];
};

static struct name name_of(const char *what, uint32_t slot)
{
	struct name name;

	snprintf(name.text, sizeof(name.text), "%s%u", what, slot);
	return name;
}

/* An object of strings: name, value, ..., NULL. */
static struct json_object *make_object(const char *name, ...)
{
	struct json_object *json = json_object_new_object();
	va_list args;

	va_start(args, name);
	while (json != NULL && name != NULL) {
		json_object_object_add(json, name, json_object_new_string(va_arg(args, char *)));
		name = va_arg(args, char *);
	}
	va_end(args);
	return json;
}

static int command(struct qmp *qmp, const char *what, struct json_object *arguments, int fd,
		   int64_t deadline, struct error *err)
{
	CLEANUP(json_put) struct json_object *json = arguments;

	if (json == NULL)
		return error_set(err, ENOMEM, "QMP");
	return fd >= 0 ? qmp_command_fd(qmp, what, json, fd, deadline, err)
		       : qmp_command(qmp, what, json, deadline, NULL, err);
}

static int add_netdev(struct qmp *qmp, uint32_t slot, bool vhost, int64_t deadline,
		      struct error *err)
{
	struct name tap = name_of("tap", slot), vhost_name = name_of("vhost", slot);
	struct json_object *json =
		make_object("type", "tap", "id", name_of("net", slot).text, "fd", tap.text, NULL);

	if (json != NULL)
		json_object_object_add(json, "vhost", json_object_new_boolean(vhost));
	if (json != NULL && vhost)
		json_object_object_add(json, "vhostfd", json_object_new_string(vhost_name.text));
	return command(qmp, "netdev_add", json, -1, deadline, err);
}

static int add_device(struct qmp *qmp, uint32_t slot, const uint8_t mac[6], int64_t deadline,
		      struct error *err)
{
	char address[18];

	snprintf(address, sizeof(address), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return command(qmp, "device_add",
		       make_object("driver", "virtio-net-pci", "id", name_of("nic", slot).text,
				   "bus", name_of("rp", slot).text, "netdev",
				   name_of("net", slot).text, "mac", address, "romfile", "",
				   "disable-legacy", "on", NULL),
		       -1, deadline, err);
}

static int remove_netdev(struct qmp *qmp, uint32_t slot, int64_t deadline, struct error *err)
{
	return command(qmp, "netdev_del", make_object("id", name_of("net", slot).text, NULL), -1,
		       deadline, err);
}

int network_plug(struct qmp *qmp, uint32_t slot, const uint8_t mac[6], int tap, int vhost,
		 int64_t deadline, struct error *err)
{
	struct error ignored;
	int r = command(qmp, "getfd", make_object("fdname", name_of("tap", slot).text, NULL), tap,
			deadline, err);

	if (r == 0 && vhost >= 0)
		r = command(qmp, "getfd", make_object("fdname", name_of("vhost", slot).text, NULL),
			    vhost, deadline, err);
	if (r < 0)
		return r; /* a descriptor QEMU holds goes with the connection's end or the next */
	r = add_netdev(qmp, slot, vhost >= 0, deadline, err);
	if (r < 0) {
		command(qmp, "closefd", make_object("fdname", name_of("tap", slot).text, NULL), -1,
			deadline, &ignored);
		return r;
	}
	r = add_device(qmp, slot, mac, deadline, err);
	if (r < 0)
		remove_netdev(qmp, slot, deadline, &ignored);
	return r;
}

struct removal {
	struct name device;
	bool done;
};

static void on_event(void *context, const char *name, struct json_object *data)
{
	struct removal *removal = context;
	struct json_object *device;

	if (str_eq(name, "DEVICE_DELETED") && data != NULL &&
	    json_object_object_get_ex(data, "device", &device) &&
	    json_object_is_type(device, json_type_string) &&
	    str_eq(json_object_get_string(device), removal->device.text))
		removal->done = true;
}

int network_unplug(struct qmp *qmp, uint32_t slot, int64_t deadline, struct error *err)
{
	struct removal removal = { .device = name_of("nic", slot) };
	struct error why = { 0 };
	int r;

	qmp->on_event = on_event;
	qmp->context = &removal;
	r = command(qmp, "device_del", make_object("id", removal.device.text, NULL), -1, deadline,
		    err);
	/* Refused: it is gone, or on its way since an earlier try. */
	if (r == 0)
		r = qmp_wait_event(qmp, &removal.done, deadline, err);
	else if (r == -EREMOTEIO)
		r = 0;
	qmp->on_event = NULL;
	if (r < 0 && r != -ETIMEDOUT)
		return r;
	if (remove_netdev(qmp, slot, deadline + 1000, &why) == -EREMOTEIO || why.num == 0)
		return r < 0 ? error_say(err, ETIMEDOUT, "the guest does not let go of device %s",
					 removal.device.text)
			     : 0;
	*err = why;
	return -why.num;
}
