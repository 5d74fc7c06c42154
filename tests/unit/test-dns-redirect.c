/* kata-agent/dns-redirect.c: the programs, run by hand. */
#include "kata-agent/dns-redirect.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

/* Runs the few instructions there are; what it does not know fails the test. */
static uint64_t run(const struct bpf_insn *code, size_t count, struct bpf_sock_addr *context)
{
	uint64_t registers[11] = { 0 };

	for (size_t pc = 0; pc < count; pc++) {
		const struct bpf_insn *i = &code[pc];
		uint32_t word;

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			cr_assert(i->src_reg == BPF_REG_1);
			memcpy(&word, (uint8_t *)context + i->off, sizeof(word));
			registers[i->dst_reg] = word;
			break;
		case BPF_STX | BPF_MEM | BPF_W:
			cr_assert(i->dst_reg == BPF_REG_1);
			word = (uint32_t)registers[i->src_reg];
			memcpy((uint8_t *)context + i->off, &word, sizeof(word));
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			if (registers[i->dst_reg] != (uint64_t)(int64_t)i->imm)
				pc += (size_t)i->off;
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			registers[i->dst_reg] = (uint64_t)(int64_t)i->imm;
			break;
		case BPF_JMP | BPF_EXIT:
			return registers[0];
		default:
			cr_assert_fail("an unknown instruction %02x", i->code);
		}
	}
	cr_assert_fail("no end");
	return 0;
}

Test(dns_redirect, only_that_port_of_that_address)
{
	static const struct {
		const char *address;
		uint16_t port, result;
	} cases[] = {
		{ "127.0.0.11", 53, 40000 },    { "127.0.0.11", 54, 54 },
		{ "127.0.0.11", 40000, 40000 }, { "127.0.0.1", 53, 53 },
		{ "127.0.0.12", 53, 53 },       { "8.8.8.8", 53, 53 },
		{ "11.0.0.127", 53, 53 },
	};
	struct bpf_insn code[DNS_CODE_MAX];
	size_t n = dns_redirect_make(53, 40000, code);

	cr_assert(n <= DNS_CODE_MAX);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bpf_sock_addr context = { .user_ip4 = inet_addr(cases[i].address),
						 .user_port = htons(cases[i].port) };

		cr_expect(run(code, n, &context) == 1);
		cr_expect(context.user_port == htons(cases[i].result), "%zu", i);
		cr_expect(context.user_ip4 == inet_addr(cases[i].address));
	}
}
