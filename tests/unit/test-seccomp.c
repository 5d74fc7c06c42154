/* kata-runtime/seccomp.c: compiled profiles, run by a small interpreter of classic BPF. */
#include "kata-runtime/seccomp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json.h"
#include "tests/unit/srcdir.h"

enum { X32 = 0x40000000 };

#define ALLOW SECCOMP_RET_ALLOW
#define ERR(number) (SECCOMP_RET_ERRNO | (number))

/* What libseccomp and the stub are made of; anything else ends the test. */
static uint32_t run(const struct buf *program, const struct seccomp_data *data)
{
	const struct sock_filter *code = (const void *)buf_at(program);
	size_t count = buf_len(program) / sizeof(*code);
	uint32_t a = 0;

	for (size_t pc = 0; pc < count; pc++) {
		const struct sock_filter *i = &code[pc];
		bool jump = false;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			cr_assert(i->k <= sizeof(*data) - 4 && i->k % 4 == 0);
			memcpy(&a, (const char *)data + i->k, 4);
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			jump = a == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			jump = a > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			jump = a >= i->k;
			break;
		default:
			cr_assert(false, "instruction 0x%x at %zu", i->code, pc);
		}
		pc += jump ? i->jt : i->jf;
	}
	cr_assert(false, "the program has no end");
	return 0;
}

static uint32_t ask(const struct buf *program, uint32_t arch, int number, uint64_t arg0,
		    uint64_t arg1)
{
	struct seccomp_data data = { .nr = number, .arch = arch, .args = { arg0, arg1 } };

	return run(program, &data);
}

/* The program of linux.seccomp; false when parsing or compiling fails. */
static bool compile(const char *seccomp, struct buf *ret, struct error *err)
{
	CLEANUP(spec_freep) struct spec *spec = NULL;
	CLEANUP(freep) char *text = NULL;
	int n = asprintf(&text,
			 "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"},"
			 "\"root\":{\"path\":\"r\"},\"linux\":{\"seccomp\":%s}}",
			 seccomp);

	cr_assert(n > 0);
	if (spec_parse("c", "/b", text, (size_t)n, &spec, err) < 0)
		return false;
	return seccomp_compile(&spec->seccomp, ret, err) == 0;
}

static void docker_program(struct buf *ret)
{
	const char *path = TEST_SRCDIR "/tests/unit/samples/docker-plain.json";
	CLEANUP(spec_freep) struct spec *spec = NULL;
	CLEANUP(freep) char *text = NULL;
	struct error err = { 0 };
	size_t len;

	cr_assert(json_read_file(path, &text, &len, &err) == 0, "%s", err.text);
	cr_assert(spec_parse(path, "/b", text, len, &spec, &err) == 0, "%s", err.text);
	cr_assert(seccomp_compile(&spec->seccomp, ret, &err) == 0, "%s", err.text);
	cr_expect(spec->seccomp.flags == SECCOMP_FILTER_FLAG_SPEC_ALLOW);
}

Test(seccomp, docker_default_profile)
{
	static const struct {
		uint32_t arch;
		int number;
		uint64_t arg0;
		uint32_t wanted;
	} cases[] = {
		{ AUDIT_ARCH_X86_64, SYS_read, 0, ALLOW },
		{ AUDIT_ARCH_X86_64, SYS_execve, 0, ALLOW },
		{ AUDIT_ARCH_X86_64, SYS_mount, 0, ERR(EPERM) },
		{ AUDIT_ARCH_X86_64, SYS_unshare, 0, ERR(EPERM) },
		{ AUDIT_ARCH_X86_64, SYS_bpf, 0, ERR(EPERM) },
		{ AUDIT_ARCH_X86_64, SYS_clone, 0, ALLOW },
		{ AUDIT_ARCH_X86_64, SYS_clone, 0x10000000, ERR(EPERM) }, /* CLONE_NEWUSER */
		{ AUDIT_ARCH_X86_64, SYS_clone3, 0, ERR(ENOSYS) },
		{ AUDIT_ARCH_X86_64, SYS_personality, 0, ALLOW },
		{ AUDIT_ARCH_X86_64, SYS_personality, 1, ERR(EPERM) },
		{ AUDIT_ARCH_X86_64, SYS_personality, 0xffffffff, ALLOW },
		{ AUDIT_ARCH_X86_64, 900, 0, ERR(ENOSYS) },
		{ AUDIT_ARCH_X86_64, -1, 0, ERR(ENOSYS) },
		{ AUDIT_ARCH_X86_64, X32 | SYS_write, 0, ALLOW },
		{ AUDIT_ARCH_X86_64, X32 | SYS_mount, 0, ERR(EPERM) },
		{ AUDIT_ARCH_X86_64, X32 | 5000, 0, ERR(ENOSYS) },
		{ AUDIT_ARCH_I386, 4, 0, ALLOW },       /* write */
		{ AUDIT_ARCH_I386, 21, 0, ERR(EPERM) }, /* mount */
		{ AUDIT_ARCH_I386, 900, 0, ERR(ENOSYS) },
		{ AUDIT_ARCH_AARCH64, 63, 0, SECCOMP_RET_KILL_THREAD },
	};
	CLEANUP(buf_fini) struct buf program = { 0 };

	docker_program(&program);
	cr_expect(buf_len(&program) > 0 && buf_len(&program) <= SECCOMP_PROGRAM_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t is = ask(&program, cases[i].arch, cases[i].number, cases[i].arg0, 0);

		cr_expect(is == cases[i].wanted, "case %zu: call %d gives 0x%x", i, cases[i].number,
			  is);
	}
}

#define RULE(name, args) \
	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"" name "\"]," \
	"\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":7,\"args\":[" args "]}]}"
#define CONDITION(index, op, value, two) \
	"{\"index\":" #index ",\"op\":\"SCMP_CMP_" op "\",\"value\":" #value ",\"valueTwo\":" #two \
	"}"

Test(seccomp, conditions)
{
	static const struct {
		const char *profile;
		uint64_t arg0, arg1;
		bool holds;
	} cases[] = {
		{ RULE("read", ""), 1, 2, true },
		{ RULE("read", CONDITION(0, "EQ", 5, 0)), 5, 0, true },
		{ RULE("read", CONDITION(0, "EQ", 5, 0)), 6, 0, false },
		{ RULE("read", CONDITION(0, "NE", 5, 0)), 5, 0, false },
		{ RULE("read", CONDITION(0, "NE", 5, 0)), 6, 0, true },
		{ RULE("read", CONDITION(0, "LT", 5, 0)), 4, 0, true },
		{ RULE("read", CONDITION(0, "LT", 5, 0)), 5, 0, false },
		{ RULE("read", CONDITION(0, "LE", 5, 0)), 5, 0, true },
		{ RULE("read", CONDITION(0, "LE", 5, 0)), 6, 0, false },
		{ RULE("read", CONDITION(0, "GT", 5, 0)), 6, 0, true },
		{ RULE("read", CONDITION(0, "GT", 5, 0)), 5, 0, false },
		{ RULE("read", CONDITION(0, "GE", 5, 0)), 5, 0, true },
		{ RULE("read", CONDITION(0, "GE", 5, 0)), 4, 0, false },
		{ RULE("read", CONDITION(0, "GT", 4294967296, 0)), 4294967297, 0, true },
		{ RULE("read", CONDITION(0, "GT", 4294967296, 0)), 9, 0, false },
		{ RULE("read", CONDITION(0, "MASKED_EQ", 240, 32)), 0x2f, 0, true },
		{ RULE("read", CONDITION(0, "MASKED_EQ", 240, 32)), 0x1f, 0, false },
		/* on different arguments: all; on one argument: any */
		{ RULE("read", CONDITION(0, "EQ", 1, 0) "," CONDITION(1, "EQ", 2, 0)), 1, 2, true },
		{ RULE("read", CONDITION(0, "EQ", 1, 0) "," CONDITION(1, "EQ", 2, 0)), 1, 3,
		  false },
		{ RULE("read", CONDITION(0, "EQ", 1, 0) "," CONDITION(0, "EQ", 2, 0)), 2, 0, true },
		{ RULE("read", CONDITION(0, "EQ", 1, 0) "," CONDITION(0, "EQ", 2, 0)), 3, 0,
		  false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(buf_fini) struct buf program = { 0 };
		struct error err = { 0 };
		uint32_t is;

		cr_assert(compile(cases[i].profile, &program, &err), "case %zu: %s", i, err.text);
		is = ask(&program, AUDIT_ARCH_X86_64, SYS_read, cases[i].arg0, cases[i].arg1);
		cr_expect(is == (cases[i].holds ? ERR(7) : ALLOW), "case %zu gives 0x%x", i, is);
	}
}

#define DEFAULT(action, more) "{\"defaultAction\":\"SCMP_ACT_" action "\"" more "}"
#define READ ",\"syscalls\":[{\"names\":[\"nosuchcall\",\"read\"],\"action\":\"SCMP_ACT_LOG\"}]"

Test(seccomp, actions_and_calls_newer_than_the_profile)
{
	static const struct {
		const char *profile;
		int number;
		uint32_t wanted;
	} cases[] = {
		{ DEFAULT("KILL", READ), SYS_read, SECCOMP_RET_LOG },
		{ DEFAULT("KILL", READ), SYS_write, ERR(ENOSYS) }, /* above read, so "newer" */
		{ DEFAULT("KILL", ""), SYS_write, SECCOMP_RET_KILL_THREAD },
		{ DEFAULT("KILL_PROCESS", ""), SYS_write, SECCOMP_RET_KILL_PROCESS },
		{ DEFAULT("TRAP", ""), SYS_write, SECCOMP_RET_TRAP },
		{ DEFAULT("TRACE", ",\"defaultErrnoRet\":9"), SYS_write, SECCOMP_RET_TRACE | 9 },
		{ DEFAULT("TRACE", READ), 900, SECCOMP_RET_TRACE | EPERM },
		{ DEFAULT("ALLOW", READ), 900, ALLOW },
		{ DEFAULT("LOG", ",\"syscalls\":[]"), 900, SECCOMP_RET_LOG },
		{ DEFAULT("ERRNO", ",\"defaultErrnoRet\":38" READ), 900, ERR(ENOSYS) },
		{ DEFAULT("ERRNO", ",\"defaultErrnoRet\":22"), SYS_write, ERR(EINVAL) },
		/* a rule that says what holds anyway */
		{ DEFAULT("LOG", READ), SYS_read, SECCOMP_RET_LOG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(buf_fini) struct buf program = { 0 };
		struct error err = { 0 };
		uint32_t is;

		cr_assert(compile(cases[i].profile, &program, &err), "case %zu: %s", i, err.text);
		is = ask(&program, AUDIT_ARCH_X86_64, cases[i].number, 0, 0);
		cr_expect(is == cases[i].wanted, "case %zu gives 0x%x", i, is);
	}
}

Test(seccomp, none_and_what_is_refused)
{
	static const struct {
		const char *profile, *text;
	} cases[] = {
		{ "{\"syscalls\":[],\"flags\":[]}",
		  "c: linux.seccomp.defaultAction: expected the name of an action" },
		{ DEFAULT("NOTIFY", ""),
		  "c: linux.seccomp.defaultAction: seccomp notification is not supported" },
		{ DEFAULT("ALLOW", ",\"flags\":[\"SECCOMP_FILTER_FLAG_X\"]"),
		  "c: linux.seccomp.flags[0]: expected the name of a filter flag that can be set "
		  "here" },
		{ DEFAULT("ALLOW", ",\"architectures\":[\"SCMP_ARCH_X\"]"),
		  "c: linux.seccomp.architectures[0]: expected the name of an architecture" },
		{ DEFAULT("ALLOW", ",\"architectures\":[\"SCMP_ARCH_S390X\"]"),
		  "linux.seccomp: an architecture that this machine does not have" },
		{ RULE("read", CONDITION(6, "EQ", 1, 0)),
		  "c: linux.seccomp.syscalls[0].args[0].index: 6 is over 5" },
		{ RULE("read", CONDITION(0, "IS", 1, 0)),
		  "c: linux.seccomp.syscalls[0].args[0].op: expected the name of a comparison" },
		{ DEFAULT("ALLOW", ",\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_LOG\"}]"),
		  "c: linux.seccomp.syscalls[0].names: expected a list with a system call at "
		  "least" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(buf_fini) struct buf program = { 0 };
		struct error err = { 0 };

		cr_expect(!compile(cases[i].profile, &program, &err), "case %zu", i);
		cr_expect(str_starts(err.text, cases[i].text), "case %zu: %s", i, err.text);
	}
	for (size_t i = 0; i < 2; i++) {
		CLEANUP(buf_fini) struct buf program = { 0 };
		struct error err = { 0 };

		cr_expect(compile(i == 0 ? "null" : "{}", &program, &err));
		cr_expect(buf_len(&program) == 0);
	}
}

/* The kernel takes what the interpreter took. */
Test(seccomp, the_kernel_loads_it)
{
	CLEANUP(buf_fini) struct buf program = { 0 };
	int status;
	pid_t pid;

	docker_program(&program);
	pid = fork();
	if (pid == 0) {
		struct sock_fprog filter = {
			.len = (unsigned short)(buf_len(&program) / sizeof(struct sock_filter)),
			.filter = (struct sock_filter *)(void *)buf_at(&program)
		};

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
			_exit(1);
		_exit(syscall(SYS_unshare, 0) == -1 && errno == EPERM &&
				      syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS
			      ? 0
			      : 2);
	}
	cr_assert(waitpid(pid, &status, 0) == pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
}
