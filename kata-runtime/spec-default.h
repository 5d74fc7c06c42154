/* What `kata-runtime spec` writes: the config.json of a shell in a fresh container. */
#ifndef KATA_SPEC_DEFAULT_H
#define KATA_SPEC_DEFAULT_H

#include "common/error.h"

/* A constant text that ends in a newline. */
const char *spec_default_text(void);

/* Writes BUNDLE/config.json; -EEXIST when there is one. */
int spec_default_write(const char *bundle, struct error *err);

#endif
