/* Sends what containers ask of docker's name server to another port of its address. */
#ifndef KATA_AGENT_DNS_REDIRECT_H
#define KATA_AGENT_DNS_REDIRECT_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define DNS_ADDRESS "127.0.0.11"
enum { DNS_PORT = 53, DNS_CODE_MAX = 16 };

/*
 * The program that changes port from to port to (host byte order) where the address is
 * DNS_ADDRESS: its length.
 */
size_t dns_redirect_make(uint16_t from, uint16_t to, struct bpf_insn ret[DNS_CODE_MAX]);

/*
 * For every process in the cgroup and below: connections and datagrams to DNS_ADDRESS:53 go to
 * port, and what comes back seems to come from 53. Port 53 itself stays free for the container.
 */
int dns_redirect_attach(int cgroup, uint16_t port, struct error *err);

#endif
