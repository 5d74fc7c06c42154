/* The weaker settings in force: see weak.h. Called by check. */
#include "kata-runtime/weak.h"

#include "common/cleanup.h"

static bool uids_are_shared(const struct weak_facts *facts)
{
	return facts->config->runtime.uid_mode == UID_MODE_SHARED;
}

static bool filters_only_log(const struct weak_facts *facts)
{
	return facts->config->runtime.seccomp == SECCOMP_LOG;
}

static bool makes_nodes(const struct weak_facts *facts)
{
	return facts->config->hypervisor.shared_fs == SHARED_FS_VIRTIO_FS_MKNOD;
}

static bool takes_annotations(const struct weak_facts *facts)
{
	return facts->config->hypervisor.enable_annotations.count > 0;
}

static bool takes_paths(const struct weak_facts *facts)
{
	const struct config *config = facts->config;

	return takes_annotations(facts) &&
	       (config->hypervisor.valid_hypervisor_paths.count > 0 ||
		config->hypervisor.valid_kernel_paths.count > 0 ||
		config->hypervisor.valid_initrd_paths.count > 0 ||
		config->hypervisor.valid_virtio_fs_daemon_paths.count > 0);
}

static bool may_be_in_host_network(const struct weak_facts *facts)
{
	return facts->config->runtime.disable_new_netns;
}

static bool worker_is_vsock(const struct weak_facts *facts)
{
	return facts->link == LAUNCH_LINK_VHOST_USER_VSOCK;
}

static bool kernel_is_vsock(const struct weak_facts *facts)
{
	return facts->link == LAUNCH_LINK_VHOST_VSOCK;
}

static bool is_translated(const struct weak_facts *facts)
{
	return facts->tcg;
}

size_t weak_list(const struct weak_facts *facts, struct weak ret[WEAK_MAX])
{
	static const struct {
		bool (*in_force)(const struct weak_facts *facts);
		struct weak weak;
	} rows[] = {
		{ uids_are_shared,
		  { "runtime.uid_mode", "shared",
		    "who breaks out of one machine has the uids of all others" } },
		{ filters_only_log,
		  { "runtime.seccomp", "log",
		    "system calls that a filter lacks are logged and done" } },
		{ makes_nodes,
		  { "hypervisor.shared_fs", "virtio-fs-mknod",
		    "virtiofsd is the host's root with a file server's capabilities, in no user "
		    "namespace" } },
		{ takes_annotations,
		  { "hypervisor.enable_annotations", "not empty",
		    "who writes a bundle's annotations may change its machine" } },
		{ takes_paths,
		  { "hypervisor.valid_*_paths", "not empty",
		    "annotations may choose programs, kernels or images from these" } },
		{ may_be_in_host_network,
		  { "runtime.disable_new_netns", "true",
		    "the shim may be in the host's network namespace" } },
		{ worker_is_vsock,
		  { "hypervisor.agent_link", "vhost-user-vsock",
		    "the proxy's worker maps the guest's memory" } },
		{ kernel_is_vsock,
		  { "hypervisor.agent_link", "vhost-vsock",
		    "the host's kernel reads the guest's queues" } },
		{ is_translated,
		  { "hypervisor.accelerator", "tcg",
		    "QEMU's developers promise no isolation of its translator" } },
	};
	size_t count = 0;

	_Static_assert(ARRAY_SIZE(rows) <= WEAK_MAX, "all of them together");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].in_force(facts))
			ret[count++] = rows[i].weak;
	return count;
}
