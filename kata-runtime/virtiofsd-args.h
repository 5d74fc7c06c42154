/*
 * From a sandbox's configuration to virtiofsd's argument vector, for both programs of that name:
 * the one written in C that came with QEMU up to 7.2, and its successor in Rust. Pure.
 *
 * virtiofsd gets its listening socket as LAUNCH_FD_VHOST_USER and always announces submounts (else
 * two rootfs of one sandbox share device and inode numbers) and passes extended attributes.
 */
#ifndef KATA_VIRTIOFSD_ARGS_H
#define KATA_VIRTIOFSD_ARGS_H

#include <stdbool.h>

#include "kata-runtime/argv.h"

struct error;

enum virtiofsd_kind { VIRTIOFSD_C, VIRTIOFSD_RUST };

struct virtiofsd_config {
	const char *program; /* argv[0] */
	enum virtiofsd_kind kind;
	const char *source;  /* the shared directory, in the view of virtiofsd: absolute */
	const char *modcaps; /* "-mknod:+chown"; NULL: the program's own set */
	bool locks;          /* the guest's flock and POSIX locks are taken on the host */
	bool debug;
	const char *cache; /* "none", "auto" or "always" as the configuration; NULL: auto */
};

/*
 * Recognises the program from what "virtiofsd --version" prints. -EPROTONOSUPPORT with the first
 * line in *err: neither of the two. The text is not trusted to be text.
 */
int virtiofsd_recognise(const char *version, enum virtiofsd_kind *ret, struct error *err);

/* "C" or "Rust". */
const char *virtiofsd_kind_name(enum virtiofsd_kind kind);

/* Whether config.locks has an effect: the successor keeps locks in the guest, always. */
bool virtiofsd_has_locks(enum virtiofsd_kind kind);

/*
 * Makes the argument vector; *ret is freed with argv_fini(). -EINVAL: source or modcaps, -ENOMEM.
 */
int virtiofsd_args_make(const struct virtiofsd_config *config, struct argv *ret, struct error *err);

#endif
