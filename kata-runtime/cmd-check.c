/* check: what this host gives to a VM, and what is missing, before anybody starts one. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-runtime/accel.h"
#include "kata-runtime/agent-link.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/config.h"
#include "kata-runtime/uids.h"
#include "kata-runtime/virtiofsd-probe.h"

struct findings {
	int missing;
};

static void need_file(struct findings *f, const char *key, const char *path, int mode)
{
	bool there = access(path, mode) == 0;

	printf("%-28s %s%s\n", key, path, there ? "" : "  MISSING");
	f->missing += !there;
}

static void check_accelerator(struct findings *f, const struct config *config)
{
	static const char *const names[] = {
		[ACCELERATOR_AUTO] = "auto", [ACCELERATOR_KVM] = "kvm", [ACCELERATOR_TCG] = "tcg"
	};
	struct accel_result result;
	struct error err = { 0 };

	if (accel_choose(names[config->hypervisor.accelerator], &result, &err) == 0) {
		printf("%-28s %s: %s\n", "accelerator", accel_name(result.accel), result.reason);
	} else {
		printf("%-28s MISSING: %s\n", "accelerator", err.text);
		f->missing++;
	}
}

static void check_agent_link(struct findings *f, const struct config *config)
{
	CLEANUP(agent_link_release) struct agent_link link = AGENT_LINK_NONE;
	struct error err = { 0 };

	if (agent_link_choose(config->hypervisor.agent_link, "check", NULL, &link, &err) == 0) {
		printf("%-28s %s: %s\n", "agent link", agent_link_name(link.link), link.reason);
	} else {
		printf("%-28s MISSING: %s\n", "agent link", err.text);
		f->missing++;
	}
}

static void check_virtiofsd(struct findings *f, const struct config *config)
{
	enum virtiofsd_kind kind;
	struct error err = { 0 };

	if (virtiofsd_probe(config->hypervisor.virtio_fs_daemon, &kind, &err) == 0) {
		printf("%-28s %s (%s)\n", "virtiofsd", config->hypervisor.virtio_fs_daemon,
		       virtiofsd_kind_name(kind));
	} else {
		printf("%-28s MISSING: %s\n", "virtiofsd", err.text);
		f->missing++;
	}
}

static void check_uids(struct findings *f, const struct config *config)
{
	struct uid_range range;
	struct error err = { 0 };

	if (uids_find_range(config->runtime.uid_range, &range, &err) == 0) {
		printf("%-28s %u uids from %u\n", "uid range", range.count, range.start);
	} else {
		printf("%-28s MISSING: %s\n", "uid range", err.text);
		f->missing++;
	}
}

int cmd_check(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	struct findings findings = { 0 };
	struct config config;
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r == 0 && help) {
		printf("usage: kata-runtime check\n");
		return 0;
	}
	if (r == 0 && words.count != 0)
		r = error_say(err, EINVAL, "check: no word is taken");
	if (r == 0)
		r = config_load(cli->config_file, &config, err);
	if (r < 0)
		return r;
	printf("%-28s %s\n", "configuration", config.source);
	need_file(&findings, "QEMU", config.hypervisor.path, X_OK);
	need_file(&findings, "guest kernel", config.hypervisor.kernel, R_OK);
	need_file(&findings, "guest image", config.hypervisor.initrd, R_OK);
	need_file(&findings, "kata-proxy", config.proxy.path, X_OK);
	need_file(&findings, "kata-shim", config.shim.path, X_OK);
	check_virtiofsd(&findings, &config);
	check_accelerator(&findings, &config);
	check_agent_link(&findings, &config);
	check_uids(&findings, &config);
	config_fini(&config);
	if (findings.missing > 0)
		return error_say(err, ENOENT, "check: %d of what a container needs is missing",
				 findings.missing);
	return 0;
}
