/* The answer of an agent to a HELLO, for programs that stand in for one. */
#ifndef KATA_FAKE_ANSWER_HELLO_H
#define KATA_FAKE_ANSWER_HELLO_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/frame.h"

/* Appends the payload of the answer to out; false when frame is no HELLO. */
bool answer_hello(const struct frame *frame, const char *release, struct buf *out);

#endif
