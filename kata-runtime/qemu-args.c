/*
 * QEMU's arguments: see qemu-args.h. kata-runtime makes them, the monitor execs them unchanged.
 * The order is: what the machine is, what it boots, who talks to it, which devices it has.
 */
#include "kata-runtime/qemu-args.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/launch.h"
#include "common/str.h"

/* What differs between architectures. */
#if defined(__aarch64__)
#define MACHINE "virt,usb=off,highmem=on,gic-version=max"
#define KERNEL_PARAMS "console=ttyAMA0"
#define CPU_TCG "max"
#else
/* q35 without what no guest of ours uses; each device left out is one less to break out of. */
#define MACHINE "q35,hpet=off,usb=off,vmport=off,smbus=off,sata=off,graphics=off,i8042=off"
/*
 * Without the "fast string" features: a guest's kernel would copy and clear byte by byte with them,
 * which TCG does one at a time. It takes eight at once now.
 */
#define CPU_TCG "max,-erms,-fsrm"
/* reboot=t: a triple fault, which -no-reboot turns into QEMU's end at once. */
#define KERNEL_PARAMS "console=ttyS0 reboot=t tsc=reliable no_timer_check"
#endif

/*
 * panic=-1: reboot at once, so that a panic ends the VM. cryptomgr.notests saves start-up time.
 * swiotlb=noforce: else maxmem above 4 GiB takes 64 MiB of the guest. memhp_default_state=online:
 * plugged memory is used at once.
 */
#define KERNEL_PARAMS_ALL \
	"panic=-1 random.trust_cpu=on cryptomgr.notests swiotlb=noforce " \
	"memhp_default_state=online"

/* A modern-only virtio device: no port I/O, half the registers. */
#define VIRTIO ",disable-legacy=on"

static int check(const struct qemu_config *config, struct error *err)
{
	const char *params = config->kernel_params != NULL ? config->kernel_params : "";

	if (config->sandbox[0] == '\0' ||
	    strspn(config->sandbox, "0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.-") != strlen(config->sandbox))
		return error_say(err, EINVAL, "QEMU: the sandbox id is no plain name");
	if (config->vcpus < 1 || config->vcpus > QEMU_VCPUS_MAX)
		return error_say(err, EINVAL, "QEMU: %u CPUs: expected 1 to %d", config->vcpus,
				 QEMU_VCPUS_MAX);
	if (config->max_vcpus != 0 &&
	    (config->max_vcpus < config->vcpus || config->max_vcpus > QEMU_VCPUS_MAX))
		return error_say(err, EINVAL, "QEMU: at most %u CPUs: expected %u to %d",
				 config->max_vcpus, config->vcpus, QEMU_VCPUS_MAX);
	if (config->memory_mib < QEMU_MEMORY_MIN_MIB || config->memory_mib > QEMU_MEMORY_MAX_MIB)
		return error_say(err, EINVAL, "QEMU: %u MiB of memory: expected %d to %d",
				 config->memory_mib, QEMU_MEMORY_MIN_MIB, QEMU_MEMORY_MAX_MIB);
	if (config->plug_memory_mib % QEMU_PLUG_STEP_MIB != 0 ||
	    config->plug_memory_mib > QEMU_MEMORY_MAX_MIB - config->memory_mib)
		return error_say(err, EINVAL,
				 "QEMU: %u MiB of memory to be plugged: expected a multiple of %d, "
				 "and %d with the rest",
				 config->plug_memory_mib, QEMU_PLUG_STEP_MIB, QEMU_MEMORY_MAX_MIB);
	if (config->n_nets > LAUNCH_NET_MAX)
		return error_say(err, EINVAL,
				 "QEMU: %u network interfaces: at most %d are possible",
				 config->n_nets, LAUNCH_NET_MAX);
	for (uint32_t i = 0; i < config->n_nets; i++)
		if (config->nets[i].queues < 1 || config->nets[i].queues > LAUNCH_QUEUES_MAX)
			return error_say(err, EINVAL,
					 "QEMU: interface %u with %u queues: expected 1 to %d", i,
					 config->nets[i].queues, LAUNCH_QUEUES_MAX);
	for (const char *p = params; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return error_say(err, EINVAL,
					 "QEMU: kernel_params holds a control character");
	return 0;
}

static void add_pair(struct argv *argv, const char *option, const char *value)
{
	argv_add(argv, option);
	argv_add(argv, value);
}

static void add_machine(struct argv *argv, const struct qemu_config *config)
{
	bool kvm = config->accel == ACCEL_KVM;

	argv_add(argv, "-name");
	argv_addf(argv, "kata-%.12s,debug-threads=on", config->sandbox);
	argv_add(argv, "-nodefaults");
	argv_add(argv, "-no-user-config");
	add_pair(argv, "-display", "none");
	argv_add(argv, "-no-reboot");
	/* Tells a guest's panic, of which pvpanic hears, from its shutdown: exit status 1. */
	add_pair(argv, "-action", "panic=exit-failure");
	add_pair(argv, "-sandbox",
		 "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add_pair(argv, "-accel", kvm ? "kvm" : "tcg");
	add_pair(argv, "-machine", MACHINE ",memory-backend=mem");
	add_pair(argv, "-cpu", kvm ? "host" : CPU_TCG);
	argv_add(argv, "-smp");
	argv_addf(argv, "cpus=%u,maxcpus=%u", config->vcpus,
		  config->max_vcpus != 0 ? config->max_vcpus : config->vcpus);
	argv_add(argv, "-m");
	if (config->plug_memory_mib > 0)
		argv_addf(argv, "size=%uM,maxmem=%uM", config->memory_mib,
			  config->memory_mib + config->plug_memory_mib);
	else
		argv_addf(argv, "size=%uM", config->memory_mib);
	/* Shared, since virtiofsd maps the guest's memory. */
	argv_add(argv, "-object");
	argv_addf(argv, "memory-backend-memfd,id=mem,size=%uM,share=on", config->memory_mib);
}

static int add_kernel(struct argv *argv, const struct qemu_config *config, struct error *err)
{
	const char *extra = config->kernel_params != NULL ? config->kernel_params : "";
	const char *quiet = config->debug ? "ignore_loglevel" : "quiet";
	char link[sizeof(LAUNCH_KERNEL_LINK) + 16] = "", tsc[32] = "";

	/* The agent looks for a virtio-serial port when nothing is said. */
	if (config->link == LAUNCH_LINK_VHOST_USER_VSOCK)
		snprintf(link, sizeof(link), " " LAUNCH_KERNEL_LINK "%d", LAUNCH_VSOCK_PORT);
	else if (config->link == LAUNCH_LINK_VHOST_VSOCK)
		snprintf(link, sizeof(link), " " LAUNCH_KERNEL_LINK "%u", config->cid);
	if (config->tsc_khz > 0)
		snprintf(tsc, sizeof(tsc), " tsc_early_khz=%u", config->tsc_khz);
	argv_add(argv, "-kernel");
	argv_addf(argv, "/proc/self/fd/%d", LAUNCH_FD_KERNEL);
	argv_add(argv, "-initrd");
	argv_addf(argv, "/proc/self/fd/%d", LAUNCH_FD_INITRD);
	argv_add(argv, "-append");
	argv_addf(argv, KERNEL_PARAMS " " KERNEL_PARAMS_ALL " %s%s%s%s%s", quiet, tsc, link,
		  extra[0] != '\0' ? " " : "", extra);
	if (argv->failed == 0 && strlen(argv->items[argv->count - 1]) > QEMU_CMDLINE_MAX)
		return error_say(err, E2BIG,
				 "QEMU: with kernel_params the command line has %zu bytes: "
				 "at most %d fit",
				 strlen(argv->items[argv->count - 1]), QEMU_CMDLINE_MAX);
	return 0;
}

/* Who talks to the VM: the runtime by QMP, the worker by the agent's port and the console. */
static void add_links(struct argv *argv, const struct qemu_config *config)
{
	argv_add(argv, "-chardev");
	argv_addf(argv, "socket,id=qmp,fd=%d,server=on,wait=off", LAUNCH_FD_QMP);
	add_pair(argv, "-mon", "chardev=qmp,mode=control");
	argv_add(argv, "-chardev");
	argv_addf(argv, "socket,id=console,fd=%d", LAUNCH_FD_CONSOLE);
	add_pair(argv, "-serial", "chardev:console");
	if (config->link == LAUNCH_LINK_VHOST_VSOCK) {
		argv_add(argv, "-device");
		argv_addf(argv, "vhost-vsock-pci,guest-cid=%u,vhostfd=%d" VIRTIO, config->cid,
			  LAUNCH_FD_AGENT);
		return;
	}
	argv_add(argv, "-chardev");
	if (config->link == LAUNCH_LINK_VHOST_USER_VSOCK) {
		argv_addf(argv, "socket,id=agent,fd=%d", LAUNCH_FD_AGENT);
		add_pair(argv, "-device", "vhost-user-vsock-pci,chardev=agent" VIRTIO);
		return;
	}
	argv_addf(argv, "socket,id=agent,fd=%d,server=on,wait=off", LAUNCH_FD_AGENT);
	/* Port 0 is kept for a console, so the agent's is the second. */
	add_pair(argv, "-device", "virtio-serial-pci,id=serial,max_ports=2" VIRTIO);
	add_pair(argv, "-device",
		 "virtserialport,bus=serial.0,chardev=agent,name=" QEMU_AGENT_PORT);
}

/* ",fd=16", or of several queues ",fds=16:17" */
static void format_fds(char ret[64], const char *name, int first, uint32_t queues)
{
	int at = snprintf(ret, 64, ",%s%s=%d", name, queues > 1 ? "s" : "", first);

	for (uint32_t i = 1; i < queues; i++)
		at += snprintf(ret + at, 64 - (size_t)at, ":%d", first + (int)i);
}

/* The firmware's network boot, romfile, is of no use: the kernel is given. */
static void add_net(struct argv *argv, uint32_t i, const struct qemu_net *net)
{
	const int first = (int)i * LAUNCH_QUEUES_MAX;
	const uint8_t *mac = net->mac;
	char taps[64], vhosts[64] = "", queues[32] = "";

	format_fds(taps, "fd", LAUNCH_FD_NET + first, net->queues);
	if (net->vhost)
		format_fds(vhosts, "vhostfd", LAUNCH_FD_VHOST + first, net->queues);
	/* An interrupt for each direction of a queue, and two for the device. */
	if (net->queues > 1)
		snprintf(queues, sizeof(queues), ",mq=on,vectors=%u", 2 * net->queues + 2);
	argv_add(argv, "-netdev");
	argv_addf(argv, "tap,id=net%u%s,vhost=%s%s", i, taps, net->vhost ? "on" : "off", vhosts);
	argv_add(argv, "-device");
	argv_addf(argv,
		  "virtio-net-pci,id=nic%u,bus=rp%u,netdev=net%u,"
		  "mac=%02x:%02x:%02x:%02x:%02x:%02x%s,romfile=" VIRTIO,
		  i, i, i, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], queues);
}

static void add_devices(struct argv *argv, const struct qemu_config *config)
{
	add_pair(argv, "-object", "rng-builtin,id=rng");
	add_pair(argv, "-device", "virtio-rng-pci,rng=rng" VIRTIO);
	/* Gives the guest's free pages back to the host. */
	add_pair(argv, "-device",
		 "virtio-balloon-pci,free-page-reporting=on,deflate-on-oom=on" VIRTIO);
	/* The guest tells it of a panic; see -action. */
	add_pair(argv, "-device", "pvpanic-pci");
	if (config->share) {
		argv_add(argv, "-chardev");
		argv_addf(argv, "socket,id=share,fd=%d", LAUNCH_FD_VIRTIOFS);
		add_pair(argv, "-device",
			 "vhost-user-fs-pci,chardev=share,tag=" QEMU_SHARE_TAG ",queue-size=1024");
	}
}

/*
 * Memory that the guest gets when it is asked for: nothing of it is there before. One device of the
 * full size, so that virtiofsd has mapped all of it when it comes.
 */
static void add_memory(struct argv *argv, const struct qemu_config *config)
{
	if (config->plug_memory_mib == 0)
		return;
	argv_add(argv, "-object");
	argv_addf(argv, "memory-backend-memfd,id=" QEMU_PLUG_ID "-ram,size=%uM,share=on",
		  config->plug_memory_mib);
	add_pair(argv, "-device",
		 "virtio-mem-pci,id=" QEMU_PLUG_ID ",memdev=" QEMU_PLUG_ID
		 "-ram,requested-size=0" VIRTIO);
}

/* Only behind a port of its own a device can be plugged and unplugged. */
static void add_ports(struct argv *argv)
{
	for (int i = 0; i < QEMU_ROOT_PORTS; i++) {
		argv_add(argv, "-device");
		argv_addf(argv, "pcie-root-port,id=rp%d,chassis=%d,slot=%d", i, i + 1, i + 1);
	}
}

int qemu_args_make(const struct qemu_config *config, struct argv *ret, struct error *err)
{
	struct argv argv = { 0 };
	int r;

	r = check(config, err);
	if (r < 0)
		return r;
	argv_add(&argv, config->program);
	add_machine(&argv, config);
	r = add_kernel(&argv, config, err);
	add_links(&argv, config);
	add_ports(&argv);
	for (uint32_t i = 0; i < config->n_nets; i++)
		add_net(&argv, i, &config->nets[i]);
	add_devices(&argv, config);
	add_memory(&argv, config);
	if (r == 0 && argv.failed < 0)
		r = error_set(err, -argv.failed, "QEMU's arguments");
	if (r < 0) {
		argv_fini(&argv);
		return r;
	}
	*ret = argv;
	return 0;
}
