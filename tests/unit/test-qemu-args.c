/* QEMU's arguments: kata-runtime/qemu-args.h. Only text is made; the boot test runs it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/launch.h"
#include "common/str.h"
#include "kata-runtime/qemu-args.h"

static const struct qemu_config plain = {
	.program = "qemu-system-x86_64",
	.sandbox = "0123456789abcdef0123456789abcdef",
	.accel = ACCEL_TCG,
	.vcpus = 1,
	.memory_mib = 256,
};

/* How often the arguments hold text as a whole. */
static int count(const struct argv *argv, const char *text)
{
	int n = 0;

	for (uint32_t i = 0; i < argv->count; i++)
		n += str_eq(argv->items[i], text);
	return n;
}

/* The argument behind the first option of this name, "" when there is none. */
static const char *behind(const struct argv *argv, const char *option)
{
	for (uint32_t i = 0; i + 1 < argv->count; i++)
		if (str_eq(argv->items[i], option))
			return argv->items[i + 1];
	return "";
}

/* Whether some argument holds the text. */
static bool holds(const struct argv *argv, const char *text)
{
	for (uint32_t i = 0; i < argv->count; i++)
		if (strstr(argv->items[i], text) != NULL)
			return true;
	return false;
}

static void make(const struct qemu_config *config, struct argv *argv)
{
	struct error err = { 0 };

	cr_assert_eq(qemu_args_make(config, argv, &err), 0, "%s", err.text);
	cr_assert(argv->items[argv->count] == NULL);
}

Test(qemu_args, plain)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };

	make(&plain, &argv);
	cr_expect_str_eq(argv.items[0], "qemu-system-x86_64");
	cr_expect_str_eq(behind(&argv, "-name"), "kata-0123456789ab,debug-threads=on");
	cr_expect_str_eq(behind(&argv, "-accel"), "tcg");
	cr_expect(str_starts(behind(&argv, "-cpu"), "max"));
#if defined(__x86_64__)
	cr_expect_str_eq(behind(&argv, "-cpu"), "max,-erms,-fsrm");
#endif
	cr_expect_str_eq(behind(&argv, "-smp"), "cpus=1,maxcpus=1");
	cr_expect_str_eq(behind(&argv, "-m"), "size=256M");
	cr_expect_str_eq(behind(&argv, "-display"), "none");
	cr_expect_str_eq(behind(&argv, "-sandbox"),
			 "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	cr_expect_eq(count(&argv, "-nodefaults"), 1);
	cr_expect_eq(count(&argv, "-no-user-config"), 1);
	cr_expect_eq(count(&argv, "-no-reboot"), 1);
	cr_expect_eq(count(&argv, "panic=exit-failure"), 1);
	cr_expect(holds(&argv, ",memory-backend=mem"));
	cr_expect_eq(count(&argv, "memory-backend-memfd,id=mem,size=256M,share=on"), 1);
	cr_expect_not(holds(&argv, "vhost-user-fs"));
	cr_expect_not(holds(&argv, "fd=13"));
}

/* One device and one descriptor each; vhost-net only where its descriptor is. */
Test(qemu_args, nets)
{
	static const struct qemu_net nets[LAUNCH_NET_MAX + 1] = {
		{ .mac = { 2, 0x42, 0xac, 0x11, 0, 2 }, .queues = 1 },
		{ .mac = { 2, 0, 0, 0, 0, 0xff }, .queues = 1, .vhost = true },
		{ .mac = { 2, 0, 0, 0, 0, 1 }, .queues = 2 },
		{ .mac = { 2, 0, 0, 0, 0, 2 }, .queues = LAUNCH_QUEUES_MAX, .vhost = true },
		{ .mac = { 2, 0, 0, 0, 0, 3 }, .queues = LAUNCH_QUEUES_MAX + 1 },
	};
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;
	struct error err = { 0 };

	config.nets = nets;
	config.n_nets = 4;
	make(&config, &argv);
	cr_expect_eq(count(&argv, "tap,id=net0,fd=16,vhost=off"), 1);
	cr_expect_eq(count(&argv, "tap,id=net1,fd=24,vhost=on,vhostfd=88"), 1);
	cr_expect_eq(count(&argv, "tap,id=net2,fds=32:33,vhost=off"), 1);
	cr_expect_eq(count(&argv, "tap,id=net3,fds=40:41:42:43:44:45:46:47,vhost=on,"
				  "vhostfds=104:105:106:107:108:109:110:111"),
		     1);
	cr_expect(holds(&argv, "nic2,bus=rp2,netdev=net2,mac=02:00:00:00:00:01,mq=on,vectors=6,"));
	cr_expect(holds(&argv, "mac=02:00:00:00:00:02,mq=on,vectors=18,romfile=,"));
	cr_expect(holds(
		&argv,
		"virtio-net-pci,id=nic0,bus=rp0,netdev=net0,mac=02:42:ac:11:00:02,romfile=,"));
	cr_expect(
		holds(&argv, "virtio-net-pci,id=nic1,bus=rp1,netdev=net1,mac=02:00:00:00:00:ff,"));
	argv_fini(&argv);
	config.n_nets = 5;
	cr_expect_eq(qemu_args_make(&config, &argv, &err), -EINVAL);
	config.n_nets = LAUNCH_NET_MAX + 1;
	cr_expect_eq(qemu_args_make(&config, &argv, &err), -EINVAL);
}

/* One device for the link, and the kernel's word to the agent which. */
Test(qemu_args, links)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;

	make(&config, &argv);
	cr_expect(holds(&argv, "virtio-serial-pci,") && !holds(&argv, "vsock"));
	argv_fini(&argv);
	config.link = LAUNCH_LINK_VHOST_USER_VSOCK;
	config.kernel_params = "kata.link=vsock:9";
	make(&config, &argv);
	cr_expect_eq(count(&argv, "socket,id=agent,fd=11"), 1);
	cr_expect_eq(count(&argv, "vhost-user-vsock-pci,chardev=agent,disable-legacy=on"), 1);
	cr_expect_not(holds(&argv, "virtio-serial") || holds(&argv, "virtserialport"));
	cr_expect(strstr(behind(&argv, "-append"), " kata.link=vsock:1025 kata.link=vsock:9") !=
		  NULL);
	argv_fini(&argv);
	config.link = LAUNCH_LINK_VHOST_VSOCK;
	config.cid = 70000;
	make(&config, &argv);
	cr_expect_eq(count(&argv, "vhost-vsock-pci,guest-cid=70000,vhostfd=11,disable-legacy=on"),
		     1);
	cr_expect_not(holds(&argv, "id=agent") || holds(&argv, "virtio-serial"));
	cr_expect(strstr(behind(&argv, "-append"), " kata.link=vsock:70000 ") != NULL);
}

Test(qemu_args, time_stamp_counter)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;

	make(&config, &argv);
	cr_expect(strstr(behind(&argv, "-append"), "tsc_early_khz") == NULL);
	argv_fini(&argv);
	config.tsc_khz = 2595600;
	make(&config, &argv);
	cr_expect(strstr(behind(&argv, "-append"), " quiet tsc_early_khz=2595600") != NULL);
}

/* The numbers are an agreement with the monitor, so they are written out here. */
Test(qemu_args, descriptors)
{
	static const char *const wanted[] = {
		"socket,id=qmp,fd=10,server=on,wait=off",
		"socket,id=agent,fd=11,server=on,wait=off",
		"socket,id=console,fd=12",
		"socket,id=share,fd=13",
		"/proc/self/fd/14",
		"/proc/self/fd/15",
		"virtserialport,bus=serial.0,chardev=agent,name=agent.0",
		"vhost-user-fs-pci,chardev=share,tag=share,queue-size=1024",
		"chardev=qmp,mode=control",
		"chardev:console",
		"pcie-root-port,id=rp0,chassis=1,slot=1",
		"pcie-root-port,id=rp7,chassis=8,slot=8",
		"pvpanic-pci",
	};
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;

	config.share = true;
	make(&config, &argv);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		cr_expect_eq(count(&argv, wanted[i]), 1, "%s", wanted[i]);
	cr_expect_str_eq(behind(&argv, "-kernel"), "/proc/self/fd/14");
	cr_expect_str_eq(behind(&argv, "-initrd"), "/proc/self/fd/15");
	cr_expect(holds(&argv, "virtio-rng-pci,rng=rng"));
	cr_expect(holds(&argv, "virtio-balloon-pci,free-page-reporting=on,deflate-on-oom=on"));
}

/* Nothing of the host is named but the two descriptors: no path, no network, no device. */
Test(qemu_args, no_path)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;

	config.share = true;
	make(&config, &argv);
	for (uint32_t i = 1; i < argv.count; i++)
		cr_expect(strchr(argv.items[i], '/') == NULL ||
				  strncmp(argv.items[i], "/proc/self/fd/", 14) == 0,
			  "%s", argv.items[i]);
	cr_expect_not(holds(&argv, "path="));
	cr_expect_not(holds(&argv, "host="));
	cr_expect_not(holds(&argv, "netdev"));
}

Test(qemu_args, kvm)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;

	config.accel = ACCEL_KVM;
	make(&config, &argv);
	cr_expect_str_eq(behind(&argv, "-accel"), "kvm");
	cr_expect_str_eq(behind(&argv, "-cpu"), "host");
}

Test(qemu_args, plugged_later)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;

	config.vcpus = 2;
	config.max_vcpus = 8;
	config.plug_memory_mib = 3840;
	make(&config, &argv);
	cr_expect_str_eq(behind(&argv, "-smp"), "cpus=2,maxcpus=8");
	cr_expect_str_eq(behind(&argv, "-m"), "size=256M,maxmem=4096M");
	cr_expect_eq(count(&argv, "memory-backend-memfd,id=plug-ram,size=3840M,share=on"), 1);
	cr_expect_eq(count(&argv, "virtio-mem-pci,id=plug,memdev=plug-ram,requested-size=0,"
				  "disable-legacy=on"),
		     1);
	cr_expect(strstr(behind(&argv, "-append"), " memhp_default_state=online ") != NULL);
}

Test(qemu_args, maximum_that_adds_nothing)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;

	config.max_vcpus = 1;
	make(&config, &argv);
	cr_expect_not(holds(&argv, "virtio-mem"));
	cr_expect_str_eq(behind(&argv, "-smp"), "cpus=1,maxcpus=1");
	cr_expect_str_eq(behind(&argv, "-m"), "size=256M");
}

/* Whether word stands alone in the kernel's command line. */
static bool has_param(const char *cmdline, const char *word)
{
	char padded[4096], wanted[256];

	snprintf(padded, sizeof(padded), " %s ", cmdline);
	snprintf(wanted, sizeof(wanted), " %s ", word);
	return strstr(padded, wanted) != NULL;
}

Test(qemu_args, kernel_command_line)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;
	const char *cmdline;

	config.kernel_params = "a=1,b systemd.unified=0 \"x y\"";
	make(&config, &argv);
	cmdline = behind(&argv, "-append");
	cr_expect(has_param(cmdline, "panic=-1"));
	cr_expect(has_param(cmdline, "swiotlb=noforce"));
	cr_expect(has_param(cmdline, "quiet"));
	cr_expect(strlen(cmdline) > strlen(config.kernel_params) &&
			  str_eq(cmdline + strlen(cmdline) - strlen(config.kernel_params),
				 config.kernel_params),
		  "ours must come first: %s", cmdline);
}

Test(qemu_args, debug_makes_the_kernel_talk)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;

	config.debug = true;
	make(&config, &argv);
	cr_expect_not(has_param(behind(&argv, "-append"), "quiet"));
	cr_expect(has_param(behind(&argv, "-append"), "ignore_loglevel"));
}

static const struct {
	const char *what;
	struct qemu_config config;
} bad[] = {
	{ "sandbox id", { "q", "", ACCEL_TCG, 1, 0, 256 } },
	{ "sandbox id", { "q", "a,b=c", ACCEL_TCG, 1, 0, 256 } },
	{ "sandbox id", { "q", "../a", ACCEL_TCG, 1, 0, 256 } },
	{ "sandbox id", { "q", "a\n", ACCEL_TCG, 1, 0, 256 } },
	{ "0 CPUs", { "q", "a", ACCEL_TCG, 0, 0, 256 } },
	{ "241 CPUs", { "q", "a", ACCEL_TCG, QEMU_VCPUS_MAX + 1, 0, 256 } },
	{ "at most 1 CPUs", { "q", "a", ACCEL_TCG, 2, 1, 256 } },
	{ "at most 241 CPUs", { "q", "a", ACCEL_TCG, 2, QEMU_VCPUS_MAX + 1, 256 } },
	{ "0 MiB", { "q", "a", ACCEL_TCG, 1, 0, 0 } },
	{ "95 MiB", { "q", "a", ACCEL_TCG, 1, 0, QEMU_MEMORY_MIN_MIB - 1 } },
	{ "4294967295 MiB", { "q", "a", ACCEL_TCG, 1, 0, UINT32_MAX } },
	{ "255 MiB of memory to be plugged", { "q", "a", ACCEL_TCG, 1, 0, 256, 255 } },
	{ "and 16777216 with the rest", { "q", "a", ACCEL_TCG, 1, 0, 256, 1 << 24 } },
	{ "kernel_params", { "q", "a", ACCEL_TCG, 1, 0, 256, 0, "a\nb" } },
	{ "kernel_params", { "q", "a", ACCEL_TCG, 1, 0, 256, 0, "\x1b[0m" } },
};

Test(qemu_args, refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct argv argv = { .count = 77 };
		struct error err = { 0 };

		cr_expect_eq(qemu_args_make(&bad[i].config, &argv, &err), -EINVAL, "row %zu", i);
		cr_expect(strstr(err.text, bad[i].what) != NULL, "row %zu: %s", i, err.text);
		cr_expect_eq(argv.count, 77, "row %zu: written on failure", i);
	}
}

/* The longest command line that fits is taken, one byte more is not cut but refused. */
Test(qemu_args, command_line_limit)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	struct qemu_config config = plain;
	char params[QEMU_CMDLINE_MAX + 2];
	struct error err = { 0 };
	size_t room;

	make(&config, &argv);
	room = QEMU_CMDLINE_MAX - strlen(behind(&argv, "-append")) - 1;
	argv_fini(&argv);
	memset(params, 'x', sizeof(params));
	params[room] = '\0';
	config.kernel_params = params;
	make(&config, &argv);
	cr_expect_eq(strlen(behind(&argv, "-append")), QEMU_CMDLINE_MAX);
	argv_fini(&argv);
	params[room] = 'x';
	params[room + 1] = '\0';
	cr_expect_eq(qemu_args_make(&config, &argv, &err), -E2BIG);
	cr_expect(strstr(err.text, "2048 bytes") != NULL, "%s", err.text);
}
