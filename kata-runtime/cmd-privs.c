/*
 * privs: what every host process of a sandbox is and may, and whether that exceeds the policy. It
 * needs neither the VM nor its lock; each process stands still for a moment while its system call
 * filter is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"
#include "kata-runtime/json.h"
#include "kata-runtime/privs.h"
#include "kata-runtime/sandbox-process.h"
#include "kata-runtime/sandbox.h"

enum { EXCEEDED = 1, CHILDREN_MAX = 32 };

struct report {
	struct json_object *processes;
	struct json_object *policy; /* of --expect; NULL: the program's own */
	uint32_t uid_base;
	int exceeded;
	struct error *err;
};

static struct json_object *find_policy(const struct report *report, enum privsep_process process,
				       struct error *err)
{
	const char *name = privsep_row(process)->name;
	struct json_object *found = NULL;

	if (report->policy == NULL)
		return privs_policy(process);
	if (!json_object_object_get_ex(report->policy, name, &found))
		error_say(err, EINVAL, "the policy has no %s", name);
	return json_object_get(found);
}

/* Looks at one process and adds it to the report. */
static int look_at(struct report *report, enum privsep_process process, pid_t pid)
{
	struct json_object *sentences = json_object_new_array(), *observed = NULL, *policy = NULL;
	int r = privs_observe(pid, report->uid_base, &observed, report->err);

	if (r == -ENOENT || r == -ESRCH) { /* it ended meanwhile */
		json_object_put(sentences);
		return 0;
	}
	if (r == 0) {
		policy = find_policy(report, process, report->err);
		r = policy == NULL ? -EINVAL : 0;
	}
	if (r == 0)
		r = privs_compare(observed, policy, sentences, report->err);
	json_object_put(policy);
	if (r < 0) {
		json_object_put(sentences);
		json_object_put(observed);
		return r;
	}
	report->exceeded += r;
	json_object_object_add(observed, "process",
			       json_object_new_string(privsep_row(process)->name));
	json_object_object_add(observed, "pid", json_object_new_int(pid));
	json_object_object_add(observed, "exceeds", sentences);
	json_object_array_add(report->processes, observed);
	return 0;
}

/* Which row a process that the monitor started has: by the arguments that it gave it. */
static enum privsep_process recognise(pid_t pid, bool in_unit)
{
	static const char vsock[] = "--vhost-user-vsock";
	CLEANUP(fd_close) int fd = -1;
	char path[64], command[4096];
	const char *name;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, command, sizeof(command) - 1);
	command[n > 0 ? n : 0] = '\0';
	if (str_eq(command, "kata-proxy")) {
		bool is_vsock = memmem(command, (size_t)n, vsock, sizeof(vsock)) != NULL;

		if (in_unit)
			return is_vsock ? PRIVSEP_WORKER_UNIT_VSOCK : PRIVSEP_WORKER_UNIT;
		return is_vsock ? PRIVSEP_WORKER_VSOCK : PRIVSEP_WORKER;
	}
	name = strrchr(command, '/');
	return str_starts(name != NULL ? name + 1 : command, "virtiofsd") ? PRIVSEP_VIRTIOFSD
									  : PRIVSEP_QEMU;
}

/* What systemd keeps of the sandbox, where it does. */
static int look_at_unit(struct process_ref unit, void *userdata)
{
	struct report *report = userdata;
	pid_t children[CHILDREN_MAX];
	size_t count;
	int r;

	r = look_at(report, PRIVSEP_UNIT, unit.pid);
	count = process_children(unit.pid, children, CHILDREN_MAX);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = look_at(report, recognise(children[i], true), children[i]);
	return r;
}

static int look_at_vm(struct report *report, const struct state *state)
{
	pid_t children[CHILDREN_MAX], inner[CHILDREN_MAX];
	char instance[SANDBOX_INSTANCE_LEN + 1];
	size_t count, further;
	int r;

	if (!process_alive(state->monitor.pid, state->monitor.start_ticks))
		return 0;
	r = look_at(report, PRIVSEP_MONITOR, state->monitor.pid);
	count = process_children(state->monitor.pid, children, CHILDREN_MAX);
	for (size_t i = 0; r == 0 && i < count; i++) {
		enum privsep_process process = recognise(children[i], false);

		further = process_children(children[i], inner, CHILDREN_MAX);
		r = look_at(report, process, children[i]);
		for (size_t k = 0; r == 0 && k < further; k++)
			r = look_at(report, process, inner[k]);
	}
	if (r < 0)
		return r;
	snprintf(instance, sizeof(instance), "%.*s", SANDBOX_INSTANCE_LEN, state->sandbox);
	return sandbox_each_process("unit", instance, look_at_unit, report);
}

static int look_at_ref(struct report *report, enum privsep_process process, struct process_ref ref)
{
	return process_alive(ref.pid, ref.start_ticks) ? look_at(report, process, ref.pid) : 0;
}

static int look_at_shim(struct process_ref shim, void *userdata)
{
	return look_at_ref(userdata, PRIVSEP_SHIM, shim);
}

static int load_policy(const char *path, struct report *report, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	size_t len;
	int r = json_read_file(path, &text, &len, err);

	if (r == 0)
		r = json_parse(path, text, len, true, &report->policy, err);
	if (r == 0 && !json_object_is_type(report->policy, json_type_object))
		r = error_say(err, EINVAL, "%s: expected an object of processes", path);
	return r;
}

static void print_json(struct json_object *o)
{
	printf("%s\n",
	       json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void print_policy(void)
{
	struct json_object *all = json_object_new_object();

	for (enum privsep_process p = 0; p < PRIVSEP_COUNT; p++)
		json_object_object_add(all, privsep_row(p)->name, privs_policy(p));
	print_json(all);
	json_object_put(all);
}

/* The container's state by its id, or by the name of its sandbox, which logs show. */
static int find(const struct cli *cli, const char *name, struct store *store, struct state *state,
		struct error *err)
{
	int r = container_load(cli, name, store, state, err);

	if (r == -ENOENT && strlen(name) == SID_SIZE - 1 &&
	    strspn(name, "0123456789abcdef") == SID_SIZE - 1)
		r = store_read_state(store, name, state, err);
	return r;
}

static int report_all(struct report *report, const struct store *store, const struct state *state,
		      struct error *err)
{
	int r;

	report->processes = json_object_new_array();
	report->uid_base = state->uid_base;
	report->err = err;
	r = look_at_shim(state->shim, report);
	if (r == 0)
		r = store_each_exec(store, state->sid, STORE_EXEC_SHIM, look_at_shim, report, err);
	if (r == 0)
		r = look_at_ref(report, PRIVSEP_NETMON, state->netmon);
	if (r == 0)
		r = look_at_vm(report, state);
	if (r == 0 && json_object_array_length(report->processes) == 0)
		r = error_say(err, ESRCH, "no process of %s runs", state->id);
	if (r == 0)
		print_json(report->processes);
	return r;
}

int cmd_privs(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	CLEANUP(state_fini) struct state state = { 0 };
	struct report report = { 0 };
	const char *expect = NULL;
	bool policy = false, help = false;
	const struct cli_option options[] = {
		{ "expect", 0, CLI_TEXT, &expect, "compare with this policy, not the own one" },
		{ "policy", 0, CLI_FLAG, &policy, "print the own policy" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	struct store store;
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r == 0 && help) {
		printf("usage: kata-runtime privs [OPTION...] ID\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (r == 0 && policy) {
		print_policy();
		return 0;
	}
	if (r == 0 && words.count != 1)
		r = error_say(err, EINVAL, "privs: one container or sandbox id is needed");
	if (r == 0 && expect != NULL)
		r = load_policy(expect, &report, err);
	if (r == 0)
		r = find(cli, words.items[0], &store, &state, err);
	if (r == 0)
		r = report_all(&report, &store, &state, err);
	json_object_put(report.processes);
	json_object_put(report.policy);
	if (r < 0)
		return r;
	return report.exceeded > 0 ? EXCEEDED : 0;
}
