/* The process list of a container, from the guest's /proc. */
#ifndef KATA_AGENT_PS_H
#define KATA_AGENT_PS_H

#include <stddef.h>

#include "common/error.h"
#include "common/protocol.h"

enum { PS_ROWS_MAX = 2048, PS_COMMAND_MAX = 255 };

/* The rows of a container's cgroup; *ret_rows is freed with ps_free(). */
int ps_list(int cgroup, struct msg_ps_rows *ret_rows, struct error *err);
void ps_free(struct msg_ps_rows *rows);

/* The numbers of /proc/PID/stat (proc_pid_stat(5)). */
struct ps_stat {
	uint32_t pid, ppid;
	uint64_t cpu_ticks, start_ticks;
	char name[20]; /* of the program, cut at 15 by the kernel */
};

/* Reads the text of /proc/PID/stat; the name may hold anything. 0 or -EBADMSG. */
int ps_parse_stat(const char *text, struct ps_stat *ret_stat);

/* Finds the effective user id in the text of /proc/PID/status. 0 or -EBADMSG. */
int ps_parse_uid(const char *text, uint32_t *ret_uid);

/*
 * Makes one line of the len bytes of /proc/PID/cmdline, or [name] when there are none. size is at
 * least 24.
 */
void ps_format_command(const char *cmdline, size_t len, const char *name, char *ret_text,
		       size_t size);

#endif
