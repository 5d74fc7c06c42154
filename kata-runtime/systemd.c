/*
 * Scopes and units of systemd: see systemd.h. Called by create and delete, as root, in kata-runtime
 * itself; the other end is the host's process 1. Each call is a connection of its own.
 *
 * A job's end is a signal, JobRemoved, which systemd sends to its private connections without
 * being asked. It may come before the reply that names the job: sd-bus keeps it until we look.
 */
#include "kata-runtime/systemd.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/connect.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-runtime/systemd-property.h"

#define DESTINATION "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

enum { CONNECT_MS = 1000, SWEEP_MS = 1000, RETRY_US = 20000 };

/* --- libsystemd ------------------------------------------------------------------------------ */

#define FUNCTIONS(F) \
	F(sd_bus_new) \
	F(sd_bus_set_address) \
	F(sd_bus_start) \
	F(sd_bus_is_ready) \
	F(sd_bus_process) \
	F(sd_bus_wait) \
	F(sd_bus_call) \
	F(sd_bus_close_unref) \
	F(sd_bus_message_new_method_call) \
	F(sd_bus_message_append) \
	F(sd_bus_message_open_container) \
	F(sd_bus_message_close_container) \
	F(sd_bus_message_read) \
	F(sd_bus_message_is_signal) \
	F(sd_bus_message_unref) \
	F(sd_bus_error_free) \
	F(sd_bus_error_has_name)

static struct {
#define F(name) __typeof__(&name) name;
	FUNCTIONS(F)
#undef F
} lib;

/* Loads it once; it stays, as its destructors and ours have no order. */
static int load_library(struct error *err)
{
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {
#define F(name) { #name, (size_t)((char *)&lib.name - (char *)&lib) },
		FUNCTIONS(F)
#undef F
	};
	static void *handle;

	if (handle != NULL)
		return 0;
	handle = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
		return error_say(err, ENOTSUP,
				 "systemd cannot be asked: libsystemd.so.0 cannot be loaded");
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *function = dlsym(handle, functions[i].name);

		if (function == NULL) {
			dlclose(handle);
			handle = NULL;
			return error_say(err, ENOTSUP, "libsystemd has no %s", functions[i].name);
		}
		memcpy((char *)&lib + functions[i].offset, &function, sizeof(function));
	}
	return 0;
}

static void bus_closep(sd_bus **bus)
{
	if (*bus != NULL)
		lib.sd_bus_close_unref(*bus);
}

static void message_unrefp(sd_bus_message **message)
{
	if (*message != NULL)
		lib.sd_bus_message_unref(*message);
}

/* --- one connection --------------------------------------------------------------------------- */

static uint64_t left_us(int64_t deadline)
{
	return (uint64_t)deadline_left_ms(deadline) * 1000;
}

/*
 * Handles what has come: 1 with *ret when a message is for us, else 0 after a wait, or an error.
 */
static int next_message(sd_bus *bus, int64_t deadline, sd_bus_message **ret, struct error *err)
{
	int r = lib.sd_bus_process(bus, ret);

	if (r > 0)
		return *ret != NULL;
	if (r == 0 && deadline_left_ms(deadline) == 0)
		return error_say(err, ETIMEDOUT, "systemd did not answer in time");
	if (r == 0)
		r = lib.sd_bus_wait(bus, left_us(deadline));
	return r < 0 && r != -EINTR ? error_set(err, -r, "connection to systemd") : 0;
}

static int bus_open(const char *socket, int64_t deadline, sd_bus **ret, struct error *err)
{
	CLEANUP(bus_closep) sd_bus *bus = NULL;
	char address[160];
	int r = load_library(err);

	if (r < 0)
		return r;
	if (str_format(address, sizeof(address), "unix:path=%s", socket) < 0)
		return error_set(err, ENAMETOOLONG, "systemd's socket");
	r = lib.sd_bus_new(&bus);
	if (r >= 0)
		r = lib.sd_bus_set_address(bus, address);
	if (r >= 0)
		r = lib.sd_bus_start(bus);
	if (r < 0)
		return error_set(err, -r, "connect to systemd");
	while ((r = lib.sd_bus_is_ready(bus)) == 0) {
		CLEANUP(message_unrefp) sd_bus_message *message = NULL;

		r = next_message(bus, deadline, &message, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return error_set(err, -r, "connect to systemd");
	*ret = bus;
	bus = NULL;
	return 0;
}

static int new_call(sd_bus *bus, const char *method, sd_bus_message **ret, struct error *err)
{
	int r = lib.sd_bus_message_new_method_call(bus, ret, DESTINATION, MANAGER_PATH, MANAGER,
						   method);

	return r < 0 ? error_set(err, -r, "message to systemd") : 0;
}

/*
 * What systemd's errors mean to us. Its sentence goes to the log only: container managers look for
 * certain words in ours, see error_reason().
 */
static int told_error(const sd_bus_error *told, const char *what, int num, struct error *err)
{
	if (lib.sd_bus_error_has_name(told, DESTINATION ".NoSuchUnit"))
		return error_say(err, ENOENT, "%s: systemd does not know it", what);
	if (lib.sd_bus_error_has_name(told, DESTINATION ".UnitExists"))
		return error_say(err, EEXIST, "%s: systemd has one of that name already", what);
	if (num == -ETIMEDOUT)
		return error_say(err, ETIMEDOUT, "%s: systemd did not answer in time", what);
	if (told->name == NULL || told->message == NULL)
		return error_set(err, -num, "%s: systemd", what);
	log_info("systemd refuses", KV_S("call", what), KV_S("reason", told->message));
	return error_say(err, EREMOTEIO, "%s: systemd answers %s", what, told->name);
}

/* Sends it and waits for the answer, which *ret_reply gets where it is wanted. */
static int call(sd_bus *bus, sd_bus_message *message, const char *what, int64_t deadline,
		sd_bus_message **ret_reply, struct error *err)
{
	sd_bus_error told = SD_BUS_ERROR_NULL;
	/* 0 would be the library's own limit, which is long. */
	int r = lib.sd_bus_call(bus, message, left_us(deadline) + 1, &told, ret_reply);

	if (r < 0)
		r = told_error(&told, what, r, err);
	lib.sd_bus_error_free(&told);
	return r < 0 ? r : 0;
}

/* Waits for the job that the reply names. */
static int await_job(sd_bus *bus, sd_bus_message *reply, const char *what, int64_t deadline,
		     struct error *err)
{
	const char *job, *path, *unit, *result;
	uint32_t id;
	int r = lib.sd_bus_message_read(reply, "o", &job);

	if (r < 0)
		return error_set(err, -r, "%s: answer of systemd", what);
	for (;;) {
		CLEANUP(message_unrefp) sd_bus_message *message = NULL;

		r = next_message(bus, deadline, &message, err);
		if (r < 0)
			return error_prefix(err, "%s", what);
		if (message == NULL ||
		    lib.sd_bus_message_is_signal(message, MANAGER, "JobRemoved") <= 0)
			continue;
		r = lib.sd_bus_message_read(message, "uoss", &id, &path, &unit, &result);
		if (r < 0)
			return error_set(err, -r, "%s: signal of systemd", what);
		if (!str_eq(path, job))
			continue;
		if (str_eq(result, "done"))
			return 0;
		return error_say(err, EREMOTEIO, "%s: systemd's job ended with \"%s\"", what,
				 result);
	}
}

/* --- scopes ----------------------------------------------------------------------------------- */

/* number: also of a negative one the bits. */
static int append_number(sd_bus_message *m, char type, uint64_t number)
{
	switch (type) {
	case 'b':
		return lib.sd_bus_message_append(m, "b", (int)number);
	case 'y':
		return lib.sd_bus_message_append(m, "y", (int)number);
	case 'i':
		return lib.sd_bus_message_append(m, "i", (int32_t)(int64_t)number);
	case 'u':
		return lib.sd_bus_message_append(m, "u", (uint32_t)number);
	case 'x':
		return lib.sd_bus_message_append(m, "x", (int64_t)number);
	default:
		return lib.sd_bus_message_append(m, "t", number);
	}
}

static int append_list(sd_bus_message *m, const struct systemd_property *p)
{
	int r = lib.sd_bus_message_open_container(m, 'a', p->type + 1);

	for (uint32_t i = 0; r >= 0 && i < p->texts.count; i++)
		r = lib.sd_bus_message_append(m, "s", p->texts.items[i]);
	for (uint32_t i = 0; r >= 0 && i < p->n_numbers; i++)
		r = append_number(m, p->type[1], p->numbers[i]);
	return r < 0 ? r : lib.sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, const struct systemd_property *p)
{
	switch (p->type[0]) {
	case 'a':
		return append_list(m, p);
	case 's':
		return lib.sd_bus_message_append(m, "s", p->texts.items[0]);
	case 'd':
		return lib.sd_bus_message_append(m, "d", p->real);
	case 'y':
	case 'u':
	case 't':
		return append_number(m, p->type[0], p->positive);
	default:
		return append_number(m, p->type[0], (uint64_t)p->number);
	}
}

static int append_property(sd_bus_message *m, const struct systemd_property *p)
{
	int r = lib.sd_bus_message_open_container(m, 'r', "sv");

	if (r >= 0)
		r = lib.sd_bus_message_append(m, "s", p->name);
	if (r >= 0)
		r = lib.sd_bus_message_open_container(m, 'v', p->type);
	if (r >= 0)
		r = append_value(m, p);
	for (int i = 0; r >= 0 && i < 2; i++)
		r = lib.sd_bus_message_close_container(m);
	return r;
}

/* They were checked before; they come last, so that they hold. */
static int append_annotations(sd_bus_message *m, const struct systemd_scope *scope)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < scope->n_annotations; i++) {
		CLEANUP(systemd_property_fini) struct systemd_property p = { 0 };

		r = systemd_property_parse(&scope->annotations[i], &p, NULL);
		if (r > 0)
			r = append_property(m, &p);
	}
	return r;
}

/*
 * Delegate: the cgroup is ours to put processes into. The limits of config.json hold in the guest
 * and not here, where they would bind QEMU too; so systemd's own default for tasks is lifted.
 */
static int append_properties(sd_bus_message *m, const struct systemd_scope *scope)
{
	static const char *const accounting[] = { "CPUAccounting", "MemoryAccounting",
						  "TasksAccounting" };
	char text[256];
	int r;

	snprintf(text, sizeof(text), "Kata container %s", scope->container);
	r = lib.sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = lib.sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s",
					      text, "Slice", "s", scope->slice, "Delegate", "b", 1,
					      "DefaultDependencies", "b", 0, "TasksMax", "t",
					      UINT64_MAX, "PIDs", "au", 1, (uint32_t)scope->pid);
	for (size_t i = 0; i < ARRAY_SIZE(accounting) && r >= 0; i++)
		r = lib.sd_bus_message_append(m, "(sv)", accounting[i], "b", 1);
	/* One that failed would keep its name otherwise. */
	if (r >= 0)
		r = lib.sd_bus_message_append(m, "(sv)", "CollectMode", "s", "inactive-or-failed");
	if (r >= 0)
		r = append_annotations(m, scope);
	return r < 0 ? r : lib.sd_bus_message_close_container(m);
}

static int start_once(sd_bus *bus, const struct systemd_scope *scope, int64_t deadline,
		      struct error *err)
{
	CLEANUP(message_unrefp) sd_bus_message *message = NULL;
	CLEANUP(message_unrefp) sd_bus_message *reply = NULL;
	char what[320];
	int r = new_call(bus, "StartTransientUnit", &message, err);

	if (r < 0)
		return r;
	snprintf(what, sizeof(what), "start %s", scope->unit);
	r = lib.sd_bus_message_append(message, "ss", scope->unit, "fail");
	if (r >= 0)
		r = append_properties(message, scope);
	if (r >= 0)
		r = lib.sd_bus_message_append(message, "a(sa(sv))", 0);
	if (r < 0)
		return error_set(err, -r, "message to systemd");
	r = call(bus, message, what, deadline, &reply, err);
	return r < 0 ? r : await_job(bus, reply, what, deadline, err);
}

/* A call with a unit's name alone; with a job when how is given. */
static int call_unit(sd_bus *bus, const char *method, const char *unit, const char *how,
		     int64_t deadline, struct error *err)
{
	CLEANUP(message_unrefp) sd_bus_message *message = NULL;
	CLEANUP(message_unrefp) sd_bus_message *reply = NULL;
	char what[320];
	int r = new_call(bus, method, &message, err);

	if (r < 0)
		return r;
	snprintf(what, sizeof(what), "%s %s", method, unit);
	r = lib.sd_bus_message_append(message, "s", unit);
	if (r >= 0 && how != NULL)
		r = lib.sd_bus_message_append(message, "s", how);
	if (r < 0)
		return error_set(err, -r, "message to systemd");
	r = call(bus, message, what, deadline, &reply, err);
	return r < 0 || how == NULL ? r : await_job(bus, reply, what, deadline, err);
}

int systemd_start_scope(const char *socket, const struct systemd_scope *scope, int64_t deadline,
			struct error *err)
{
	CLEANUP(bus_closep) sd_bus *bus = NULL;
	int64_t swept = deadline_in_ms(SWEEP_MS);
	int r = bus_open(socket, deadline, &bus, err);

	if (r < 0)
		return r;
	/* The same id may be created again at once, when systemd still sweeps the old one up. */
	while ((r = start_once(bus, scope, deadline, err)) == -EEXIST &&
	       deadline_left_ms(swept) > 0) {
		call_unit(bus, "ResetFailedUnit", scope->unit, NULL, deadline, NULL);
		usleep(RETRY_US);
	}
	return r;
}

int systemd_start_unit(const char *socket, const char *unit, int64_t deadline, struct error *err)
{
	CLEANUP(bus_closep) sd_bus *bus = NULL;
	int r = bus_open(socket, deadline, &bus, err);

	return r < 0 ? r : call_unit(bus, "StartUnit", unit, "replace", deadline, err);
}

int systemd_stop_unit(const char *socket, const char *unit, int64_t deadline, struct error *err)
{
	CLEANUP(bus_closep) sd_bus *bus = NULL;
	int r = bus_open(socket, deadline, &bus, err);

	if (r == 0)
		r = call_unit(bus, "StopUnit", unit, "replace", deadline, err);
	return r == -ENOENT ? 0 : r;
}

bool systemd_is_here(const char *socket)
{
	struct error err;
	int r = connect_unix(socket, "systemd", CONNECT_MS, &err);

	if (r >= 0)
		close(r);
	return r >= 0 || (r != -ENOENT && r != -ECONNREFUSED);
}
