/* Process lists: see ps.h. Called by the PS request; processes may vanish while it reads. */
#include "kata-agent/ps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-agent/cgroup.h"

/* Fields of /proc/PID/stat behind the name, counted from the state as 0. */
enum { FIELD_PPID = 1, FIELD_UTIME = 11, FIELD_STIME = 12, FIELD_START = 19, FIELD_COUNT = 20 };

int ps_parse_stat(const char *text, struct ps_stat *ret_stat)
{
	struct ps_stat stat = { 0 };
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	unsigned long long fields[FIELD_COUNT] = { 0 };
	const char *p;
	char *end;

	if (open == NULL || close == NULL || close < open || close[1] != ' ')
		return -EBADMSG;
	stat.pid = (uint32_t)strtoul(text, &end, 10);
	if (end == text ||
	    str_format(stat.name, sizeof(stat.name), "%.*s",
		       (int)(close - open - 1 > 15 ? 15 : close - open - 1), open + 1) < 0)
		return -EBADMSG;
	p = close + 2;
	if (p[0] == '\0' || p[1] != ' ')
		return -EBADMSG;
	p += 2;
	for (int i = 1; i < FIELD_COUNT; i++) {
		fields[i] = strtoull(p, &end, 10);
		if (end == p || (*end != ' ' && *end != '\n' && *end != '\0'))
			return -EBADMSG;
		p = end;
	}
	stat.ppid = (uint32_t)fields[FIELD_PPID];
	stat.cpu_ticks = fields[FIELD_UTIME] + fields[FIELD_STIME];
	stat.start_ticks = fields[FIELD_START];
	*ret_stat = stat;
	return 0;
}

int ps_parse_uid(const char *text, uint32_t *ret_uid)
{
	const char *line = strstr(text, "\nUid:");
	unsigned real, effective;

	if (line == NULL || sscanf(line, "\nUid: %u %u", &real, &effective) != 2)
		return -EBADMSG;
	*ret_uid = effective;
	return 0;
}

void ps_format_command(const char *cmdline, size_t len, const char *name, char *ret_text,
		       size_t size)
{
	while (len > 0 && cmdline[len - 1] == '\0')
		len--;
	if (len == 0) {
		snprintf(ret_text, size, "[%.16s]", name);
		return;
	}
	if (len >= size)
		len = size - 1;
	for (size_t i = 0; i < len; i++)
		ret_text[i] = cmdline[i] == '\0' ? ' ' : cmdline[i];
	ret_text[len] = '\0';
}

/* The file /proc/PID/NAME, cut at size - 1 bytes and ended with NUL: its length, or -errno. */
static ssize_t read_file(pid_t pid, const char *name, char *text, size_t size)
{
	CLEANUP(fd_close) int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return n;
}

static uint64_t boot_time_ms(void)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (uint64_t)((real.tv_sec - boot.tv_sec) * 1000 +
			  (real.tv_nsec - boot.tv_nsec) / 1000000);
}

/* 0, or a negative errno when the process is gone or no memory is left. */
static int read_row(pid_t pid, struct msg_process_row *ret_row)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	char text[4096], command[PS_COMMAND_MAX + 1];
	struct msg_process_row row = { 0 };
	struct ps_stat stat;
	ssize_t n;

	if (read_file(pid, "stat", text, sizeof(text)) < 0 || ps_parse_stat(text, &stat) < 0)
		return -ESRCH;
	if (read_file(pid, "status", text, sizeof(text)) < 0 || ps_parse_uid(text, &row.uid) < 0)
		return -ESRCH;
	n = read_file(pid, "cmdline", text, sizeof(text));
	if (n < 0)
		return -ESRCH;
	ps_format_command(text, (size_t)n, stat.name, command, sizeof(command));
	row.pid = (uint32_t)pid;
	row.ppid = stat.ppid;
	row.cpu_ms = stat.cpu_ticks * 1000 / hz;
	row.start_s = (boot_time_ms() + stat.start_ticks * 1000 / hz) / 1000;
	row.command = strdup(command);
	if (row.command == NULL)
		return -ENOMEM;
	*ret_row = row;
	return 0;
}

int ps_list(int cgroup, struct msg_ps_rows *ret_rows, struct error *err)
{
	struct msg_ps_rows rows = { 0 };
	pid_t pids[PS_ROWS_MAX];
	int count = cgroup_pids(cgroup, pids, PS_ROWS_MAX, err);

	if (count < 0)
		return count;
	rows.rows = calloc((size_t)count + 1, sizeof(*rows.rows));
	if (rows.rows == NULL)
		return error_set(err, ENOMEM, "list the processes");
	for (int i = 0; i < count; i++) {
		int r = read_row(pids[i], &rows.rows[rows.n_rows]);

		if (r == -ENOMEM) {
			ps_free(&rows);
			return error_set(err, ENOMEM, "list the processes");
		}
		rows.n_rows += r == 0;
	}
	*ret_rows = rows;
	return 0;
}

void ps_free(struct msg_ps_rows *rows)
{
	for (uint32_t i = 0; i < rows->n_rows; i++)
		free(rows->rows[i].command);
	free(rows->rows);
	rows->rows = NULL;
	rows->n_rows = 0;
}
