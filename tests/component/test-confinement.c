/*
 * The tables against the kernel: the real monitor and worker, and programs in the place of QEMU and
 * virtiofsd, started with descriptors that a careless caller leaked; every one of them is compared
 * with its row of common/privsep.def. Needs root.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/process.h"
#include "kata-runtime/json.h"
#include "kata-runtime/privs.h"
#include "kata-runtime/qemu-root.h"
#include "tests/fake/launcher.h"

enum { LEAKED = 20 };

static struct launcher launcher;

static void set_up(void)
{
	static char *const qemu[] = { "qemu", "1000", NULL };
	static char *const virtiofsd[] = { "virtiofsd", "1000", NULL };
	const struct launcher_vm sleepers = {
		.qemu = "/bin/sleep",
		.qemu_args = qemu,
		.virtiofsd = "/bin/sleep",
		.virtiofsd_args = virtiofsd,
	};
	struct error err = { 0 };

	if (geteuid() != 0)
		cr_skip("needs root");
	signal(SIGPIPE, SIG_IGN);
	launcher_start(&launcher, true, LEAKED);
	cr_assert(launcher_launch(&launcher, &sleepers, &err) == 0, "%s: %s", err.text,
		  launcher_read(launcher.logs[LOG_OF_PROXY]));
	cr_assert(launcher_commit(&launcher, &err) == 0, "%s", err.text);
}

static void tear_down(void)
{
	launcher_fini(&launcher);
}

TestSuite(confinement, .init = set_up, .fini = tear_down, .timeout = 60);

static void expect_within(enum privsep_process process, pid_t pid)
{
	CLEANUP(json_freep) struct json_object *observed = NULL;
	CLEANUP(json_freep) struct json_object *policy = privs_policy(process);
	CLEANUP(json_freep) struct json_object *exceeds = json_object_new_array();
	struct error err = { 0 };

	cr_assert(pid > 0, "%s does not run", privsep_row(process)->name);
	if (process == PRIVSEP_MONITOR) {
		struct json_object *descriptors = NULL, *other = NULL;

		/* The logs it keeps for workers are memory files here. */
		json_object_object_get_ex(policy, "descriptors", &descriptors);
		json_object_object_get_ex(descriptors, "other", &other);
		json_object_array_add(other, json_object_new_string("memory"));
	}
	cr_assert_eq(privs_observe(pid, launcher.uid_base, &observed, &err), 0, "%s", err.text);
#ifdef __SANITIZE_ADDRESS__
	/* A sanitizer's build logs what it else would kill for. */
	json_object_object_del(observed, "syscalls");
	if (process == PRIVSEP_MONITOR || process == PRIVSEP_WORKER)
		json_object_object_del(observed, "root");
#endif
	cr_expect_eq(privs_compare(observed, policy, exceeds, &err), 0, "%s: %s in %s",
		     privsep_row(process)->name, json_object_to_json_string(exceeds),
		     json_object_to_json_string(observed));
}

/* The worker loads its filter after its exec: it is there when it answers. */
static void await_worker(void)
{
	close(launcher_connect(&launcher));
	usleep(300000);
}

static struct process_ref monitor_ref(void)
{
	struct process_ref monitor = { .pid = launcher.monitor };

	cr_assert_eq(process_start_time(monitor.pid, &monitor.start_ticks, NULL), 0);
	return monitor;
}

Test(confinement, every_process_is_within_its_row)
{
	struct process_ref monitor = monitor_ref();
	struct error err = { 0 };

	await_worker();
	cr_assert_eq(qemu_root_empty(&monitor, launcher.uid_base + UID_QEMU, &err), 0, "%s",
		     err.text);
	expect_within(PRIVSEP_MONITOR, launcher.monitor);
	expect_within(PRIVSEP_WORKER, launcher_child(&launcher, "kata-proxy"));
	expect_within(PRIVSEP_QEMU, launcher_child(&launcher, "qemu"));
	expect_within(PRIVSEP_VIRTIOFSD, launcher_child(&launcher, "virtiofsd"));
}

static bool sees(pid_t pid, const char *path)
{
	char text[128];

	snprintf(text, sizeof(text), "/proc/%d/root%s", pid, path);
	return access(text, F_OK) == 0;
}

#ifndef __SANITIZE_ADDRESS__ /* of which the worker needs libraries */
Test(confinement, monitor_and_worker_see_a_socket_and_the_share)
{
	static const char *const hidden[] = { "/usr", "/lib64", "/etc", "/proc",
					      "/dev", "/sys",   "/run" };
	const pid_t pids[] = { launcher.monitor, launcher_child(&launcher, "kata-proxy") };

	await_worker();
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		cr_expect(sees(pids[i], "/share") && sees(pids[i], "/agent.sock"));
		for (size_t k = 0; k < ARRAY_SIZE(hidden); k++)
			cr_expect(!sees(pids[i], hidden[k]), "%s", hidden[k]);
	}
}
#endif

Test(confinement, qemu_loses_what_its_start_needed_and_nobody_else_does)
{
	struct process_ref monitor = monitor_ref();
	pid_t child, qemu = launcher_child(&launcher, "qemu");
	struct error err = { 0 };

	cr_expect(sees(qemu, "/usr/bin") && sees(qemu, "/proc/1"));
	cr_assert_eq(qemu_root_empty(&monitor, launcher.uid_base + UID_QEMU, &err), 0, "%s",
		     err.text);
	cr_expect(!sees(qemu, "/usr") && !sees(qemu, "/proc") && !sees(qemu, "/dev"));
	cr_expect(sees(getpid(), "/usr/bin"));
	/* Again it finds nothing to stand on, and says so; a process that is not there, too. */
	cr_expect_lt(qemu_root_empty(&monitor, launcher.uid_base + UID_QEMU, &err), 0);
	cr_expect_eq(qemu_root_empty(&monitor, 12, &err), -ESRCH);
	/* Whoever has not left our mounts is not touched. */
	monitor.pid = getpid();
	cr_assert_eq(process_start_time(monitor.pid, &monitor.start_ticks, NULL), 0);
	child = fork();
	if (child == 0)
		for (;;)
			pause();
	cr_expect_eq(qemu_root_empty(&monitor, getuid(), &err), -EPERM, "%s", err.text);
	kill(child, SIGKILL);
	cr_expect(sees(getpid(), "/usr/bin"));
}

/* What the comparison is worth: this very process is within none of them. */
Test(confinement, a_process_that_is_not_confined_is_told_from_one_that_is)
{
	CLEANUP(json_freep) struct json_object *observed = NULL;
	CLEANUP(json_freep) struct json_object *policy = privs_policy(PRIVSEP_WORKER);
	CLEANUP(json_freep) struct json_object *exceeds = json_object_new_array();
	struct error err = { 0 };
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	cr_assert_eq(privs_observe(pid, launcher.uid_base, &observed, &err), 0, "%s", err.text);
	kill(pid, SIGKILL);
	cr_expect_gt(privs_compare(observed, policy, exceeds, &err), 40, "%s",
		     json_object_to_json_string(exceeds));
}
