/* What this runtime can do, as the OCI specification's features document. */
#ifndef KATA_RUNTIME_FEATURES_H
#define KATA_RUNTIME_FEATURES_H

struct json_object;

/* Made from the tables that config.json is read by, so it cannot promise more. To be put. */
struct json_object *features_make(void);

#endif
