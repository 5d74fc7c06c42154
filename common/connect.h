/* Connecting to a Unix socket of ours. */
#ifndef KATA_CONNECT_H
#define KATA_CONNECT_H

#include "common/error.h"

/*
 * Connects to the stream socket at path, waiting for at most timeout_ms: a blocking descriptor, or
 * a negative errno with err, which names the peer: "connect to the proxy at PATH".
 */
int connect_unix(const char *path, const char *peer, int timeout_ms, struct error *err);

#endif
