/*
 * The monitor: pid 1 of a sandbox's pid namespace, so that its end is the end of every process in
 * it whatever their uids. It starts them on LAUNCH, stays on COMMIT, undoes everything by exiting
 * when the runtime goes away before, starts a crashed worker again, and keeps which child died
 * first. It never reads a byte that the guest wrote.
 */
#ifndef KATA_PROXY_MONITOR_H
#define KATA_PROXY_MONITOR_H

/*
 * Runs as process 1 of a pid namespace, as root, with START_FD_CONTROL and START_FD_LOG; sandbox
 * is the id for the log before LAUNCH names it. Returns the exit status: 0 when QEMU ended with
 * status 0 or an operator ended it with SIGTERM, else 1.
 */
int monitor_run(const char *sandbox);

#endif
