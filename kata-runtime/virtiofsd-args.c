/*
 * virtiofsd's arguments: see virtiofsd-args.h. kata-runtime makes them, the monitor execs them
 * unchanged in the sandbox's user namespace.
 *
 * readdirplus stays on (both programs' default): with cache=auto it halves the requests of "ls -l".
 */
#include "kata-runtime/virtiofsd-args.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "common/launch.h"
#include "common/str.h"

/* The number behind start, which the text must begin with: -1 when there is none. */
static int major_behind(const char *text, const char *start)
{
	size_t n = strlen(start);
	int major = 0;

	if (strncmp(text, start, n) != 0 || !isdigit((unsigned char)text[n]))
		return -1;
	for (text += n; isdigit((unsigned char)*text); text++) {
		major = major * 10 + (*text - '0');
		if (major > 9999)
			return -1;
	}
	return *text == '.' ? major : -1;
}

int virtiofsd_recognise(const char *version, enum virtiofsd_kind *ret, struct error *err)
{
	char shown[80];

	if (major_behind(version, "virtiofsd version ") >= 5) {
		*ret = VIRTIOFSD_C;
		return 0;
	}
	if (major_behind(version, "virtiofsd ") >= 1 ||
	    major_behind(version, "virtiofsd backend ") >= 1) {
		*ret = VIRTIOFSD_RUST;
		return 0;
	}
	str_escape(shown, sizeof(shown), version, strcspn(version, "\r\n"));
	return error_say(err, EPROTONOSUPPORT, "virtiofsd: unknown version \"%s\"", shown);
}

const char *virtiofsd_kind_name(enum virtiofsd_kind kind)
{
	return kind == VIRTIOFSD_C ? "C" : "Rust";
}

bool virtiofsd_has_locks(enum virtiofsd_kind kind)
{
	return kind == VIRTIOFSD_C;
}

static int check(const struct virtiofsd_config *config, struct error *err)
{
	/* A comma would end the C program's option, a backslash hide one. */
	if (config->source[0] != '/' || strpbrk(config->source, ",\\") != NULL)
		return error_say(err, EINVAL,
				 "virtiofsd: the shared directory is no plain absolute path");
	if (config->modcaps != NULL &&
	    (config->modcaps[0] == '\0' ||
	     strspn(config->modcaps, "abcdefghijklmnopqrstuvwxyz_+-:") != strlen(config->modcaps)))
		return error_say(err, EINVAL, "virtiofsd: modcaps is no list of +name and -name");
	return 0;
}

static void add_option(struct argv *argv, const char *option)
{
	argv_add(argv, "-o");
	argv_add(argv, option);
}

static void add_c(struct argv *argv, const struct virtiofsd_config *config)
{
	argv_add(argv, "-f");
	argv_add(argv, "-o");
	argv_addf(argv, "source=%s", config->source);
	add_option(argv, "sandbox=namespace");
	argv_add(argv, "-o");
	argv_addf(argv, "cache=%s", config->cache != NULL ? config->cache : "auto");
	add_option(argv, "xattr");
	add_option(argv, "announce_submounts");
	add_option(argv, config->locks ? "flock" : "no_flock");
	add_option(argv, config->locks ? "posix_lock" : "no_posix_lock");
	add_option(argv, config->debug ? "log_level=debug" : "log_level=warn");
	if (config->modcaps != NULL) {
		argv_add(argv, "-o");
		argv_addf(argv, "modcaps=%s", config->modcaps);
	}
}

static void add_rust(struct argv *argv, const struct virtiofsd_config *config)
{
	argv_addf(argv, "--shared-dir=%s", config->source);
	argv_add(argv, "--sandbox=namespace");
	/* What the C program calls none is never here. */
	argv_addf(argv, "--cache=%s",
		  config->cache == NULL                ? "auto"
		  : strcmp(config->cache, "none") == 0 ? "never"
						       : config->cache);
	argv_add(argv, "--xattr");
	argv_add(argv, "--announce-submounts");
	argv_add(argv, config->debug ? "--log-level=debug" : "--log-level=warn");
	if (config->modcaps != NULL)
		argv_addf(argv, "--modcaps=%s", config->modcaps);
}

int virtiofsd_args_make(const struct virtiofsd_config *config, struct argv *ret, struct error *err)
{
	struct argv argv = { 0 };
	int r;

	r = check(config, err);
	if (r < 0)
		return r;
	argv_add(&argv, config->program);
	argv_addf(&argv, "--fd=%d", LAUNCH_FD_VHOST_USER);
	if (config->kind == VIRTIOFSD_C)
		add_c(&argv, config);
	else
		add_rust(&argv, config);
	if (argv.failed < 0) {
		r = error_set(err, -argv.failed, "virtiofsd's arguments");
		argv_fini(&argv);
		return r;
	}
	*ret = argv;
	return 0;
}
