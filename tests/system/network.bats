# docker's default bridge, in a network namespace that stands for the host: what the guest has of the
# container's interface, and who reaches whom, in both protocols. With runc too.

load lib.bash
load docker.bash

setup_file() {
	work=$(mktemp -d /var/tmp/kata-net.XXXXXX)
	namespace=kt-test-$$
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	echo "$namespace" >"$work/namespace"
	ip netns add "$namespace"
	ip -n "$namespace" link set lo up
	docker_begin "$work/d" "$namespace" --ipv6 --fixed-cidr-v6 fd00:6b61:7461::/64
	head -c 4194304 /dev/urandom >"$work/bytes"
	docker run -d --name server --runtime "$(runtime_name)" -p 8080:80 \
		-v "$work/bytes:/www/bytes:ro" img httpd -f -p 80 -h /www >"$work/id"
}

teardown_file() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	docker_use "$work/d"
	docker_end
	ip netns del "$(<"$work/namespace")"
	rm -rf "$work"
}

setup() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	namespace=$(<"$work/namespace")
	docker_use "$work/d"
	leaks_begin
}

teardown() {
	leaks_end
}

runtime_name() {
	if has_vm; then echo kata-runtime; else echo runc; fi
}

# of_server FORMAT: from docker inspect.
of_server() {
	docker inspect -f "{{.NetworkSettings.$1}}" server
}

# on_bridge COMMAND...: a further container with our runtime.
on_bridge() {
	timeout -k 5 90 docker run --rm --runtime "$(runtime_name)" img "$@" 3>&-
}

# on_host COMMAND...: in the namespace that stands for the host.
on_host() {
	timeout 60 nsenter "--net=/run/netns/$(<"$work/namespace")" "$@"
}

@test "the guest has docker's name, MAC, addresses, MTU and routes" {
	expect 0 docker exec server ip addr show eth0
	has "$output" "$(of_server MacAddress)" "$(of_server IPAddress)/" \
		"$(of_server GlobalIPv6Address)/64" 'mtu 1500'
	expect 0 docker exec server ip route
	has "$output" "default via $(of_server Gateway) dev eth0"
	expect 0 docker exec server ip -6 route
	has "$output" "default via $(of_server IPv6Gateway) dev eth0"
}

@test "resolv.conf and hosts are docker's" {
	expect 0 docker exec server cat /etc/hosts
	has "$output" "$(of_server IPAddress)"
	expect 0 docker exec server cat /etc/resolv.conf
	has "$output" nameserver
}

@test "the container reaches its gateway, in both protocols" {
	expect 0 docker exec server ping -c 1 -W 10 "$(of_server Gateway)"
	expect 0 docker exec server ping -6 -c 1 -W 10 "$(of_server IPv6Gateway)"
}

@test "the host reaches a published port, and 4 MiB arrive unchanged" {
	on_host wget -q -T 30 -O "$work/got" http://127.0.0.1:8080/bytes
	cmp "$work/got" "$work/bytes"
}

@test "the host reaches the container's address" {
	on_host wget -q -T 30 -O "$work/got" "http://$(of_server IPAddress)/bytes"
	cmp "$work/got" "$work/bytes"
}

@test "4 MiB over TCP between two containers arrive unchanged, in both protocols" {
	local sum

	sum=$(sha256sum <"$work/bytes")
	expect 0 on_bridge sh -c "wget -q -O - http://$(of_server IPAddress)/bytes | sha256sum"
	same "$output" "$sum"
	expect 0 on_bridge sh -c \
		"wget -q -O - 'http://[$(of_server GlobalIPv6Address)]/bytes' | sha256sum"
	same "$output" "$sum"
}

@test "a container of runc reaches one of ours" {
	vm_only
	expect 0 docker run --rm img sh -c \
		"wget -q -O - http://$(of_server IPAddress)/bytes | sha256sum"
	same "$output" "$(sha256sum <"$work/bytes")"
}

@test "networks that are connected later reach the container, and go again" {
	docker network create --internal later >/dev/null
	docker network connect later server
	eventually 20 in_server 'ip addr show eth1' "$(of_server Networks.later.IPAddress)/"
	eventually 20 in_server 'cat /etc/hosts' "$(of_server Networks.later.IPAddress)"
	expect 0 timeout -k 5 90 docker run --rm --network later --runtime "$(runtime_name)" img sh -c \
		"wget -q -O - http://$(of_server Networks.later.IPAddress)/bytes | sha256sum" 3>&-
	same "$output" "$(sha256sum <"$work/bytes")"
	docker network disconnect later server
	eventually 20 not in_server 'ip link' eth1
	docker network rm later
}

# in_server COMMAND TEXT: what the command prints has the text.
in_server() {
	docker exec server sh -c "$1" | grep -qF "$2"
}

@test "docker's name server knows the containers of a user's network, over UDP and TCP" {
	docker network create --internal named >/dev/null
	docker network connect --alias alias named server
	expect 0 timeout -k 5 90 docker run --rm --network named --name asker \
		--runtime "$(runtime_name)" img sh -c \
		'cat /etc/resolv.conf; wget -q -O - http://server/bytes | sha256sum; nslookup alias;
		printf "\0\030\0\1\1\0\0\1\0\0\0\0\0\0\6server\0\0\1\0\1" |
			nc -w 5 127.0.0.11 53 | wc -c' 3>&-
	has "$output" 'nameserver 127.0.0.11' "$(sha256sum <"$work/bytes")" \
		"Address: $(of_server Networks.named.IPAddress)"
	[[ $output =~ $'\n'[4-9][0-9]$ ]]
	docker network disconnect named server
	docker network rm named
}

# A name server that knows every name, with the address and port 53.
name_server() {
	on_host python3 -c '
import socket, sys, threading
def answer(q):
    end = q.index(b"\0", 12) + 5
    found = q[end - 4:end] == b"\0\1\0\1"
    return (q[:2] + b"\x81\x80\0\1" + bytes([0, found]) + bytes(4) + q[12:end]
            + (b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\xc0\0\2\7" if found else b""))
def tcp():
    while True:
        c, _ = t.accept()
        q = c.recv(4096)
        a = answer(q[2:])
        c.sendall(len(a).to_bytes(2, "big") + a)
        c.close()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
t = socket.create_server((sys.argv[1], 53))
u.bind((sys.argv[1], 53))
threading.Thread(target=tcp, daemon=True).start()
while True:
    q, peer = u.recvfrom(4096)
    u.sendto(answer(q), peer)
' "$1"
}

@test "docker's name server asks others, from the container's namespace, over UDP and TCP" {
	docker network create --subnet 10.67.0.0/24 --gateway 10.67.0.1 asked >/dev/null
	name_server 10.67.0.1 >"$work/names" 2>&1 3>&- &
	expect 0 timeout -k 5 90 docker run --rm --network asked --dns 10.67.0.1 \
		--runtime "$(runtime_name)" img sh -c 'ip addr show eth0; nslookup outside.example
		printf "\0\041\0\1\1\0\0\1\0\0\0\0\0\0\7outside\7example\0\0\1\0\1" |
			nc -w 5 127.0.0.11 53 | wc -c' 3>&-
	kill $!
	has "$output" 'Address: 192.0.2.7' 'inet 10.67.0.'
	has_not "$output" inet6 # docker has made none on this network
	[[ $output =~ $'\n'[4-9][0-9]$ ]]
	docker network rm asked
}

@test "a container on a macvlan network is reached from outside" {
	ip netns add "$namespace-out"
	on_host ip link add par0 type veth peer name par1 netns "$namespace-out"
	ip -n "$namespace-out" addr add 10.66.0.1/24 dev par1
	ip -n "$namespace-out" link set par1 up
	on_host ip link set par0 up
	docker network create -d macvlan -o parent=par0 --subnet 10.66.0.0/24 lan >/dev/null
	docker run -d --rm --network lan --ip 10.66.0.9 --name mac --runtime "$(runtime_name)" \
		-v "$work/bytes:/www/bytes:ro" img httpd -f -p 80 -h /www >"$work/id" 3>&-
	eventually 20 nsenter "--net=/run/netns/$namespace-out" wget -q -T 10 -O "$work/got" \
		http://10.66.0.9/bytes
	cmp "$work/got" "$work/bytes"
	docker rm -f mac >/dev/null
	docker network rm lan >/dev/null
	ip netns del "$namespace-out"
}

@test "the host's network is refused by its name" {
	vm_only
	expect 125 docker run --rm --network host --runtime kata-runtime img true
	has "$stderr" 'host networking cannot be given to a container in a VM'
}

@test "no tap or filter is left on the host" {
	vm_only
	expect 0 on_host ip -o link
	has_not "$output" ': kt'
}
