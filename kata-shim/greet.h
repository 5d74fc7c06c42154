/*
 * The first words on a connection to the proxy: HELLO. The answer comes from the
 * agent, through the proxy.
 */
#ifndef KATA_GREET_H
#define KATA_GREET_H

#include <stdint.h>

#include "common/buf.h"
#include "common/error.h"
#include "common/frame.h"

/* Makes a nonce and the payload of the HELLO that carries it, appended to out. */
int greet_hello(uint8_t ret_nonce[FRAME_NONCE], struct buf *out, struct error *err);

/* Whether a frame HELLO answers the one with nonce (and is of our version): 0 or an error. */
int greet_check(const struct frame *frame, const uint8_t nonce[FRAME_NONCE], struct error *err);

#endif
