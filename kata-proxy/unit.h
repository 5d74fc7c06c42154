/*
 * The process of kata-proxy@SANDBOX.service: where systemd keeps a worker, it starts this, which
 * starts the worker that the sandbox's monitor orders. User, namespaces, root and filter are the
 * unit's; the worker makes its own filter besides.
 */
#ifndef KATA_PROXY_UNIT_H
#define KATA_PROXY_UNIT_H

/*
 * Connects to the monitor, whose socket the unit shows at UNIT_SOCKET, and serves it until it ends
 * or SIGTERM: the exit status, which says whether to start it again. What it started has ended
 * then.
 */
#define UNIT_SOCKET "/monitor/launch.sock"
int unit_run(const char *sandbox);

#endif
