/*
 * Processes by identity: a pid alone may be another process tomorrow, so it is kept with its start
 * time and signalled and awaited through a pidfd.
 */
#ifndef KATA_PROCESS_H
#define KATA_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/* Start time in clock ticks since boot (field 22 of proc_pid_stat(5)). -ESRCH when it is gone. */
int process_start_time(pid_t pid, uint64_t *ret_ticks, struct error *err);

/* The state's letter and the start time from the text of /proc/PID/stat: 0 or -EIO. */
int process_parse_stat(const char *text, char *ret_state, uint64_t *ret_ticks);

/* Whether pid still is the process that started then and is not a zombie. */
bool process_alive(pid_t pid, uint64_t start_ticks);

/*
 * A pidfd of that very process: the descriptor, or -ESRCH when it is gone or another one by now.
 */
int process_open(pid_t pid, uint64_t start_ticks, struct error *err);

/* Writes down at most count of its children: how many. They may be gone by now. */
size_t process_children(pid_t pid, pid_t *children, size_t count);

/* Waits until the process of a pidfd has ended: 0, or -ETIMEDOUT at the deadline. */
int process_wait_gone(int pidfd, int64_t deadline, struct error *err);

/*
 * For a process that waits in poll(2): SIGCHLD and SIGTERM arrive as reads of the signalfd(2) that
 * is returned, non-blocking and the caller's; no other signal is blocked.
 */
int process_watch(struct error *err);

/* Lets it go on when somebody has stopped it; a process that runs is not sent a signal. */
void process_continue(pid_t pid, uint64_t start_ticks);

/*
 * Waits for a child of ours to end and reaps it: 0 with *ret_status as waitpid(2), or -ETIMEDOUT,
 * and then the child still runs.
 */
int process_wait_child(pid_t pid, int64_t deadline, int *ret_status, struct error *err);

/* "exited with status 3", "was killed by signal 9 (SIGKILL)" from a wait status. */
void process_status_text(int status, char *text, size_t size);

#endif
