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
		{ { .text = "", .host_oom = true, .signal = SIGKILL }, "" }, /* it runs */
		{ { .text = "", .vm_ended = true }, "monitor killed, and the VM with it" },
		{ { .text = "", .vm_ended = true, .host_oom = true },
		  "host OOM: monitor killed, and the VM with it" },
		{ { .text = "operator\n", .vm_ended = true, .host_oom = true }, "operator" },
		{ { .text = "qemu signal 9\nreason the VM ended: qemu signal 9\n",
		    .vm_ended = true },
		  "qemu signal 9" },
		{ { .text = "qemu signal 9\n", .vm_ended = true, .host_oom = true },
		  "host OOM: qemu signal 9" },
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
		{ { .text = "oom 7 (sh)\n", .stopped = true, .signal = SIGTERM },
		  "operator: signal 15 (SIGTERM)" },
		{ { .text = "oom 7 (sh)\n", .stopped = true, .signal = SIGTERM, .oom_later = true },
		  "guest OOM: 7 (sh)" },
		{ { .text = "", .stopped = true, .signal = SIGHUP }, "" },
		{ { .text = "", .stopped = true, .host_oom = true },
		  "host OOM: a process in the container's cgroup was killed" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[CAUSE_LINE_SIZE] = "unset";

		cause_judge(&rows[i].facts, line);
		cr_expect_str_eq(line, rows[i].line, "row %zu: %s", i, line);
	}
}
