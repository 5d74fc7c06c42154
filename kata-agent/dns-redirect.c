/*
 * The redirection of docker's name server: see dns-redirect.h. Called by dns.c. By programs on the
 * cgroup, since they need no module and no netfilter, and hide nothing from the container's own.
 */
#include "kata-agent/dns-redirect.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/ebpf.h"

size_t dns_redirect_make(uint16_t from, uint16_t to, struct bpf_insn ret[DNS_CODE_MAX])
{
	enum { CONTEXT = BPF_REG_1, VALUE = BPF_REG_2 };
	const int address = offsetof(struct bpf_sock_addr, user_ip4);
	const int port = offsetof(struct bpf_sock_addr, user_port);
	size_t n = 0;

	/* The context has both in network byte order. */
	ret[n++] = EBPF_INSN(BPF_LDX | BPF_MEM | BPF_W, VALUE, CONTEXT, address, 0);
	ret[n++] = EBPF_INSN(BPF_JMP | BPF_JNE | BPF_K, VALUE, 0, 4, inet_addr(DNS_ADDRESS));
	ret[n++] = EBPF_INSN(BPF_LDX | BPF_MEM | BPF_W, VALUE, CONTEXT, port, 0);
	ret[n++] = EBPF_INSN(BPF_JMP | BPF_JNE | BPF_K, VALUE, 0, 2, htons(from));
	ret[n++] = EBPF_INSN(BPF_ALU64 | BPF_MOV | BPF_K, VALUE, 0, 0, htons(to));
	ret[n++] = EBPF_INSN(BPF_STX | BPF_MEM | BPF_W, CONTEXT, VALUE, port, 0);
	ret[n++] = EBPF_INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1); /* go on */
	ret[n++] = EBPF_INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return n;
}

int dns_redirect_attach(int cgroup, uint16_t port, struct error *err)
{
	static const struct {
		enum bpf_attach_type type;
		bool back;
	} hooks[] = { { BPF_CGROUP_INET4_CONNECT, false },
		      { BPF_CGROUP_UDP4_SENDMSG, false },
		      { BPF_CGROUP_UDP4_RECVMSG, true },
		      { BPF_CGROUP_INET4_GETPEERNAME, true } };
	struct bpf_insn code[DNS_CODE_MAX];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(hooks) && r == 0; i++) {
		size_t n = hooks[i].back ? dns_redirect_make(port, DNS_PORT, code)
					 : dns_redirect_make(DNS_PORT, port, code);

		r = ebpf_attach(cgroup, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, hooks[i].type, code, n,
				"the way to the name server", err);
	}
	return r;
}
