/*
 * The terminal of a container: descriptors 0, 1 and 2 are the slave of a pseudo terminal whose
 * master the container's manager holds. The guest's own terminal does the line discipline, so this
 * one is raw.
 */
#ifndef KATA_TTY_H
#define KATA_TTY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/* Whether descriptors 0, 1 and 2 are one terminal. */
bool tty_is_stdio(void);

/*
 * Makes the terminal fd the controlling one of this session, whose leader we are: SIGWINCH and
 * SIGHUP come then. Fails when it belongs to another session, as a user's own terminal does.
 */
int tty_control(int fd, struct error *err);

/* Raw: bytes pass unchanged both ways, without echo and without signals. */
int tty_raw(int fd, struct error *err);

/* Its size in characters. False when it has none yet (0x0) or fd is no terminal. */
bool tty_size(int fd, uint32_t *ret_rows, uint32_t *ret_columns);

#endif
