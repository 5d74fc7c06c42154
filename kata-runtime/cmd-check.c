/*
 * check: what this host gives to a VM, what is missing before anybody starts one, and which
 * settings in force are weaker than they could be.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/accel.h"
#include "kata-runtime/agent-link.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/config.h"
#include "kata-runtime/json.h"
#include "kata-runtime/uids.h"
#include "kata-runtime/virtiofsd-probe.h"
#include "kata-runtime/weak.h"

struct findings {
	int missing;
	struct weak_facts facts;
	struct json_object *list; /* NULL: they are printed as they come */
};

static void add_text(struct json_object *to, const char *key, const char *text)
{
	json_object_object_add(to, key, json_object_new_string(text));
}

/* there: whether the host has it; the text is then what it is, else why not. */
__attribute__((format(printf, 4, 5))) static void found(struct findings *f, const char *key,
							bool there, const char *fmt, ...)
{
	struct json_object *finding;
	char text[PATH_MAX + 300];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	f->missing += !there;
	if (f->list == NULL) {
		printf("%-28s %s%s\n", key, there ? "" : "MISSING: ", text);
		return;
	}
	finding = json_object_new_object();
	add_text(finding, "name", key);
	add_text(finding, "text", text);
	json_object_object_add(finding, "missing", json_object_new_boolean(!there));
	json_object_array_add(f->list, finding);
}

static void need_file(struct findings *f, const char *key, const char *path, int mode)
{
	if (access(path, mode) == 0)
		found(f, key, true, "%s", path);
	else
		found(f, key, false, "%s: %s", path, strerrordesc_np(errno));
}

static void check_accelerator(struct findings *f, const struct config *config)
{
	static const char *const names[] = {
		[ACCELERATOR_AUTO] = "auto", [ACCELERATOR_KVM] = "kvm", [ACCELERATOR_TCG] = "tcg"
	};
	struct accel_result result;
	struct error err = { 0 };

	if (accel_choose(names[config->hypervisor.accelerator], &result, &err) < 0) {
		found(f, "accelerator", false, "%s", err.text);
		return;
	}
	found(f, "accelerator", true, "%s: %s", accel_name(result.accel), result.reason);
	f->facts.tcg = result.accel == ACCEL_TCG;
}

static void check_agent_link(struct findings *f, const struct config *config)
{
	CLEANUP(agent_link_release) struct agent_link link = AGENT_LINK_NONE;
	struct error err = { 0 };

	if (agent_link_choose(config->hypervisor.agent_link, "check", NULL, &link, &err) < 0) {
		found(f, "agent link", false, "%s", err.text);
		return;
	}
	found(f, "agent link", true, "%s: %s", agent_link_name(link.link), link.reason);
	f->facts.link = link.link;
}

static void check_virtiofsd(struct findings *f, const struct config *config)
{
	enum virtiofsd_kind kind;
	struct error err = { 0 };

	if (virtiofsd_probe(config->hypervisor.virtio_fs_daemon, &kind, &err) < 0)
		found(f, "virtiofsd", false, "%s", err.text);
	else
		found(f, "virtiofsd", true, "%s (%s)", config->hypervisor.virtio_fs_daemon,
		      virtiofsd_kind_name(kind));
}

static void check_uids(struct findings *f, const struct config *config)
{
	struct uid_range range;
	struct error err = { 0 };

	if (uids_find_range(config->runtime.uid_range, &range, &err) < 0)
		found(f, "uid range", false, "%s", err.text);
	else
		found(f, "uid range", true, "%u uids from %u", range.count, range.start);
}

static void check_all(struct findings *f, const struct config *config)
{
	found(f, "configuration", true, "%s", config->source);
	need_file(f, "QEMU", config->hypervisor.path, X_OK);
	need_file(f, "guest kernel", config->hypervisor.kernel, R_OK);
	need_file(f, "guest image", config->hypervisor.initrd, R_OK);
	need_file(f, "kata-proxy", config->proxy.path, X_OK);
	need_file(f, "kata-shim", config->shim.path, X_OK);
	check_virtiofsd(f, config);
	check_accelerator(f, config);
	check_agent_link(f, config);
	check_uids(f, config);
}

/* Weaker settings are the administrator's choice: they are told, and no failure. */
static struct json_object *tell_weaker(const struct findings *f)
{
	struct json_object *list = f->list != NULL ? json_object_new_array() : NULL;
	struct weak weak[WEAK_MAX];
	size_t count = weak_list(&f->facts, weak);

	if (list == NULL && count == 0)
		printf("%-28s none\n", "weaker settings");
	for (size_t i = 0; i < count; i++) {
		struct json_object *setting;

		if (list == NULL) {
			printf("%-28s %s is %s: %s\n", "weaker setting", weak[i].key, weak[i].value,
			       weak[i].why);
			continue;
		}
		setting = json_object_new_object();
		add_text(setting, "key", weak[i].key);
		add_text(setting, "value", weak[i].value);
		add_text(setting, "why", weak[i].why);
		json_object_array_add(list, setting);
	}
	return list;
}

static void print_json(struct findings *f, struct json_object *weaker)
{
	CLEANUP(json_freep) struct json_object *document = json_object_new_object();

	json_object_object_add(document, "findings", f->list);
	json_object_object_add(document, "weaker", weaker);
	printf("%s\n", json_object_to_json_string_ext(
			       document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
}

int cmd_check(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	CLEANUP(config_fini) struct config config = { 0 };
	struct findings findings = { .facts.config = &config };
	bool help = false, json = false;
	const struct cli_option options[] = {
		{ "json", 0, CLI_FLAG, &json, "print it as JSON" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r == 0 && help) {
		printf("usage: kata-runtime check [OPTION...]\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (r == 0 && words.count != 0)
		r = error_say(err, EINVAL, "check: no word is taken");
	if (r == 0)
		r = config_load(cli->config_file, &config, err);
	if (r < 0)
		return r;
	findings.list = json ? json_object_new_array() : NULL;
	check_all(&findings, &config);
	if (json)
		print_json(&findings, tell_weaker(&findings));
	else
		tell_weaker(&findings);
	if (findings.missing > 0)
		return error_say(err, ENOENT, "check: %d of what a container needs is missing",
				 findings.missing);
	return 0;
}
