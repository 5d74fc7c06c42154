/* Container ids: what may become part of a path, a log field or a message. */
#ifndef KATA_ID_H
#define KATA_ID_H

#include "common/error.h"

enum { ID_MAX = 128 };

/* -EINVAL unless id is [A-Za-z0-9][A-Za-z0-9_.+-]{0,127}. */
int id_check(const char *id, struct error *err);

#endif
