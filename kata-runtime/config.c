/*
 * The configuration files: see config.h. Read by every verb of kata-runtime that starts or touches
 * a VM. The files decide which programs run as root, so only root's own are taken.
 */
#include "kata-runtime/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/config-keys.h"
#include "kata-runtime/json.h"
#include "kata-runtime/uids.h"

enum { LIST_MAX = 64, REGEX_MAX = 256 };

static void *member(const struct config *config, const struct config_key *key)
{
	return (char *)config + key->offset;
}

static bool is_text(const struct config_key *key)
{
	return key->type == CONFIG_PATH || key->type == CONFIG_DAEMON || key->type == CONFIG_TEXT ||
	       key->type == CONFIG_RANGE;
}

static bool is_list(const struct config_key *key)
{
	return key->type == CONFIG_REGEXES || key->type == CONFIG_PATTERNS;
}

static int set_text(struct config *config, const struct config_key *key, const char *text,
		    struct error *err)
{
	char **to = member(config, key), *copy = strdup(text);

	if (copy == NULL)
		return error_set(err, ENOMEM, "configuration");
	free(*to);
	*to = copy;
	return 0;
}

int config_defaults(struct config *config, struct error *err)
{
	int r = 0;

	*config = (struct config){ 0 };
	for (const struct config_key *key = config_keys; r == 0 && key->name != NULL; key++) {
		if (is_list(key))
			continue;
		if (is_text(key))
			r = set_text(config, key, key->text, err);
		else if (key->type == CONFIG_BOOL)
			*(bool *)member(config, key) = key->number != 0;
		else
			*(uint32_t *)member(config, key) = key->number;
	}
	config->source = strdup("");
	if (r == 0 && config->source == NULL)
		r = error_set(err, ENOMEM, "configuration");
	if (r < 0)
		config_fini(config);
	return r;
}

void config_fini(struct config *config)
{
	for (const struct config_key *key = config_keys; key->name != NULL; key++) {
		if (is_text(key))
			free(*(char **)member(config, key));
		else if (is_list(key))
			json_strings_fini(member(config, key));
	}
	free(config->source);
	*config = (struct config){ 0 };
}

static int check_text(const struct json_at *at, const struct config_key *key, const char *text,
		      struct error *err)
{
	struct uid_range range;
	struct error why;

	switch (key->type) {
	case CONFIG_DAEMON:
		if (str_eq(text, "auto"))
			return 0;
		if (text[0] != '/')
			return json_error(at, err, "expected \"auto\" or an absolute path");
		return 0;
	case CONFIG_PATH:
		if (text[0] != '/')
			return json_error(at, err, "expected an absolute path");
		return 0;
	case CONFIG_RANGE:
		if (text[0] != '\0' && uids_parse_range(text, &range, &why) < 0)
			return json_error(at, err, "%s", why.text);
		return 0;
	case CONFIG_TEXT:
		for (const char *p = text; *p != '\0'; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				return json_error(at, err, "a control character is not allowed");
		return 0;
	case CONFIG_NUMBER:
	case CONFIG_BOOL:
	case CONFIG_CHOICE:
	case CONFIG_REGEXES:
	case CONFIG_PATTERNS:
		break;
	}
	return 0;
}

static int check_item(const struct json_at *at, const struct config_key *key, const char *text,
		      struct error *err)
{
	char why[128];
	regex_t regex;
	int r;

	if (key->type == CONFIG_PATTERNS)
		return text[0] == '/' ? 0 : json_error(at, err, "expected an absolute path");
	/* They make an expression of a few bytes need all memory; names have no use for them. */
	if (strchr(text, '{') != NULL)
		return json_error(at, err, "counts in braces are not supported");
	r = regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);
	if (r == 0) {
		regfree(&regex);
		return 0;
	}
	if (r == REG_ESPACE)
		return error_set(err, ENOMEM, "regular expression");
	regerror(r, NULL, why, sizeof(why));
	return json_error(at, err, "\"%s\" is no regular expression: %s", text, why);
}

static int read_list(const struct json_at *at, const struct config_key *key, struct config *config,
		     struct error *err)
{
	CLEANUP(json_strings_fini) struct wire_strings list = { 0 };
	struct wire_strings *to = member(config, key);
	size_t max = key->type == CONFIG_REGEXES ? REGEX_MAX : PATH_MAX - 1;
	int r = json_to_strings(at, LIST_MAX, max, &list, err);

	for (uint32_t i = 0; r >= 0 && i < list.count; i++) {
		struct json_at item = json_item(at, i);

		r = check_item(&item, key, list.items[i], err);
	}
	if (r < 0)
		return r;
	json_strings_fini(to);
	*to = list;
	list = (struct wire_strings){ 0 };
	return 0;
}

static int read_choice(const struct json_at *at, const struct config_key *key, uint32_t *ret,
		       struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	char all[128] = "";
	size_t used = 0;

	if (json_object_is_type(at->value, json_type_string)) {
		int r = json_to_string(at, 64, &text, err);

		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; key->choices[i] != NULL; i++) {
		if (text != NULL && str_eq(text, key->choices[i])) {
			*ret = i;
			return 0;
		}
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s\"%s\"",
					 i > 0 ? ", " : "", key->choices[i]);
	}
	return json_error(at, err, "expected one of %s", all);
}

int config_read_value(const struct json_at *at, const struct config_key *key, struct config *config,
		      struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int64_t number;
	int r;

	if (is_list(key))
		return read_list(at, key, config, err);
	if (key->type == CONFIG_CHOICE)
		return read_choice(at, key, member(config, key), err);
	if (key->type == CONFIG_BOOL)
		return json_to_bool(at, member(config, key), err);
	if (key->type == CONFIG_NUMBER) {
		r = json_to_i64(at, key->min, key->max, &number, err);
		if (r < 0)
			return json_error(at, err, "expected a number from %u to %u", key->min,
					  key->max);
		*(uint32_t *)member(config, key) = (uint32_t)number;
		return 0;
	}
	r = json_to_string(at, key->type == CONFIG_TEXT ? key->max : PATH_MAX - 1, &text, err);
	if (r < 0 || (r = check_text(at, key, text, err)) < 0)
		return r;
	return set_text(config, key, text, err);
}

static int read_key(const struct json_at *at, void *userdata, struct error *err)
{
	for (const struct config_key *key = config_keys; key->name != NULL; key++)
		if (str_eq(key->section, at->up->key) && str_eq(key->name, at->key))
			return config_read_value(at, key, userdata, err);
	return json_error(at, err, "unknown key");
}

static int read_section(const struct json_at *at, void *userdata, struct error *err)
{
	for (const struct config_key *key = config_keys; key->name != NULL; key++)
		if (str_eq(key->section, at->key))
			return json_each(at, read_key, userdata, err);
	return json_error(at, err, "unknown section");
}

/* Puts what the document says over what config holds. */
static int apply(const char *file, const char *text, size_t len, struct config *config,
		 struct error *err)
{
	CLEANUP(json_freep) struct json_object *object = NULL;
	char *source = NULL;
	struct json_at root;
	int r = json_parse(file, text, len, true, &object, err);

	if (r < 0)
		return r;
	root = json_root(file, object);
	r = json_each(&root, read_section, config, err);
	if (r < 0)
		return r;
	if (asprintf(&source, "%s%s%s", config->source, config->source[0] != '\0' ? ", " : "",
		     file) < 0)
		return error_set(err, ENOMEM, "configuration");
	free(config->source);
	config->source = source;
	return 0;
}

int config_find_daemons(struct config *config, struct error *err)
{
	for (const struct config_key *key = config_keys; key->name != NULL; key++) {
		const char *found = NULL;

		if (key->type != CONFIG_DAEMON || !str_eq(*(char **)member(config, key), "auto"))
			continue;
		for (size_t i = 0; found == NULL && key->choices[i] != NULL; i++)
			if (access(key->choices[i], X_OK) == 0)
				found = key->choices[i];
		if (found == NULL)
			found = key->choices[0];
		if (set_text(config, key, found, err) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Files and directories that others may write would let them choose what runs as root. */
static int check_owner(const char *path, int fd, mode_t type, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "stat %s", path);
	if ((st.st_mode & S_IFMT) != type)
		return error_say(err, EINVAL, "%s: not a %s", path,
				 type == S_IFDIR ? "directory of files" : "regular file");
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_say(err, EACCES, "%s: belongs to uid %u, expected root", path,
				 st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return error_say(err, EACCES, "%s: mode %04o lets others than its owner write it",
				 path, st.st_mode & 07777);
	return 0;
}

/* 1 when it was read, 0 when there is no such file. */
static int apply_file(const char *path, struct config *config, struct error *err)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	CLEANUP(freep) char *text = NULL;
	size_t len;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(err, errno, "open %s", path);
	if ((r = check_owner(path, fd, S_IFREG, err)) < 0 ||
	    (r = json_read_fd(fd, path, &text, &len, err)) < 0 ||
	    (r = apply(path, text, len, config, err)) < 0)
		return r;
	return 1;
}

static int is_fragment(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && str_eq(entry->d_name + len - 5, ".json");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* not by locale */
}

static int apply_fragments(const char *dir, struct config *config, struct error *err)
{
	CLEANUP(fd_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **entries = NULL;
	char path[PATH_MAX];
	int n, r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(err, errno, "open %s", dir);
	r = check_owner(dir, fd, S_IFDIR, err);
	if (r < 0)
		return r;
	n = scandirat(fd, ".", &entries, is_fragment, by_name);
	if (n < 0)
		return error_set(err, errno, "read %s", dir);
	for (int i = 0; i < n; i++) {
		if (r >= 0 && str_format(path, sizeof(path), "%s/%s", dir, entries[i]->d_name) < 0)
			r = error_set(err, ENAMETOOLONG, "%s", dir);
		if (r >= 0)
			r = apply_file(path, config, err);
		free(entries[i]);
	}
	free(entries);
	return r < 0 ? r : 0;
}

static int apply_all(const char *sysconfdir, const char *defaultsdir, const char *only_file,
		     struct config *config, struct error *err)
{
	char path[PATH_MAX];
	int r;

	if (only_file != NULL) {
		r = apply_file(only_file, config, err);
		return r == 0 ? error_set(err, ENOENT, "open %s", only_file) : r;
	}
	if (str_format(path, sizeof(path), "%s/configuration.json", sysconfdir) < 0)
		return error_set(err, ENAMETOOLONG, "%s", sysconfdir);
	r = apply_file(path, config, err);
	if (r == 0) {
		if (str_format(path, sizeof(path), "%s/configuration.json", defaultsdir) < 0)
			return error_set(err, ENAMETOOLONG, "%s", defaultsdir);
		r = apply_file(path, config, err);
	}
	if (r < 0)
		return r;
	if (str_format(path, sizeof(path), "%s/configuration.d", sysconfdir) < 0)
		return error_set(err, ENAMETOOLONG, "%s", sysconfdir);
	return apply_fragments(path, config, err);
}

int config_load_from(const char *sysconfdir, const char *defaultsdir, const char *only_file,
		     struct config *ret, struct error *err)
{
	CLEANUP(config_fini) struct config config = { 0 };
	int r = config_defaults(&config, err);

	if (r < 0 || (r = apply_all(sysconfdir, defaultsdir, only_file, &config, err)) < 0 ||
	    (r = config_find_daemons(&config, err)) < 0)
		return r;
	*ret = config;
	config = (struct config){ 0 };
	return 0;
}

int config_load(const char *only_file, struct config *ret, struct error *err)
{
	return config_load_from(KATA_SYSCONFDIR, KATA_DEFAULTSDIR, only_file, ret, err);
}

int config_parse(const char *file, const char *text, size_t len, struct config *ret,
		 struct error *err)
{
	CLEANUP(config_fini) struct config config = { 0 };
	int r = config_defaults(&config, err);

	if (r < 0 || (r = apply(file, text, len, &config, err)) < 0 ||
	    (r = config_find_daemons(&config, err)) < 0)
		return r;
	*ret = config;
	config = (struct config){ 0 };
	return 0;
}
