/*
 * The rows of privsep.def as JSON, and what exceeds one: see privs.h. Pure but for the export of a
 * filter to count it; called by `privs`.
 */
#include <errno.h>
#include <json-c/json.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/bpf.h"
#include "kata-runtime/privs.h"

static const struct {
	unsigned flag;
	const char *name;
} namespaces[] = {
	{ CLONE_NEWUSER, "user" }, { CLONE_NEWPID, "pid" }, { CLONE_NEWNS, "mnt" },
	{ CLONE_NEWNET, "net" },   { CLONE_NEWIPC, "ipc" }, { CLONE_NEWUTS, "uts" },
};

/* Names in a root directory, by enum privsep_root; NULL: any. */
static const char *const sandbox_names[] = { "agent.sock", "share", NULL };
static const char *const client_names[] = { "proxy.sock", "proc", NULL };
static const char *const no_names[] = { NULL };
/* Two are ours; the others systemd makes, most of them empty. */
static const char *const unit_names[] = { "kata-proxy", "monitor", "dev", "etc", "proc", "root",
					  "run",        "sys",     "tmp", "usr", "var",  NULL };
static const char *const *const root_names[] = {
	[ROOT_HOST] = NULL,           [ROOT_EMPTY] = no_names,
	[ROOT_CLIENT] = client_names, [ROOT_SANDBOX] = sandbox_names,
	[ROOT_QEMU] = no_names,       [ROOT_SHARE] = NULL,
	[ROOT_UNIT] = unit_names,
};

static void add(struct json_object *list, const char *text)
{
	json_object_array_add(list, json_object_new_string(text));
}

static int count_syscalls(enum filter filter)
{
	CLEANUP(fd_close) int fd = memfd_create("filter", MFD_CLOEXEC);
	struct bpf_program program = { 0 };
	off_t size;
	int count = -1;

	if (fd < 0 || filter_export(filter, fd, NULL) < 0)
		return -1;
	size = lseek(fd, 0, SEEK_END);
	program.len = (size_t)size / sizeof(*program.code);
	program.code = malloc((size_t)size);
	if (program.code != NULL && pread(fd, program.code, (size_t)size, 0) == size)
		count = (int)bpf_count_allowed(&program, 1);
	free(program.code);
	return count;
}

static struct json_object *make_root(enum privsep_root root)
{
	struct json_object *list;

	if (root_names[root] == NULL)
		return NULL;
	list = json_object_new_array();
	for (const char *const *name = root_names[root]; *name != NULL; name++)
		add(list, *name);
	return list;
}

static void add_numbers(struct json_object *o, const struct privsep_row *row)
{
	char number[16];

	for (const struct privsep_line *l = row->lines; l->kind != PRIVSEP_LINE_END; l++)
		for (int i = 0; l->kind == PRIVSEP_LINE_FD && i < l->count; i++) {
			snprintf(number, sizeof(number), "%d", l->number + i);
			json_object_object_add(o, number, json_object_new_string("any"));
		}
}

/* Numbers of the row, and "other": the kinds that are allowed at further numbers. */
static struct json_object *make_descriptors(enum privsep_process process)
{
	const struct privsep_row *row = privsep_row(process);
	struct json_object *o = json_object_new_object();
	struct json_object *kinds = json_object_new_array();
	char number[16];

	for (int i = 0; i < 3; i++) {
		snprintf(number, sizeof(number), "%d", i);
		json_object_object_add(o, number, json_object_new_string("any"));
	}
	add_numbers(o, row);
	if (process == PRIVSEP_WORKER_VSOCK || process == PRIVSEP_WORKER_UNIT ||
	    process == PRIVSEP_WORKER_UNIT_VSOCK)
		add_numbers(o, privsep_row(PRIVSEP_WORKER)); /* it starts as that */
	for (unsigned i = 0; i < KIND_COUNT; i++)
		if ((row->holds & 1U << i) != 0)
			add(kinds, privs_kind_name(i));
	json_object_object_add(o, "other", kinds);
	return o;
}

static void add_group_of(struct json_object *list, const char *device)
{
	struct stat st;
	char text[16];

	if (stat(device, &st) < 0 || st.st_gid == 0)
		return;
	snprintf(text, sizeof(text), "%u", st.st_gid);
	add(list, text);
}

/* QEMU has the group that may open /dev/kvm, where it uses that; netmon vhost's and the shim's. */
static struct json_object *make_groups(enum privsep_process process)
{
	struct json_object *list = json_object_new_array();
	char text[16];

	if (process == PRIVSEP_QEMU)
		add_group_of(list, "/dev/kvm");
	if (process == PRIVSEP_NETMON) {
		snprintf(text, sizeof(text), "base+%d", UID_SHIM);
		add(list, text);
		add_group_of(list, "/dev/vhost-net");
	}
	return list;
}

struct json_object *privs_policy(enum privsep_process process)
{
	const struct privsep_row *row = privsep_row(process);
	struct json_object *o = json_object_new_object();
	struct json_object *capabilities = json_object_new_array();
	struct json_object *own = json_object_new_array();
	/* The list of a unit is systemd's to make of what the unit's file says. */
	bool filtered = row->filter != FILTER_NONE || process == PRIVSEP_UNIT;
	char user[16] = "mapped 0";

	if (row->user == USER_HOST_ROOT)
		snprintf(user, sizeof(user), "host 0");
	else if (row->user == USER_DYNAMIC)
		snprintf(user, sizeof(user), "dynamic");
	else if (row->user != USER_MAPPED_ROOT)
		snprintf(user, sizeof(user), "base+%d", row->user);
	json_object_object_add(o, "user", json_object_new_string(user));
	json_object_object_add(o, "groups", make_groups(process));
	for (const struct privsep_line *l = row->lines; l->kind != PRIVSEP_LINE_END; l++)
		if (l->kind == PRIVSEP_LINE_CAPABILITY)
			add(capabilities, l->name);
	json_object_object_add(o, "capabilities", capabilities);
	json_object_object_add(o, "no_new_privs", json_object_new_boolean(filtered));
	json_object_object_add(o, "seccomp", json_object_new_boolean(filtered));
	json_object_object_add(o, "syscalls",
			       row->filter != FILTER_NONE
				       ? json_object_new_int(count_syscalls(row->filter))
				       : NULL);
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
		if ((row->namespaces & namespaces[i].flag) != 0)
			add(own, namespaces[i].name);
	json_object_object_add(o, "namespaces", own);
	json_object_object_add(o, "root", make_root(row->root));
	json_object_object_add(o, "descriptors", make_descriptors(process));
	return o;
}

/* --- comparing -------------------------------------------------------------------------------- */

struct comparison {
	struct json_object *observed, *policy, *sentences;
	int exceeded;
};

static void __attribute__((format(printf, 2, 3)))
exceed(struct comparison *c, const char *format, ...)
{
	char text[512];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	json_object_array_add(c->sentences, json_object_new_string(text));
	c->exceeded++;
}

static bool holds(struct json_object *list, struct json_object *item)
{
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++)
		if (json_object_equal(json_object_array_get_idx(list, i), item))
			return true;
	return false;
}

static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, name, &value);
	return value;
}

/* Each item of one list has to be in the other; less in the policy's list than there is. */
static void compare_lists(struct comparison *c, const char *name, bool wanted)
{
	struct json_object *has = member(wanted ? c->policy : c->observed, name);
	struct json_object *in = member(wanted ? c->observed : c->policy, name);

	if (!json_object_is_type(has, json_type_array) || in == NULL)
		return;
	for (size_t i = 0; i < json_object_array_length(has); i++) {
		struct json_object *item = json_object_array_get_idx(has, i);

		if (!holds(in, item))
			exceed(c, wanted ? "%s: %s is the host's" : "%s: %s", name,
			       json_object_get_string(item));
	}
}

static void compare_flag(struct comparison *c, const char *name)
{
	if (json_object_get_boolean(member(c->policy, name)) &&
	    !json_object_get_boolean(member(c->observed, name)))
		exceed(c, "%s: not set", name);
}

static void compare_syscalls(struct comparison *c)
{
	struct json_object *most = member(c->policy, "syscalls");
	struct json_object *is = member(c->observed, "syscalls");

	if (most != NULL && is != NULL && json_object_get_int(is) > json_object_get_int(most))
		exceed(c, "syscalls: %d, more than %d", json_object_get_int(is),
		       json_object_get_int(most));
}

/* A kept report has a kind at each number, a policy "any" or a list of kinds for all others. */
static void compare_descriptors(struct comparison *c)
{
	struct json_object *policy = member(c->policy, "descriptors");
	struct json_object *other = member(policy, "other");

	json_object_object_foreach(member(c->observed, "descriptors"), number, kind)
	{
		struct json_object *here = member(policy, number);

		if (here != NULL &&
		    (str_eq(json_object_get_string(here), "any") || json_object_equal(here, kind)))
			continue;
		if (!holds(other, kind))
			exceed(c, "descriptors: %s is a %s", number, json_object_get_string(kind));
	}
}

int privs_compare(struct json_object *observed, struct json_object *policy,
		  struct json_object *sentences, struct error *err)
{
	struct comparison c = { .observed = observed, .policy = policy, .sentences = sentences };
	struct json_object *user = member(policy, "user");

	if (!json_object_is_type(policy, json_type_object) ||
	    !json_object_is_type(user, json_type_string) ||
	    !json_object_is_type(member(policy, "descriptors"), json_type_object))
		return error_say(err, EINVAL, "a policy needs user and descriptors");
	if (!json_object_equal(user, member(observed, "user")))
		exceed(&c, "user: %s instead of %s",
		       json_object_get_string(member(observed, "user")),
		       json_object_get_string(user));
	compare_lists(&c, "groups", false);
	compare_lists(&c, "capabilities", false);
	compare_flag(&c, "no_new_privs");
	compare_flag(&c, "seccomp");
	compare_syscalls(&c);
	compare_lists(&c, "namespaces", true);
	compare_lists(&c, "root", false);
	compare_descriptors(&c);
	return c.exceeded;
}
