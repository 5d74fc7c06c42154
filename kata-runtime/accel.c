/*
 * The choice between KVM and TCG: see accel.h. kata-runtime calls it before it starts a VM and for
 * "check". The probe guest runs in a forked child that is killed at its deadline, because a broken
 * KVM_RUN may never return; child and parent share nothing but a pipe with one struct probe_report.
 */
#include "kata-runtime/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/error.h"
#include "common/str.h"
#include "kata-runtime/accel-code.h"

#define KVM_DEVICE "/dev/kvm"

/* Milliseconds: the guest has the first, its process the second, dying of SIGKILL the third. */
enum { GUEST_MS = 200, CHILD_MS = 1000, KILL_MS = 1000 };

/* What the child tells its parent: bytes of a child that touched a broken KVM, so checked. */
struct probe_report {
	int32_t failed;   /* errno of the call named by call, 0 */
	uint32_t call;    /* index into probe_calls */
	uint32_t step;    /* enum accel_step */
	uint32_t exit;    /* KVM's exit reason that ended the run */
	uint64_t left;    /* turns of the loop not yet done */
	int64_t guest_us; /* time under KVM_RUN */
};

enum probe_call {
	CALL_NONE,
	CALL_OPEN,
	CALL_VERSION,
	CALL_VM,
	CALL_MEMORY,
	CALL_VCPU,
	CALL_REGISTERS,
	CALL_RUN
};

static const char *const probe_calls[] = {
	[CALL_NONE] = "nothing",
	[CALL_OPEN] = "opening it",
	[CALL_VERSION] = "its API version",
	[CALL_VM] = "making a VM",
	[CALL_MEMORY] = "giving the VM memory",
	[CALL_VCPU] = "making a CPU",
	[CALL_REGISTERS] = "setting the CPU's registers",
	[CALL_RUN] = "running the CPU",
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

const char *accel_name(enum accel accel)
{
	return accel == ACCEL_KVM ? "kvm" : "tcg";
}

/* Whether word stands alone in the line. */
static bool line_has_word(const char *line, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= len; i++) {
		bool starts =
			i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t' || line[i - 1] == ':';
		bool ends = i + n == len || line[i + n] == ' ' || line[i + n] == '\t';

		if (starts && ends && memcmp(line + i, word, n) == 0)
			return true;
	}
	return false;
}

bool accel_cpuinfo_has_virtualization(const char *text, size_t len)
{
	static const char key[] = "flags";

	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t line = newline != NULL ? (size_t)(newline - text) : len;
		size_t after = sizeof(key) - 1;

		/* "flags\t\t: ..."; there is a line "vmx flags" too, which lists no CPU flag. */
		if (line > after && memcmp(text, key, after) == 0 &&
		    (text[after] == ' ' || text[after] == '\t' || text[after] == ':') &&
		    (line_has_word(text, line, "vmx") || line_has_word(text, line, "svm")))
			return true;
		if (newline == NULL)
			break;
		text += line + 1;
		len -= line + 1;
	}
	return false;
}

/* Opens the device and asks its version: a descriptor, or -1 with the report filled. */
static int kvm_open(const char *path, struct probe_report *report)
{
	CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int version;

	if (fd < 0) {
		report->failed = errno;
		report->call = CALL_OPEN;
		return -1;
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		report->failed = version < 0 ? errno : ENOTSUP;
		report->call = CALL_VERSION;
		return -1;
	}
	return steal_fd(&fd);
}

#if defined(__x86_64__)

/* The probe guest's memory: one 2 MiB page, mapped at its own address. */
enum {
	GUEST_MEMORY = 0x200000,
	GUEST_CODE = 0x1000,
	GUEST_PML4 = 0x2000,
	GUEST_PDPT = 0x3000,
	GUEST_PD = 0x4000,
	GUEST_GDT = 0x5000,
	GUEST_IDT = 0x6000,
	GUEST_STACK = 0x8000, /* grows down */
};

enum { PAGE_TABLE = 0x3 /* present, writable */, PAGE_LARGE = 0x83 };
enum { SELECTOR_CODE = 8, SELECTOR_DATA = 16, VECTOR_INT3 = 3 };
enum { CPUID_ENTRIES_MAX = 256 };

/* For the signal handler only: tells KVM_RUN to return, also when it is not yet in it. */
static struct kvm_run *volatile running;

static void on_alarm(int signal_number)
{
	(void)signal_number;
	if (running != NULL)
		running->immediate_exit = 1;
}

static void put_u64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void guest_load(uint8_t *memory)
{
	uint64_t handler = GUEST_CODE + ACCEL_HANDLER_OFFSET;

	memcpy(memory + GUEST_CODE, accel_code, sizeof(accel_code));
	put_u64(memory + GUEST_PML4, GUEST_PDPT | PAGE_TABLE);
	put_u64(memory + GUEST_PDPT, GUEST_PD | PAGE_TABLE);
	put_u64(memory + GUEST_PD, PAGE_LARGE);
	put_u64(memory + GUEST_GDT + SELECTOR_CODE, 0x00209b0000000000); /* 64-bit code, present */
	put_u64(memory + GUEST_GDT + SELECTOR_DATA, 0x0000930000000000); /* data, writable */
	/* A 64-bit interrupt gate; the handler lies below 64 KiB, so the upper parts are zero. */
	put_u64(memory + GUEST_IDT + 16 * VECTOR_INT3,
		handler | (uint64_t)SELECTOR_CODE << 16 | (uint64_t)0x8e00 << 32);
}

static int guest_set_registers(int vcpu)
{
	struct kvm_segment code = { .limit = 0xffffffff,
				    .selector = SELECTOR_CODE,
				    .type = 11,
				    .present = 1,
				    .s = 1,
				    .l = 1,
				    .g = 1 };
	struct kvm_segment data = { .limit = 0xffffffff,
				    .selector = SELECTOR_DATA,
				    .type = 3,
				    .present = 1,
				    .s = 1,
				    .db = 1,
				    .g = 1 };
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = 2, .rsp = GUEST_STACK };
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt.base = GUEST_GDT;
	sregs.gdt.limit = 3 * 8 - 1;
	sregs.idt.base = GUEST_IDT;
	sregs.idt.limit = 16 * (VECTOR_INT3 + 1) - 1;
	sregs.cr3 = GUEST_PML4;
	sregs.cr4 = 0x20;       /* PAE */
	sregs.cr0 = 0x80010033; /* PG WP NE ET MP PE */
	sregs.efer = 0x500;     /* LMA LME */
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0)
		return -1;
	return ioctl(vcpu, KVM_SET_REGS, &regs);
}

/* Gives the CPU all features KVM supports: without the one bit, long mode is refused. */
static int guest_set_cpuid(int kvm, int vcpu)
{
	size_t size =
		sizeof(struct kvm_cpuid2) + CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2);
	CLEANUP(freep) struct kvm_cpuid2 *cpuid = calloc(1, size);

	if (cpuid == NULL)
		return -1;
	cpuid->nent = CPUID_ENTRIES_MAX;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return -1;
	return ioctl(vcpu, KVM_SET_CPUID2, cpuid);
}

/* Makes the VM with one CPU: its descriptor and its shared page, or -1 with the report filled. */
static int guest_make(int kvm, struct kvm_run **ret_run, struct probe_report *report)
{
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_MEMORY };
	uint8_t *memory;
	int vm, vcpu, size;

	report->call = CALL_VM;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return -1;
	report->call = CALL_MEMORY;
	memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		return -1;
	guest_load(memory);
	region.userspace_addr = (uintptr_t)memory;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -1;
	/* Old Intel CPUs need a place for this before the first run; others do not mind. */
	if (ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) < 0)
		return -1;
	report->call = CALL_VCPU;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || size < (int)sizeof(struct kvm_run))
		return -1;
	*ret_run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (*ret_run == MAP_FAILED)
		return -1;
	report->call = CALL_REGISTERS;
	if (guest_set_cpuid(kvm, vcpu) < 0 || guest_set_registers(vcpu) < 0)
		return -1;
	report->call = CALL_NONE;
	return vcpu;
}

/* The step the guest tells at its port; anything else ends the run. */
static bool guest_step(const struct kvm_run *run, struct probe_report *report)
{
	uint8_t step;

	if (run->exit_reason != KVM_EXIT_IO || run->io.port != ACCEL_PORT ||
	    run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 1 || run->io.count != 1)
		return false;
	memcpy(&step, (const uint8_t *)run + run->io.data_offset, 1);
	if (step != report->step + 1)
		return false;
	report->step = step;
	return true;
}

/* Runs the guest until it halts or its time is over. */
static void guest_run(int vcpu, struct kvm_run *run, struct probe_report *report)
{
	struct itimerval timer = { .it_value.tv_usec = GUEST_MS * 1000 };
	struct sigaction action = { .sa_handler = on_alarm };
	int64_t start = now_us();
	struct kvm_regs regs;
	sigset_t set;

	running = run;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaction(SIGALRM, &action, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	do {
		if (ioctl(vcpu, KVM_RUN, 0) < 0) {
			report->failed = errno;
			report->call = CALL_RUN;
			break;
		}
		report->exit = run->exit_reason;
	} while (guest_step(run, report));
	report->guest_us = now_us() - start;
	if (report->step < ACCEL_STEP_LOOP && ioctl(vcpu, KVM_GET_REGS, &regs) == 0)
		report->left = regs.rcx;
}

static void guest_probe(const char *path, struct probe_report *report)
{
	struct kvm_run *run = NULL;
	int kvm, vcpu;

	kvm = kvm_open(path, report);
	if (kvm < 0)
		return;
	vcpu = guest_make(kvm, &run, report);
	if (vcpu < 0)
		report->failed = errno;
	else
		guest_run(vcpu, run, report);
}

#endif

/* Says in words what the report of a probe that ran to its end means. */
static void judge(const char *path, const struct probe_report *report, struct accel_probe *ret)
{
	long long us = report->guest_us;
	const char *call = report->call < ARRAY_SIZE(probe_calls) ? probe_calls[report->call] : "?";

	if (report->failed == EINTR && report->call == CALL_RUN)
		snprintf(ret->reason, sizeof(ret->reason),
			 "a guest on %s did not end in %d ms: step %u of %d, %llu of %d turns left",
			 path, GUEST_MS, report->step, ACCEL_STEP_RETURN,
			 (unsigned long long)report->left, ACCEL_LOOPS);
	else if (report->failed != 0)
		snprintf(ret->reason, sizeof(ret->reason), "%s: %s: %s", path, call,
			 error_reason(report->failed));
	else if (report->step != ACCEL_STEP_RETURN || report->exit != KVM_EXIT_HLT)
		snprintf(ret->reason, sizeof(ret->reason),
			 "a guest on %s stopped with KVM exit reason %u at step %u of %d after "
			 "%lld us",
			 path, report->exit, report->step, ACCEL_STEP_RETURN, us);
	else if (us > GUEST_MS * 1000)
		snprintf(ret->reason, sizeof(ret->reason),
			 "a guest on %s took %lld us for %d turns, more than %d ms", path, us,
			 ACCEL_LOOPS, GUEST_MS);
	else
		ret->usable = true;
	if (ret->usable)
		snprintf(ret->reason, sizeof(ret->reason), "a guest on %s did %d turns in %lld us",
			 path, ACCEL_LOOPS, us);
}

#if defined(__x86_64__)

/* Waits at most ms for the child's end and reaps it; false when it still runs. */
static bool reap(pid_t pid, int pidfd, int ms)
{
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };
	int64_t deadline = deadline_in_ms(ms);
	int n;

	do
		n = poll(&wait, 1, deadline_left_ms(deadline));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		waitpid(pid, NULL, WNOHANG);
	return n > 0;
}

/* The child's end of the pipe is in fd: false when it could not be started or had to be killed. */
static bool probe_child(const char *path, int fd, const char **ret_why)
{
	CLEANUP(fd_close) int pidfd = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct probe_report report = { 0 };
		ssize_t n;

		guest_probe(path, &report);
		n = write(fd, &report, sizeof(report));
		_exit(n == sizeof(report) ? 0 : 1);
	}
	*ret_why = "its process could not be started";
	if (pid < 0)
		return false;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 && errno == ESRCH)
		return true; /* SIGCHLD is ignored and it has ended: its report is in the pipe */
	if (pidfd < 0) {
		kill(pid, SIGKILL); /* ours and not yet reaped: the number is still its own */
		waitpid(pid, NULL, WNOHANG);
		return false;
	}
	if (reap(pid, pidfd, CHILD_MS))
		return true;
	*ret_why = "it hung and was killed";
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	if (!reap(pid, pidfd, KILL_MS))
		*ret_why = "it hangs and cannot be killed";
	return false;
}

static void probe(const char *path, struct accel_probe *ret)
{
	CLEANUP(fd_close) int from = -1;
	CLEANUP(fd_close) int to = -1;
	struct probe_report report;
	const char *why = "it was cut short";
	int ends[2];
	bool ended;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		snprintf(ret->reason, sizeof(ret->reason), "the probe of %s has no pipe: %s", path,
			 error_reason(errno));
		return;
	}
	from = ends[0];
	to = ends[1];
	ended = probe_child(path, to, &why);
	if (ended && read(from, &report, sizeof(report)) == sizeof(report))
		judge(path, &report, ret);
	else
		snprintf(ret->reason, sizeof(ret->reason), "the probe of %s failed: %s", path,
			 ended ? "it died" : why);
}

#else

static void probe(const char *path, struct accel_probe *ret)
{
	struct probe_report report = { .step = ACCEL_STEP_RETURN, .exit = KVM_EXIT_HLT };
	CLEANUP(fd_close) int kvm = kvm_open(path, &report);

	if (kvm < 0) {
		judge(path, &report, ret);
		return;
	}
	ret->usable = true;
	snprintf(ret->reason, sizeof(ret->reason), "%s opens and speaks version %d", path,
		 KVM_API_VERSION);
}

#endif

void accel_probe(const char *path, struct accel_probe *ret)
{
	int64_t start = now_us();

	*ret = (struct accel_probe){ 0 };
	probe(path, ret);
	ret->took_us = now_us() - start;
}

/* Whether the CPU itself can run guests; only the first processor of /proc/cpuinfo is read. */
static bool cpu_has_virtualization(void)
{
#if defined(__x86_64__)
	CLEANUP(fd_close) int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	char text[16384];
	size_t used = 0;
	ssize_t n = 0;

	while (fd >= 0 && used < sizeof(text)) {
		n = read(fd, text + used, sizeof(text) - used);
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	return accel_cpuinfo_has_virtualization(text, used);
#else
	return true; /* shown by /dev/kvm alone */
#endif
}

static void choose_auto(struct accel_result *ret)
{
	struct accel_probe found;

	ret->accel = ACCEL_TCG;
	ret->fallback = true;
	if (!cpu_has_virtualization()) {
		snprintf(ret->reason, sizeof(ret->reason),
			 "no usable KVM: the CPU shows neither vmx nor svm in /proc/cpuinfo");
		return;
	}
	accel_probe(KVM_DEVICE, &found);
	if (found.usable) {
		ret->accel = ACCEL_KVM;
		ret->fallback = false;
	}
	snprintf(ret->reason, sizeof(ret->reason), "%s: %.*s",
		 found.usable ? "KVM is usable" : "no usable KVM", ACCEL_REASON_MAX - 32,
		 found.reason);
}

static int choose_kvm(struct accel_result *ret, struct error *err)
{
	struct probe_report report = { 0 };
	CLEANUP(fd_close) int kvm = kvm_open(KVM_DEVICE, &report);

	if (kvm < 0)
		return error_say(err, ENOTSUP, "accelerator \"kvm\": " KVM_DEVICE ": %s: %s",
				 probe_calls[report.call], error_reason(report.failed));
	ret->accel = ACCEL_KVM;
	snprintf(ret->reason, sizeof(ret->reason), "the configuration says \"kvm\"");
	return 0;
}

int accel_choose(const char *wanted, struct accel_result *ret, struct error *err)
{
	struct accel_result result = { .accel = ACCEL_TCG };
	int64_t start = now_us();
	int r = 0;

	if (str_eq(wanted, "auto"))
		choose_auto(&result);
	else if (str_eq(wanted, "kvm"))
		r = choose_kvm(&result, err);
	else if (str_eq(wanted, "tcg"))
		snprintf(result.reason, sizeof(result.reason), "the configuration says \"tcg\"");
	else
		r = error_say(err, EINVAL,
			      "accelerator \"%.32s\": expected \"auto\", \"kvm\" or \"tcg\"",
			      wanted);
	if (r < 0)
		return r;
	result.took_us = now_us() - start;
	*ret = result;
	return 0;
}
