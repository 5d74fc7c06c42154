/* The processes of a sandbox of which nothing else is known: by their command lines in /proc. */
#ifndef KATA_RUNTIME_SANDBOX_PROCESS_H
#define KATA_RUNTIME_SANDBOX_PROCESS_H

#include "kata-runtime/store.h"

/*
 * The sandbox's monitor; *ret stays when there is none. It is process 1 of a pid namespace that
 * belongs to our user namespace, which no unprivileged user can make (user_namespaces(7)): one who
 * gives his process such a command line is not taken for it. CAP_SYS_PTRACE is needed.
 */
void sandbox_find_monitor(const char *sid, struct process_ref *ret);

/*
 * Calls each for every process whose command line is that of a kata-proxy of the sandbox, ROLE
 * SID, as long as it returns 0; the last result. Anybody can make a process look so.
 */
int sandbox_each_process(const char *role, const char *sid,
			 int (*each)(struct process_ref process, void *userdata), void *userdata);

#endif
