/* Prints docs/privsep.md from privsep.def and seccomp.def. Run by the build and by lint. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/privsep.h"

static const struct {
	unsigned flag;
	const char *name;
} namespaces[] = {
	{ CLONE_NEWUSER, "user" },   { CLONE_NEWPID, "pid" }, { CLONE_NEWNS, "mount" },
	{ CLONE_NEWNET, "network" }, { CLONE_NEWIPC, "ipc" }, { CLONE_NEWUTS, "uts" },
};

static const char *const users[] = { "QEMU", "proxy", "shim", "decoder", "netmon" };

static const char *const roots[] = {
	[ROOT_HOST] = "the host's",
	[ROOT_EMPTY] = "an empty tmpfs, read-only",
	[ROOT_CLIENT] =
		"`SID/client` with the proxy's socket and its own pids in `/proc`, read-only",
	[ROOT_SANDBOX] = "a tmpfs with the agent's socket and the share, which only root may "
			 "enter; read-only",
	[ROOT_QEMU] = "an empty tmpfs, read-only; until the agent answers one with `/usr`, "
		      "`/proc`, `/dev/null`, the agent's socket, and in `/sys` the size of huge "
		      "pages",
	[ROOT_SHARE] = "what is handed in for the guest",
	[ROOT_UNIT] = "a tmpfs, read-only, with kata-proxy, the monitor's socket, and what systemd "
		      "shows of "
		      "`/dev`, `/proc` and `/sys`",
};

static const char *const kinds[] = {
	[KIND_SOCKET] = "sockets",
	[KIND_PIPE] = "pipes",
	[KIND_EVENT] = "epoll, eventfd and signalfd",
	[KIND_NULL] = "/dev/null",
	[KIND_TERMINAL] = "a terminal",
	[KIND_FILE] = "files that root opened",
	[KIND_PROGRAM] = "its own program",
	[KIND_MEMORY] = "memory files",
	[KIND_KVM] = "KVM",
	[KIND_TAP] = "tap devices",
	[KIND_SHARED] = "files of the share",
	[KIND_BPF] = "a loaded BPF program",
	[KIND_OTHER] = "anything",
};

static void print_lines(const struct privsep_row *row)
{
	for (const struct privsep_line *l = row->lines; l->kind != PRIVSEP_LINE_END; l++) {
		if (l->kind == PRIVSEP_LINE_CAPABILITY)
			printf("| capability | %s | %s |\n", l->name, l->why);
		else if (l->kind == PRIVSEP_LINE_LIMIT)
			printf("| limit | %s %" PRIu64 " | %s |\n", l->name, l->value, l->why);
		else if (l->count > 1)
			printf("| descriptors | %d-%d `%s` | %s |\n", l->number,
			       l->number + l->count - 1, l->name, l->why);
		else
			printf("| descriptor | %d `%s` | %s |\n", l->number, l->name, l->why);
	}
}

static void print_filter_of(const struct privsep_row *row)
{
	if (row->filter != FILTER_NONE)
		printf("| system calls | %s | [the filter](#filter-%s) |\n",
		       filter_name(row->filter), filter_name(row->filter));
}

static void print_process(enum privsep_process process)
{
	const struct privsep_row *row = privsep_row(process);
	const char *between = "";

	printf("\n## %s\n\n%s. %s\n\n| | | |\n|---|---|---|\n", row->name, row->what, row->trust);
	if (row->user == USER_MAPPED_ROOT)
		printf("| user | 0 | of a user namespace in which every id is itself |\n");
	else if (row->user == USER_HOST_ROOT)
		printf("| user | 0 | root |\n");
	else if (row->user == USER_DYNAMIC)
		printf("| user | %d to %d | a dynamic one of systemd's |\n", USER_DYNAMIC_FIRST,
		       USER_DYNAMIC_LAST);
	else
		printf("| user | base+%d | the %s's of the VM's block; %s |\n", row->user,
		       users[row->user],
		       process == PRIVSEP_NETMON ? "the shim's group and that of /dev/vhost-net too"
						 : "no other group");
	if (privsep_capabilities(process) == 0)
		printf("| capabilities | none | in no set, the bounding set included |\n");
	if (row->namespaces == 0) {
		print_filter_of(row);
		print_lines(row);
		return;
	}
	printf("| namespaces | ");
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
		if (row->namespaces & namespaces[i].flag) {
			printf("%s%s", between, namespaces[i].name);
			between = ", ";
		}
	printf(" | not the host's |\n| root | | %s |\n", roots[row->root]);
	print_filter_of(row);
	print_lines(row);
	printf("| holds | ");
	between = "";
	for (unsigned i = 0; i < KIND_COUNT; i++)
		if (row->holds & 1U << i) {
			printf("%s%s", between, kinds[i]);
			between = ", ";
		}
	printf(" | %s |\n", row->holds_why);
}

static void print_filter(enum filter filter)
{
	printf("\n### Filter %s\n\n%s.\n\n| system call | when | why |\n|---|---|---|\n",
	       filter_name(filter), filter_what(filter));
	for (const struct filter_rule *rule = filter_rules(filter); rule->kind != FILTER_RULE_END;
	     rule++) {
		if (rule->kind == FILTER_RULE_ALSO)
			printf("| [all of %s](#filter-%s) | | %s |\n", filter_name(rule->also),
			       filter_name(rule->also), rule->why);
		else
			printf("| %s | %s%s%s | %s |\n", rule->call,
			       rule->condition[0] != '\0' ? "`" : "", rule->condition,
			       rule->condition[0] != '\0' ? "`" : "", rule->why);
	}
}

int main(void)
{
	printf("# What each process may do\n\nMade from `common/privsep.def` and "
	       "`common/seccomp.def` "
	       "by `common/privsep-doc`; do not edit. docs/security.md tells the reasons, "
	       "`kata-runtime privs ID` compares a running sandbox with this.\n\nAll of them: "
	       "no_new_privs, not dumpable, umask 077, nothing open but what is named here, and "
	       "for "
	       "those without a capability none in the bounding set either.\n");
	for (enum privsep_process process = 0; process < PRIVSEP_COUNT; process++)
		print_process(process);
	printf("\n## System calls\n\nA call that a row lacks kills the process, and so does one of "
	       "another architecture. Arguments count from 0: `IS(n, v)` is v, `NOT(n, v)` is not, "
	       "`BITS(n, mask, v)` its bits in mask are v, `MOST(n, v)` at most v.\n");
	for (enum filter filter = 0; filter < FILTER_COUNT; filter++)
		print_filter(filter);
	return ferror(stdout) || fflush(stdout) != 0;
}
