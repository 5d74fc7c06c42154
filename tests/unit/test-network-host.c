/*
 * kata-runtime/network-host.c: packets that the kernel runs the program for, beside real sockets.
 */
#include "kata-runtime/network-host.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "tests/unit/netns.h"

enum { THEIRS = 5353, PACKET_MAX = 128 };

struct packet {
	uint8_t bytes[PACKET_MAX];
	uint32_t len;
};

static void put(struct packet *packet, const void *data, size_t len)
{
	memcpy(packet->bytes + packet->len, data, len);
	packet->len += (uint32_t)len;
}

/* A packet as it comes in from port THEIRS of the loopback address. */
static struct packet make_packet(int family, int protocol, uint16_t port, uint16_t fragment)
{
	const uint16_t ports[] = { htons(THEIRS), htons(port) };
	const struct ethhdr ethernet = { .h_proto =
						 htons(family == AF_INET ? ETH_P_IP : ETH_P_IPV6) };
	struct packet packet = { .len = 0 };

	put(&packet, &ethernet, sizeof(ethernet));
	if (family == AF_INET) {
		const struct iphdr ip = { .version = 4,
					  .ihl = 6,
					  .protocol = (uint8_t)protocol,
					  .frag_off = htons(fragment),
					  .saddr = htonl(INADDR_LOOPBACK),
					  .daddr = htonl(INADDR_LOOPBACK) };

		put(&packet, &ip, sizeof(ip));
		put(&packet, "\1\1\1\1", 4); /* options */
	} else {
		struct ip6_hdr ip = { .ip6_src = IN6ADDR_LOOPBACK_INIT,
				      .ip6_dst = IN6ADDR_LOOPBACK_INIT };

		ip.ip6_vfc = 6 << 4;
		ip.ip6_nxt = (uint8_t)protocol;
		put(&packet, &ip, sizeof(ip));
	}
	put(&packet, ports, sizeof(ports));
	packet.len += 16; /* the rest of a header */
	return packet;
}

static int verdict(int program, const struct packet *packet)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)program;
	attr.test.data_in = (uintptr_t)packet->bytes;
	attr.test.data_size_in = packet->len;
	cr_assert(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)) == 0);
	return (int)attr.test.retval;
}

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

static union address loopback(int family, uint16_t port)
{
	union address address = { 0 };

	if (family == AF_INET) {
		address.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.ipv4.sin_port = htons(port);
	} else {
		address.ipv6.sin6_addr = in6addr_loopback;
		address.ipv6.sin6_port = htons(port);
	}
	address.any.sa_family = (sa_family_t)family;
	return address;
}

/* A socket at a port of its own, *ret; connected to THEIRS unless that is 0. */
static int open_socket(int family, int type, uint16_t theirs, uint16_t *ret)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	union address own = loopback(family, 0), peer = loopback(family, theirs);
	socklen_t len = sizeof(own);

	cr_assert(fd >= 0 && bind(fd, &own.any, len) == 0);
	cr_assert(theirs == 0 || connect(fd, &peer.any, len) == 0);
	cr_assert(getsockname(fd, &own.any, &len) == 0);
	*ret = ntohs(family == AF_INET ? own.ipv4.sin_port : own.ipv6.sin6_port);
	return fd;
}

static int listen_at(int family, uint16_t port)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	union address own = loopback(family, port);

	cr_assert(fd >= 0 && bind(fd, &own.any, sizeof(own)) == 0 && listen(fd, 4) == 0);
	return fd;
}

Test(network_host, answers_to_sockets_of_the_host)
{
	static const int families[] = { AF_INET, AF_INET6 };
	CLEANUP(fd_close) int program = -1;

	NETNS_OR_SKIP();
	program = network_host_open();
	if (program < 0)
		cr_skip_test("no right to load a BPF program");
	cr_assert(sh("ip link set lo up"));
	for (size_t i = 0; i < 2; i++) {
		int family = families[i];
		CLEANUP(fd_close) int server = listen_at(family, THEIRS);
		uint16_t tcp_port, udp_port, open_port;
		CLEANUP(fd_close) int tcp = open_socket(family, SOCK_STREAM, THEIRS, &tcp_port);
		CLEANUP(fd_close) int udp = open_socket(family, SOCK_DGRAM, THEIRS, &udp_port);
		CLEANUP(fd_close) int open = open_socket(family, SOCK_DGRAM, 0, &open_port);
		const struct {
			int protocol;
			uint16_t port, fragment;
			int verdict;
		} cases[] = {
			{ IPPROTO_UDP, udp_port, 0, TC_ACT_OK },
			{ IPPROTO_UDP, udp_port, IP_DF, TC_ACT_OK },
			{ IPPROTO_UDP, (uint16_t)(udp_port ^ 1), 0, TC_ACT_UNSPEC },
			{ IPPROTO_UDP, open_port, 0, TC_ACT_UNSPEC }, /* not connected */
			{ IPPROTO_TCP, tcp_port, 0, TC_ACT_OK },
			{ IPPROTO_TCP, udp_port, 0, TC_ACT_UNSPEC },
			{ IPPROTO_TCP, THEIRS, 0, TC_ACT_UNSPEC }, /* listens */
			{ IPPROTO_SCTP, udp_port, 0, TC_ACT_UNSPEC },
			{ IPPROTO_UDP, udp_port, IP_MF, TC_ACT_UNSPEC },
			{ IPPROTO_UDP, udp_port, 7, TC_ACT_UNSPEC },
		};

		for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
			struct packet packet = make_packet(family, cases[j].protocol, cases[j].port,
							   cases[j].fragment);

			if (cases[j].fragment != 0 && family == AF_INET6)
				continue;
			cr_expect(verdict(program, &packet) == cases[j].verdict,
				  "family %d, case %zu: %d", family, j, verdict(program, &packet));
		}
	}
}

Test(network_host, other_frames_are_the_guests)
{
	CLEANUP(fd_close) int program = -1;
	struct packet packet = make_packet(AF_INET, IPPROTO_UDP, 1, 0);

	NETNS_OR_SKIP();
	program = network_host_open();
	if (program < 0)
		cr_skip_test("no right to load a BPF program");
	packet.len = ETH_HLEN + sizeof(struct iphdr); /* it ends before its ports */
	cr_expect(verdict(program, &packet) == TC_ACT_UNSPEC);
	packet = make_packet(AF_INET, IPPROTO_UDP, 1, 0);
	packet.bytes[ETH_HLEN - 1] = 6; /* ARP */
	cr_expect(verdict(program, &packet) == TC_ACT_UNSPEC);
}
