/* Sizes as people write them on a command line. */
#ifndef KATA_RUNTIME_SIZE_H
#define KATA_RUNTIME_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A whole decimal number, negative ones too. With bytes a unit may follow it, of either case: b, k,
 * m, g, t, p, the last five also with b or ib behind (64m, 64MiB: powers of 1024). 0, -EINVAL,
 * -ERANGE.
 */
int size_parse(const char *text, bool bytes, int64_t *ret);

#endif
