/* kata-runtime/cause.c: the one line that tells why, from what is known. */
#include "kata-runtime/cause.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#define PANIC \
	"qemu exited 1\n" \
	"reason the VM ended: guest panic: console: Kernel panic - not syncing: sysrq\n" \
	"console then I said\n" \
	"then worker exited 0 3 ms later\n"

Test(cause, headlines)
{
	static const struct {
		struct cause_facts facts;
		const char *line;
	} rows[] = {
		{ { .text = "" }, "" },
		{ { .text = "", .host_oom = true, .signals = "9 1\n" }, "" }, /* it runs */
		{ { .text = "", .vm_ended = true }, "monitor killed, and the VM with it" },
		{ { .text = "", .vm_ended = true, .host_oom = true },
		  "host OOM: monitor killed, and the VM with it" },
		{ { .text = "operator\n", .vm_ended = true, .host_oom = true }, "operator" },
		{ { .text = "qemu signal 9\nreason the VM ended: qemu signal 9\n",
		    .vm_ended = true },
		  "qemu signal 9" },
		{ { .text = "qemu signal 9\n", .vm_ended = true, .host_oom = true },
		  "host OOM: qemu signal 9" },
		{ { .text = "qemu signal 9\nhost oom 1\nreason x\n", .vm_ended = true },
		  "host OOM: qemu signal 9" },
		{ { .text = "qemu signal 9\nreason host oom 1\n", .vm_ended = true },
		  "qemu signal 9" },
		{ { .text = "qemu signal 9\n", .stopped = true, .host_oom = true },
		  "host OOM: qemu signal 9" }, /* the monitor is about to end */
		{ { .text = "qemu signal 11\n", .vm_ended = true, .host_oom = true },
		  "qemu signal 11" },
		{ { .text = PANIC, .vm_ended = true },
		  "guest panic: console: Kernel panic - not syncing: sysrq" },
		/* Words alone are no panic: somebody else must have ended first. */
		{ { .text = "reason guest panic\n", .vm_ended = true },
		  "monitor killed, and the VM with it" },
		{ { .text = "oom 7 (sh)\nqemu exited 0\nthen worker exited 0 1 ms later\n",
		    .vm_ended = true },
		  "qemu exited 0" },
		{ { .text = "oom 7 (sh)\noom 9 (tail)\n", .stopped = true },
		  "guest OOM: 9 (tail)" },
		{ { .text = "oom 7 (sh)\n" }, "" },
		/* Of a signal and an end those count that fit together. */
		{ { .text = "", .stopped = true, .signals = "15 5\n", .exit = "143 7\n" },
		  "operator: signal 15 (SIGTERM); container exited 143" },
		{ { .text = "", .stopped = true, .signals = "15 5\n", .exit = "0 9005\n" },
		  "operator: signal 15 (SIGTERM); container exited 0" },
		{ { .text = "", .stopped = true, .signals = "15 5\n", .exit = "0 60006\n" },
		  "container exited 0" },
		{ { .text = "", .stopped = true, .signals = "9 8\n", .exit = "3 7\n" },
		  "container exited 3" },
		{ { .text = "", .stopped = true, .signals = "9 6\n", .exit = "3 7\n" },
		  "container exited 3" },
		{ { .text = "", .stopped = true, .signals = "10 5\n", .exit = "1 7\n" },
		  "container exited 1" },
		{ { .text = "", .stopped = true, .signals = "1 5\n10 6\n", .exit = "129 7\n" },
		  "operator: signal 1 (SIGHUP); container exited 129" },
		{ { .text = "",
		    .stopped = true,
		    .signals = "15 5\n9 10005\n",
		    .exit = "137 10009\n" },
		  "operator: signal 9 (SIGKILL); container exited 137" },
		{ { .text = "", .stopped = true, .signals = "nonsense\n", .exit = "3 7\n" },
		  "container exited 3" },
		/* Who ended before the VM did not end of that. */
		{ { .text = PANIC, .stopped = true, .vm_ended = true, .exit = "3 7\n" },
		  "container exited 3" },
		{ { .text = PANIC, .stopped = true, .vm_ended = true, .exit = "" },
		  "guest panic: console: Kernel panic - not syncing: sysrq" },
		{ { .text = "oom 7 (sh)\n", .stopped = true, .exit = "137 7\n" },
		  "guest OOM: 7 (sh); container exited 137" },
		{ { .text = "oom 7 (sh)\n", .stopped = true, .exit = "1 7\n" },
		  "container exited 1" },
		{ { .text = "oom 7 (sh)\n",
		    .stopped = true,
		    .signals = "15 5\n",
		    .exit = "137 7\n" },
		  "guest OOM: 7 (sh); container exited 137" },
		{ { .text = "oom 7 (sh)\n",
		    .stopped = true,
		    .signals = "9 5\n",
		    .exit = "137 7\n" },
		  "operator: signal 9 (SIGKILL); container exited 137" },
		/* A SIGKILL without the agent. */
		{ { .text = "", .stopped = true, .signals = "9 5 hard\n", .exit = "" },
		  "operator: signal 9 (SIGKILL), which the agent did not take" },
		{ { .text = "", .stopped = true, .vm_ended = true, .signals = "15 5\n9 6 hard\n" },
		  "operator: signal 9 (SIGKILL), which the agent did not take" },
		{ { .text = "", .stopped = true, .signals = "9 5 hard\n", .exit = "3 7\n" },
		  "container exited 3" },
		{ { .text = PANIC, .stopped = true, .vm_ended = true, .signals = "9 6 hard\n" },
		  "guest panic: console: Kernel panic - not syncing: sysrq" },
		{ { .text = "", .stopped = true, .exit = "" },
		  "shim ended before the container's process" },
		{ { .text = "", .stopped = true, .host_oom = true },
		  "host OOM: a process in the container's cgroup was killed" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[CAUSE_LINE_SIZE] = "unset";

		cause_judge(&rows[i].facts, line);
		cr_expect_str_eq(line, rows[i].line, "row %zu: %s", i, line);
	}
}
