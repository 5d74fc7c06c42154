/* The table of configuration keys: see config-keys.h. Constants only. */
#include "kata-runtime/config-keys.h"

#define AT(member) offsetof(struct config, member)

/* In the order of the enums in config.h. */
static const char *const accelerators[] = { "auto", "kvm", "tcg", NULL };
static const char *const agent_links[] = { "auto", "virtio-serial", "vhost-user-vsock",
					   "vhost-vsock", NULL };
static const char *const caches[] = { "none", "auto", "always", NULL };
static const char *const shared_filesystems[] = { "virtio-fs", "virtio-fs-mknod", NULL };
static const char *const launchers[] = { "monitor", "systemd", NULL };
static const char *const uid_modes[] = { "private", "shared", NULL };
static const char *const seccomp_actions[] = { "kill", "log", NULL };
static const char *const models[] = { "tcfilter", "macvtap", "none", NULL };
static const char *const log_targets[] = { "auto", "journal", "file", NULL };

static const char *const daemons[] = { "/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd", NULL };

#define DEBUG(section_, what) \
	{ \
		.section = #section_, .name = "enable_debug", .type = CONFIG_BOOL, \
		.offset = AT(section_.enable_debug), .meaning = what \
	}

#define VALID(name_, key) \
	{ \
		.section = "hypervisor", .name = #name_, .type = CONFIG_PATTERNS, \
		.offset = AT(hypervisor.name_), \
		.meaning = \
			"Files, by paths without links, that an annotation may name for " key "." \
	}

const struct config_key config_keys[] = {
	{ .section = "hypervisor",
	  .name = "path",
	  .type = CONFIG_PATH,
	  .annotation = "hypervisor.path",
	  .patterns = AT(hypervisor.valid_hypervisor_paths),
	  .offset = AT(hypervisor.path),
	  .text = "/usr/bin/qemu-system-x86_64",
	  .meaning = "The QEMU program, 7.2 or later." },
	{ .section = "hypervisor",
	  .name = "kernel",
	  .type = CONFIG_PATH,
	  .annotation = "hypervisor.kernel",
	  .patterns = AT(hypervisor.valid_kernel_paths),
	  .offset = AT(hypervisor.kernel),
	  .text = KATA_DATADIR "/vmlinux.container",
	  .shown = "PREFIX/share/kata-containers/vmlinux.container",
	  .meaning = "The guest's kernel." },
	{ .section = "hypervisor",
	  .name = "initrd",
	  .type = CONFIG_PATH,
	  .annotation = "hypervisor.initrd",
	  .patterns = AT(hypervisor.valid_initrd_paths),
	  .offset = AT(hypervisor.initrd),
	  .text = KATA_DATADIR "/kata-containers-initrd.img",
	  .shown = "PREFIX/share/kata-containers/kata-containers-initrd.img",
	  .meaning = "The guest's image: kata-agent and the modules that this very kernel needs." },
	{ .section = "hypervisor",
	  .name = "kernel_params",
	  .type = CONFIG_TEXT,
	  .annotation = "hypervisor.kernel_params",
	  .appends = true,
	  .offset = AT(hypervisor.kernel_params),
	  .text = "",
	  .max = 1024,
	  .meaning = "More words for the guest kernel's command line, behind the built-in ones." },
	{ .section = "hypervisor",
	  .name = "accelerator",
	  .type = CONFIG_CHOICE,
	  .offset = AT(hypervisor.accelerator),
	  .number = ACCELERATOR_AUTO,
	  .choices = accelerators,
	  .meaning = "How the guest's instructions are run. auto: KVM where it can really run a "
		     "guest, which is tried, else QEMU's translator TCG with a warning." },
	{ .section = "hypervisor",
	  .name = "agent_link",
	  .type = CONFIG_CHOICE,
	  .offset = AT(hypervisor.agent_link),
	  .number = AGENT_LINK_AUTO,
	  .choices = agent_links,
	  .meaning = "How kata-proxy reaches the agent in the guest. virtio-serial: a port of that "
		     "device. vhost-user-vsock: AF_VSOCK in the guest; kata-proxy's worker is the "
		     "device and maps the guest's memory for it. vhost-vsock: the same by the "
		     "host's module vhost_vsock. auto: vhost-vsock where /dev/vhost-vsock opens, "
		     "else virtio-serial." },
	{ .section = "hypervisor",
	  .name = "default_vcpus",
	  .type = CONFIG_NUMBER,
	  .annotation = "hypervisor.default_vcpus",
	  .offset = AT(hypervisor.default_vcpus),
	  .number = 1,
	  .min = 1,
	  .max = 240,
	  .meaning = "Virtual processors of a VM. Containers whose quotas need more get a VM with "
		     "more, also when it runs already." },
	{ .section = "hypervisor",
	  .name = "default_maxvcpus",
	  .type = CONFIG_NUMBER,
	  .annotation = "hypervisor.default_max_vcpus",
	  .offset = AT(hypervisor.default_maxvcpus),
	  .max = 240,
	  .meaning =
		  "The most processors that a VM may have; a container whose quota is above that "
		  "is refused. 0: as many as the host has, 16 of them while it runs." },
	{ .section = "hypervisor",
	  .name = "default_memory",
	  .type = CONFIG_NUMBER,
	  .annotation = "hypervisor.default_memory",
	  .offset = AT(hypervisor.default_memory),
	  .number = 256,
	  .min = 128,
	  .max = 1048576,
	  .unit = "MiB",
	  .meaning =
		  "Memory of a VM, its kernel's included. A container with a limit of its own "
		  "gets a VM of that and 128 MiB and a 22nd part more, when this is larger; a VM "
		  "that runs gets more memory when containers come or their limits grow." },
	{ .section = "hypervisor",
	  .name = "default_maxmemory",
	  .type = CONFIG_NUMBER,
	  .annotation = "hypervisor.default_max_memory",
	  .offset = AT(hypervisor.default_maxmemory),
	  .max = 1048576,
	  .unit = "MiB",
	  .meaning = "The most memory that a VM may have; a container that needs a larger one is "
		     "refused. 0: as much as the host has, 262144 at most while it runs." },
	{ .section = "hypervisor",
	  .name = "virtio_fs_daemon",
	  .type = CONFIG_DAEMON,
	  .annotation = "hypervisor.virtio_fs_daemon",
	  .patterns = AT(hypervisor.valid_virtio_fs_daemon_paths),
	  .offset = AT(hypervisor.virtio_fs_daemon),
	  .text = "auto",
	  .choices = daemons,
	  .meaning = "The virtiofsd program, the one of QEMU 7.2 or the later one in Rust. auto: "
		     "the first of /usr/lib/qemu/virtiofsd and /usr/libexec/virtiofsd." },
	{ .section = "hypervisor",
	  .name = "shared_fs",
	  .type = CONFIG_CHOICE,
	  .annotation = "hypervisor.shared_fs",
	  .offset = AT(hypervisor.shared_fs),
	  .number = SHARED_FS_VIRTIO_FS,
	  .choices = shared_filesystems,
	  .meaning =
		  "How a VM gets its files. virtio-fs: virtiofsd is root of a user namespace only; "
		  "making device nodes fails in the guest. virtio-fs-mknod: without that "
		  "namespace, so that device nodes can be made; weaker, since virtiofsd then "
		  "has the capabilities of a file server on the host." },
	{ .section = "hypervisor",
	  .name = "virtio_fs_cache",
	  .type = CONFIG_CHOICE,
	  .annotation = "hypervisor.virtio_fs_cache",
	  .offset = AT(hypervisor.virtio_fs_cache),
	  .number = VIRTIO_FS_CACHE_AUTO,
	  .choices = caches,
	  .meaning = "How much of the shared files the guest may keep in memory without asking: "
		     "none, for about a second, or for ever. With always, what the host changes "
		     "later is not seen." },
	{ .section = "hypervisor",
	  .name = "enable_annotations",
	  .type = CONFIG_REGEXES,
	  .offset = AT(hypervisor.enable_annotations),
	  .meaning =
		  "Which annotations of a bundle may change the configuration of its VM, as those "
		  "of a pod: one of the expressions has to be the whole name, "
		  "hypervisor.default_vcpus or, without its first word, default_vcpus. With an "
		  "empty list no annotation changes anything. Who writes annotations is seldom "
		  "who may choose programs and kernels: see the lists of paths. For that reason "
		  "the annotation io.katacontainers.config_path, another file in the place of this "
		  "one, is never followed; a warning names it." },
	VALID(valid_hypervisor_paths, "path"),
	VALID(valid_kernel_paths, "kernel"),
	VALID(valid_initrd_paths, "initrd"),
	VALID(valid_virtio_fs_daemon_paths, "virtio_fs_daemon"),
	DEBUG(hypervisor,
	      "Log the guest's console and what QEMU and virtiofsd say when all is well."),
	{ .section = "proxy",
	  .name = "path",
	  .type = CONFIG_PATH,
	  .offset = AT(proxy.path),
	  .text = KATA_LIBEXECDIR "/kata-proxy",
	  .shown = "PREFIX/libexec/kata-containers/kata-proxy",
	  .meaning = "The kata-proxy program." },
	{ .section = "proxy",
	  .name = "worker_crashes",
	  .type = CONFIG_NUMBER,
	  .offset = AT(proxy.worker_crashes),
	  .number = 5,
	  .max = 1000,
	  .meaning = "A worker that crashed is started again, this many times within 30 seconds; "
		     "with one crash more the VM is stopped." },
	{ .section = "proxy",
	  .name = "launcher",
	  .type = CONFIG_CHOICE,
	  .offset = AT(proxy.launcher),
	  .number = LAUNCHER_MONITOR,
	  .choices = launchers,
	  .meaning =
		  "Who starts a VM's worker, which faces the guest. monitor: the VM's monitor, in "
		  "the VM's own namespaces. systemd: the unit kata-proxy@SANDBOX.service, with "
		  "a dynamic user, so that what may be set for a unit can be set for it." },
	DEBUG(proxy, "Log kata-proxy's debug records."),
	{ .section = "shim",
	  .name = "path",
	  .type = CONFIG_PATH,
	  .offset = AT(shim.path),
	  .text = KATA_LIBEXECDIR "/kata-shim",
	  .shown = "PREFIX/libexec/kata-containers/kata-shim",
	  .meaning = "The kata-shim program." },
	DEBUG(shim, "Log kata-shim's debug records."),
	DEBUG(agent, "Log the debug records of kata-agent in the guest."),
	{ .section = "netmon",
	  .name = "enable_netmon",
	  .type = CONFIG_BOOL,
	  .offset = AT(netmon.enable_netmon),
	  .number = 1,
	  .meaning =
		  "Follow what becomes of a container's network while it runs, as docker network "
		  "connect changes it: a process for each VM. Without it a VM keeps the network "
		  "that it had at start." },
	DEBUG(netmon, "Log the debug records of the process that follows the network."),
	DEBUG(runtime, "Log kata-runtime's debug records."),
	{ .section = "runtime",
	  .name = "log_target",
	  .type = CONFIG_CHOICE,
	  .offset = AT(runtime.log_target),
	  .number = LOG_TARGET_AUTO,
	  .choices = log_targets,
	  .meaning =
		  "Where the components log. auto: the journal where there is one, else files." },
	{ .section = "runtime",
	  .name = "log_dir",
	  .type = CONFIG_PATH,
	  .offset = AT(runtime.log_dir),
	  .text = "/var/log/kata-containers",
	  .meaning = "Log files go to SID/COMPONENT.log below this directory." },
	{ .section = "runtime",
	  .name = "seccomp",
	  .type = CONFIG_CHOICE,
	  .offset = AT(runtime.seccomp),
	  .number = SECCOMP_KILL,
	  .choices = seccomp_actions,
	  .meaning =
		  "What becomes of a process, kata-runtime and QEMU included, that makes a system "
		  "call which its filter does not let through. kill: it dies. log: the kernel logs "
		  "the call and "
		  "does it; weaker, for finding out what a filter lacks." },
	{ .section = "runtime",
	  .name = "uid_range",
	  .type = CONFIG_RANGE,
	  .offset = AT(runtime.uid_range),
	  .text = "",
	  .meaning = "START:COUNT of the uids, and gids of the same numbers, that VMs run under: "
		     "eight for each VM, 65536 and above, used by nothing else on the host. "
		     "Empty: the line kata:START:COUNT that /etc/subuid and /etc/subgid have." },
	{ .section = "runtime",
	  .name = "uid_mode",
	  .type = CONFIG_CHOICE,
	  .offset = AT(runtime.uid_mode),
	  .number = UID_MODE_PRIVATE,
	  .choices = uid_modes,
	  .meaning = "private: each VM has uids that no other has. shared: all VMs have the first "
		     "four uids of the range; weaker, since who breaks out of one machine then "
		     "has the uid of the others." },
	{ .section = "runtime",
	  .name = "create_container_timeout",
	  .type = CONFIG_NUMBER,
	  .annotation = "runtime.create_container_timeout",
	  .offset = AT(runtime.create_container_timeout),
	  .number = 60,
	  .min = 1,
	  .max = 3600,
	  .unit = "seconds",
	  .meaning = "How long create may take, the VM's boot included." },
	{ .section = "runtime",
	  .name = "internetworking_model",
	  .type = CONFIG_CHOICE,
	  .annotation = "runtime.internetworking_model",
	  .offset = AT(runtime.internetworking_model),
	  .number = MODEL_TCFILTER,
	  .choices = models,
	  .meaning =
		  "How a VM gets the interfaces of its container's network namespace. tcfilter: "
		  "filters send each frame on. macvtap: a device on top of an interface that is up "
		  "at "
		  "create takes all frames, also answers to docker's name server from others; for "
		  "what comes later, and where such a device cannot be, tcfilter. none: it gets "
		  "none of them." },
	{ .section = "runtime",
	  .name = "disable_new_netns",
	  .type = CONFIG_BOOL,
	  .annotation = "runtime.disable_new_netns",
	  .offset = AT(runtime.disable_new_netns),
	  .meaning =
		  "Make no network namespace for a container that brings none, and accept one that "
		  "asks for the host's. Needs internetworking_model none: the VM has no network." },
	{ .section = "runtime",
	  .name = "strict_network",
	  .type = CONFIG_BOOL,
	  .offset = AT(runtime.strict_network),
	  .meaning = "Refuse a container whose network has parts that cannot be given to a VM, "
		     "such as tunnels and policy routing, or whose name servers nobody reaches, "
		     "instead of a warning." },
	{ .section = NULL },
};
