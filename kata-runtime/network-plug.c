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

/* "tap3", and of further queues "tap3.1" and so on. */
static struct name queue_name(const char *what, uint32_t slot, uint32_t queue)
{
	struct name name = name_of(what, slot);
	size_t len = strlen(name.text);

	if (queue > 0)
		snprintf(name.text + len, sizeof(name.text) - len, ".%u", queue);
	return name;
}

/* All of them, as netdev_add takes them: "tap3:tap3.1". */
struct names {
	char text[LAUNCH_QUEUES_MAX * sizeof(struct name)];
};

static struct names queue_names(const char *what, uint32_t slot, uint32_t n)
{
	struct names names = { "" };
	size_t at = 0;

	for (uint32_t i = 0; i < n; i++)
		at += (size_t)snprintf(names.text + at, sizeof(names.text) - at, "%s%s",
				       i > 0 ? ":" : "", queue_name(what, slot, i).text);
	return names;
}

static int give(struct qmp *qmp, const char *what, uint32_t slot, const int *fds, uint32_t n,
		int64_t deadline, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = command(qmp, "getfd",
			    make_object("fdname", queue_name(what, slot, i).text, NULL), fds[i],
			    deadline, err);
	return r;
}

static void take_back(struct qmp *qmp, const char *what, uint32_t slot, uint32_t n,
		      int64_t deadline)
{
	struct error ignored;

	for (uint32_t i = 0; i < n; i++)
		command(qmp, "closefd", make_object("fdname", queue_name(what, slot, i).text, NULL),
			-1, deadline, &ignored);
}

static int add_netdev(struct qmp *qmp, uint32_t slot, const struct network_queues *queues,
		      int64_t deadline, struct error *err)
{
	bool vhost = queues->vhosts[0] >= 0, several = queues->n > 1;
	struct names taps = queue_names("tap", slot, queues->n);
	struct names vhosts = queue_names("vhost", slot, queues->n);
	struct json_object *json = make_object("type", "tap", "id", name_of("net", slot).text,
					       several ? "fds" : "fd", taps.text, NULL);

	if (json != NULL)
		json_object_object_add(json, "vhost", json_object_new_boolean(vhost));
	if (json != NULL && vhost)
		json_object_object_add(json, several ? "vhostfds" : "vhostfd",
				       json_object_new_string(vhosts.text));
	return command(qmp, "netdev_add", json, -1, deadline, err);
}

static int add_device(struct qmp *qmp, uint32_t slot, const uint8_t mac[6], uint32_t queues,
		      int64_t deadline, struct error *err)
{
	struct json_object *json;
	char address[18];

	snprintf(address, sizeof(address), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	json = make_object("driver", "virtio-net-pci", "id", name_of("nic", slot).text, "bus",
			   name_of("rp", slot).text, "netdev", name_of("net", slot).text, "mac",
			   address, "romfile", "", "disable-legacy", "on", NULL);
	if (json != NULL && queues > 1) { /* as qemu-args.c says it */
		json_object_object_add(json, "mq", json_object_new_boolean(true));
		json_object_object_add(json, "vectors", json_object_new_int((int)queues * 2 + 2));
	}
	return command(qmp, "device_add", json, -1, deadline, err);
}

static int remove_netdev(struct qmp *qmp, uint32_t slot, int64_t deadline, struct error *err)
{
	return command(qmp, "netdev_del", make_object("id", name_of("net", slot).text, NULL), -1,
		       deadline, err);
}

int network_plug(struct qmp *qmp, uint32_t slot, const uint8_t mac[6],
		 const struct network_queues *queues, int64_t deadline, struct error *err)
{
	uint32_t vhosts = queues->vhosts[0] >= 0 ? queues->n : 0;
	struct error ignored;
	int r = give(qmp, "tap", slot, queues->taps, queues->n, deadline, err);

	if (r == 0)
		r = give(qmp, "vhost", slot, queues->vhosts, vhosts, deadline, err);
	if (r < 0)
		return r; /* a descriptor QEMU holds goes with the connection's end or the next */
	r = add_netdev(qmp, slot, queues, deadline, err);
	if (r < 0) {
		take_back(qmp, "tap", slot, queues->n, deadline);
		take_back(qmp, "vhost", slot, vhosts, deadline);
		return r;
	}
	r = add_device(qmp, slot, mac, queues->n, deadline, err);
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
