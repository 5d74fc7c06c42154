/*
 * The host's own packets: see network-host.h. Called by the network's child process of kata-runtime
 * and by netmon before it drops its rights; the kernel runs it for each frame.
 *
 * Fragments and packets with IPv6 extension headers are the guest's: whose they are cannot be told.
 */
#include "kata-runtime/network-host.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdint.h>

#include "common/ebpf.h"
#include "common/log.h"

/* On the stack, from its end: the IP header as it came, and whom it is from and to. */
enum { HEADER = -40, TUPLE = -80 };

/* What outlives a call. */
enum { CONTEXT = BPF_REG_6, SIZE = BPF_REG_7, PORTS = BPF_REG_8, PROTOCOL = BPF_REG_9 };

enum { PORTS_LEN = 4, OUT_MAX = 16 };

/* A program that is written, and its jumps to "not the host's", which stands at the end. */
struct code {
	struct bpf_insn *insns;
	size_t n;
	size_t outs[OUT_MAX], n_outs;
};

static void emit(struct code *c, unsigned code, unsigned dst, unsigned src, int off, int imm)
{
	c->insns[c->n++] = EBPF_INSN((uint8_t)code, dst & 0xf, src & 0xf, off, imm);
}

static void move(struct code *c, unsigned dst, unsigned src)
{
	emit(c, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void set(struct code *c, unsigned dst, int value)
{
	emit(c, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value);
}

static void load(struct code *c, unsigned size, unsigned dst, unsigned src, int off)
{
	emit(c, BPF_LDX | BPF_MEM | size, dst, src, off, 0);
}

static void out_if(struct code *c, unsigned condition, unsigned reg, int value)
{
	c->outs[c->n_outs++] = c->n;
	emit(c, BPF_JMP | condition | BPF_K, reg, 0, 0, value);
}

static void call(struct code *c, int function)
{
	emit(c, BPF_JMP | BPF_CALL, 0, 0, 0, function);
}

/* A jump whose target is the next instruction once land() is called. */
static size_t jump_if(struct code *c, unsigned condition, unsigned reg, int value)
{
	emit(c, BPF_JMP | condition | BPF_K, reg, 0, 0, value);
	return c->n - 1;
}

static void land(struct code *c, size_t jump)
{
	c->insns[jump].off = (int16_t)(c->n - jump - 1);
}

/* len bytes of the packet to the stack, or out; the offset is a number, or a register's. */
static void fetch(struct code *c, int offset, int reg, int to, int len)
{
	move(c, BPF_REG_1, CONTEXT);
	if (reg >= 0)
		move(c, BPF_REG_2, (unsigned)reg);
	else
		set(c, BPF_REG_2, offset);
	move(c, BPF_REG_3, BPF_REG_10);
	emit(c, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, to);
	set(c, BPF_REG_4, len);
	call(c, BPF_FUNC_skb_load_bytes);
	out_if(c, BPF_JNE, BPF_REG_0, 0);
}

static void copy(struct code *c, unsigned size, int from, int to)
{
	load(c, size, BPF_REG_1, BPF_REG_10, HEADER + from);
	emit(c, BPF_STX | BPF_MEM | size, BPF_REG_10, BPF_REG_1, TUPLE + to, 0);
}

static void read_ipv4(struct code *c)
{
	fetch(c, ETH_HLEN, -1, HEADER, sizeof(struct iphdr));
	load(c, BPF_H, BPF_REG_1, BPF_REG_10, HEADER + (int)offsetof(struct iphdr, frag_off));
	emit(c, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, htons(IP_MF | IP_OFFMASK));
	out_if(c, BPF_JNE, BPF_REG_1, 0);
	load(c, BPF_B, PORTS, BPF_REG_10, HEADER); /* the header's length in words, its low half */
	emit(c, BPF_ALU64 | BPF_AND | BPF_K, PORTS, 0, 0, 0xf);
	emit(c, BPF_ALU64 | BPF_LSH | BPF_K, PORTS, 0, 0, 2);
	emit(c, BPF_ALU64 | BPF_ADD | BPF_K, PORTS, 0, 0, ETH_HLEN);
	load(c, BPF_B, PROTOCOL, BPF_REG_10, HEADER + (int)offsetof(struct iphdr, protocol));
	copy(c, BPF_W, offsetof(struct iphdr, saddr), offsetof(struct bpf_sock_tuple, ipv4.saddr));
	copy(c, BPF_W, offsetof(struct iphdr, daddr), offsetof(struct bpf_sock_tuple, ipv4.daddr));
	fetch(c, 0, PORTS, TUPLE + (int)offsetof(struct bpf_sock_tuple, ipv4.sport), PORTS_LEN);
	set(c, SIZE, sizeof(((struct bpf_sock_tuple *)NULL)->ipv4));
}

static void read_ipv6(struct code *c)
{
	fetch(c, ETH_HLEN, -1, HEADER, sizeof(struct ip6_hdr));
	load(c, BPF_B, PROTOCOL, BPF_REG_10, HEADER + (int)offsetof(struct ip6_hdr, ip6_nxt));
	for (int i = 0; i < 32; i += 8) /* both addresses, one behind the other */
		copy(c, BPF_DW, (int)offsetof(struct ip6_hdr, ip6_src) + i,
		     (int)offsetof(struct bpf_sock_tuple, ipv6.saddr) + i);
	fetch(c, ETH_HLEN + (int)sizeof(struct ip6_hdr), -1,
	      TUPLE + (int)offsetof(struct bpf_sock_tuple, ipv6.sport), PORTS_LEN);
	set(c, SIZE, sizeof(((struct bpf_sock_tuple *)NULL)->ipv6));
}

static void look_up(struct code *c, int function)
{
	move(c, BPF_REG_1, CONTEXT);
	move(c, BPF_REG_2, BPF_REG_10);
	emit(c, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, TUPLE);
	move(c, BPF_REG_3, SIZE);
	set(c, BPF_REG_4, BPF_F_CURRENT_NETNS);
	set(c, BPF_REG_5, 0);
	call(c, function);
}

size_t network_host_make(struct bpf_insn ret[NETWORK_HOST_CODE_MAX])
{
	struct code c = { .insns = ret };
	size_t ipv6, is_udp, found, tuple;

	move(&c, CONTEXT, BPF_REG_1);
	load(&c, BPF_W, BPF_REG_1, CONTEXT, offsetof(struct __sk_buff, protocol));
	ipv6 = jump_if(&c, BPF_JNE, BPF_REG_1, htons(ETH_P_IP));
	read_ipv4(&c);
	tuple = jump_if(&c, BPF_JA, 0, 0);
	land(&c, ipv6);
	out_if(&c, BPF_JNE, BPF_REG_1, htons(ETH_P_IPV6));
	read_ipv6(&c);
	land(&c, tuple);
	is_udp = jump_if(&c, BPF_JEQ, PROTOCOL, IPPROTO_UDP);
	out_if(&c, BPF_JNE, PROTOCOL, IPPROTO_TCP);
	look_up(&c, BPF_FUNC_sk_lookup_tcp);
	found = jump_if(&c, BPF_JA, 0, 0);
	land(&c, is_udp);
	look_up(&c, BPF_FUNC_sk_lookup_udp);
	land(&c, found);
	out_if(&c, BPF_JEQ, BPF_REG_0, 0);
	/* Those that listen, or are not connected, have no port there. */
	load(&c, BPF_H, PORTS, BPF_REG_0, offsetof(struct bpf_sock, dst_port));
	move(&c, BPF_REG_1, BPF_REG_0);
	call(&c, BPF_FUNC_sk_release);
	out_if(&c, BPF_JEQ, PORTS, 0);
	set(&c, BPF_REG_0, TC_ACT_OK);
	emit(&c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (size_t i = 0; i < c.n_outs; i++)
		land(&c, c.outs[i]);
	set(&c, BPF_REG_0, TC_ACT_UNSPEC);
	emit(&c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return c.n;
}

int network_host_open(void)
{
	struct bpf_insn code[NETWORK_HOST_CODE_MAX];
	size_t n = network_host_make(code);
	struct error err;
	int fd = ebpf_load(BPF_PROG_TYPE_SCHED_CLS, 0, code, n, "what the host receives itself",
			   &err);

	if (fd < 0)
		log_warning("docker's name server has no answers from others", KV_ERR(&err));
	return fd < 0 ? -1 : fd;
}
