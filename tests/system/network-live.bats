# What becomes of a network while its container lives: interfaces that come before create, between
# create and start, and while it runs, and what is changed on them. In a network namespace made by
# hand, as CNI plugins do it. The same is asked of runc.

load lib.bash

setup_file() {
	prepare_directory "$(mktemp -d /var/tmp/kata-live.XXXXXX)"
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	namespace=kt-live-$$
	echo "$namespace" >"$work/namespace"
	ip netns add "$namespace"
	ip -n "$namespace" link set lo up
	ip netns add "$namespace-peer"
	ip -n "$namespace-peer" link add br0 type bridge
	ip -n "$namespace-peer" addr add 10.77.0.1/24 dev br0
	ip -n "$namespace-peer" addr add fd00:77::1/64 dev br0 nodad
	ip -n "$namespace-peer" link set br0 up
	begin
	leaks_begin
	add_interface eth0 02:77:00:00:00:02
	on_host ip addr add 10.77.0.2/24 dev eth0
	on_host ip link set eth0 up
	bundle c sh -c 'while :; do sleep 1; done'
	for name in resolv.conf hosts hostname; do
		echo "old $name" >"$work/$name"
	done
	edit c --arg path "/run/netns/$namespace" --arg work "$work" \
		'(.linux.namespaces[] | select(.type == "network")).path = $path
		| .linux.resources.cpu = { quota: 200000, period: 100000 }
		| .linux.sysctl = { "net.ipv4.icmp_echo_ignore_broadcasts": "0" }
		| .mounts += ["resolv.conf", "hosts", "hostname" | { destination: "/etc/\(.)",
			type: "bind", source: "\($work)/\(.)", options: ["rbind", "rprivate"] }]'
	create c
	# Both interfaces would answer for it, and eth1 takes no long frames.
	ip -n "$namespace-peer" neigh add 10.77.0.2 lladdr 02:77:00:00:00:02 dev br0 nud permanent
	add_interface eth1 02:77:00:00:00:03
	# What somebody else has for what is received, and has no filter yet: on an interface of the
	# VM's, and on one that is not.
	on_host tc qdisc add dev eth1 clsact
	on_host tc qdisc add dev lo ingress
	on_host ip addr add fd00:77::3/64 dev eth1 nodad
	on_host ip link set eth1 up mtu 1400
	on_host ip -6 route add default via fd00:77::1
	runtime start c
}

teardown_file() {
	begin
	file_end
	ip netns del "$namespace"
	ip netns del "$namespace-peer"
	rm -rf "$work"
}

begin() {
	use_directory "$(<"$BATS_FILE_TMPDIR/work")"
	namespace=$(<"$work/namespace")
}

setup() {
	begin
}

# on_host COMMAND...: in the container's namespace on the host.
on_host() {
	nsenter "--net=/run/netns/$namespace" "$@"
}

# add_interface NAME MAC: a veth to the bridge of the other namespace.
add_interface() {
	ip -n "$namespace-peer" link add "p-$1" type veth peer name "$1" address "$2" \
		netns "$namespace"
	ip -n "$namespace-peer" link set "p-$1" master br0 up
}

# inside COMMAND...: in the container.
inside() {
	runtime exec c "$@"
}

# shows PATTERN COMMAND...: what the command prints inside has the pattern, some seconds later.
shows() {
	eventually 20 shows_now "$@" || { inside "${@:2}" && return 1; }
}

shows_now() {
	inside "${@:2}" | grep -q "$1"
}

shows_not() {
	eventually 20 shows_not_now "$@" || { inside "${@:2}" && return 1; }
}

shows_not_now() {
	! inside "${@:2}" | grep -q "$1"
}

@test "interfaces from before create and from before start are there at once" {
	expect 0 inside ip addr
	has "$output" '02:77:00:00:00:02' '10.77.0.2/24' '02:77:00:00:00:03' 'fd00:77::3/64' 'mtu 1400'
	! has_vm || has_not "$output" tentative # the host has asked already, or is asking
	expect 0 inside ip -6 route
	has "$output" 'default via fd00:77::1 dev eth1'
}

# queues_of INTERFACE: in the guest.
queues_of() {
	inside sh -c "ls -d /sys/class/net/$1/queues/rx-* | wc -l"
}

@test "an interface has a queue for each processor" {
	vm_only
	same "$(inside nproc) $(queues_of eth0) $(queues_of eth1)" '2 2 2'
}

@test "both reach their neighbours" {
	expect 0 inside sh -c 'echo | nc -w 10 10.77.0.1 9 || true; grep -c 10.77.0.1 /proc/net/arp'
	expect 0 nsenter "--net=/run/netns/$namespace-peer" busybox ping -c 1 -W 10 10.77.0.2
	expect 0 nsenter "--net=/run/netns/$namespace-peer" busybox ping -6 -c 1 -W 10 fd00:77::3
}

@test "addresses, routes and the MTU follow, and go again" {
	on_host ip addr add 10.78.0.2/24 dev eth0
	on_host ip link set eth0 mtu 1280
	on_host ip route add 10.79.0.0/16 via 10.77.0.1 mtu 1200
	shows 10.78.0.2/24 ip addr show eth0
	shows 'mtu 1280' ip addr show eth0
	shows '10.79.0.0/16 via 10.77.0.1' ip route
	on_host ip route del 10.79.0.0/16
	on_host ip addr del 10.78.0.2/24 dev eth0
	on_host ip link set eth0 mtu 1500
	shows_not 10.79.0.0 ip route
	shows_not 10.78.0.2 ip addr show eth0
	shows 'mtu 1500' ip addr show eth0
}

@test "resolv.conf, hosts and hostname follow what the host writes into them" {
	local name

	for name in resolv.conf hosts hostname; do
		expect 0 inside cat "/etc/$name"
		same "$output" "old $name"
		echo "the new $name, and longer" >"$work/$name"
	done
	for name in resolv.conf hosts hostname; do
		shows "^the new $name, and longer\$" cat "/etc/$name"
	done
	echo short >"$work/hosts"
	shows '^short$' cat /etc/hosts
}

@test "frames of 9000 and of 1280 bytes pass" {
	local mtu

	for mtu in 9000 1280; do
		ip -n "$namespace-peer" link set p-eth0 mtu "$mtu"
		on_host ip link set eth0 mtu "$mtu"
		ip -n "$namespace-peer" link set br0 mtu "$mtu"
		shows "mtu $mtu" ip addr show eth0
		expect 0 nsenter "--net=/run/netns/$namespace-peer" \
			busybox ping -c 1 -W 10 -s "$((mtu - 28))" 10.77.0.2
	done
	for name in p-eth0 br0; do
		ip -n "$namespace-peer" link set "$name" mtu 1500
	done
	on_host ip link set eth0 mtu 1500
}

# Runs a Python program in the namespace of the other end.
at_peer() {
	nsenter "--net=/run/netns/$namespace-peer" python3 -c "$@"
}

@test "a thousand short connections, a ping and a datagram of 60000 bytes, and ICMP errors" {
	runtime exec --detach c httpd -p 7000 -h /bin
	eventually 20 nsenter "--net=/run/netns/$namespace-peer" wget -q -T 5 -O /dev/null \
		http://10.77.0.2:7000/busybox
	expect 0 at_peer '
import socket
for i in range(1000):
    with socket.create_connection(("10.77.0.2", 7000), 20) as s:
        s.sendall(b"GET /none HTTP/1.0\r\n\r\n")
        assert s.recv(12).startswith(b"HTTP/1.")
'
	expect 0 nsenter "--net=/run/netns/$namespace-peer" busybox ping -c 1 -W 10 -s 60000 10.77.0.2
	expect 0 at_peer '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect(("10.77.0.2", 7002))
s.send(b"x" * 60000)
try:
    s.recv(1)
except ConnectionRefusedError:
    print("refused")
'
	same "$output" refused
}

@test "multicast reaches the container" {
	# In IPv6 it is how neighbours find each other, which those above have done.
	expect 0 nsenter "--net=/run/netns/$namespace-peer" busybox ping -c 1 -W 10 -I br0 224.0.0.1
	has "$output" '64 bytes from 10.77.0.2'
}

@test "macvlan, macvtap and tap interfaces are given like any other" {
	local kind

	ip -n "$namespace-peer" link add lower0 type veth peer name outer0
	ip -n "$namespace-peer" addr add 10.81.0.1/24 dev outer0
	ip -n "$namespace-peer" link set lower0 up
	ip -n "$namespace-peer" link set outer0 up
	for kind in macvlan macvtap; do
		ip -n "$namespace-peer" link add link lower0 name mv0 \
			address 02:77:00:00:02:02 type "$kind" mode bridge
		ip -n "$namespace-peer" link set mv0 netns "$namespace"
		on_host ip addr add 10.81.0.2/24 dev mv0
		on_host ip link set mv0 up
		shows 10.81.0.2/24 ip addr show mv0
		expect 0 nsenter "--net=/run/netns/$namespace-peer" busybox ping -c 1 -W 10 10.81.0.2
		on_host ip link del mv0
		shows_not mv0 ip link
	done
	on_host ip tuntap add tap9 mode tap
	on_host ip link set tap9 address 02:77:00:00:02:01 up
	shows 02:77:00:00:02:01 ip link show tap9
	on_host ip link del tap9
	shows_not tap9 ip link
	ip -n "$namespace-peer" link del lower0
}

# try_kind KIND OPTION...: such an interface on lower0, or alone, with its address, and reached from
# outer0; what the kernel does not have is in $missing.
try_kind() {
	if ! ip -n "$namespace-peer" link add ${2:+link lower0} name k0 type "$@" 2>/dev/null; then
		missing+=("$1")
		return
	fi
	ip -n "$namespace-peer" link set k0 netns "$namespace"
	on_host ip addr add 10.82.0.2/24 dev k0
	on_host ip link set k0 up
	shows 10.82.0.2/24 ip addr show k0
	[[ $1 == dummy ]] || expect 0 nsenter "--net=/run/netns/$namespace-peer" \
		busybox ping -c 1 -W 10 10.82.0.2
	on_host ip link del k0
	shows_not k0 ip link
}

@test "ipvlan, vlan and dummy interfaces are given like any other" {
	local -a missing=()

	ip -n "$namespace-peer" link add lower0 type veth peer name outer0
	ip -n "$namespace-peer" link set lower0 up
	ip -n "$namespace-peer" link set outer0 up
	if ip -n "$namespace-peer" link add link outer0 name tagged type vlan id 5 2>/dev/null; then
		ip -n "$namespace-peer" addr add 10.82.0.1/24 dev tagged
		ip -n "$namespace-peer" link set tagged up
	fi
	try_kind vlan id 5
	ip -n "$namespace-peer" link del tagged 2>/dev/null || true
	ip -n "$namespace-peer" addr add 10.82.0.1/24 dev outer0
	try_kind ipvlan mode l2
	try_kind dummy
	ip -n "$namespace-peer" link del lower0
	[[ ${#missing[@]} == 0 ]] || skip "this kernel has no interfaces of kind ${missing[*]}"
}

@test "an interface is plugged, renamed, and unplugged, as often as one likes" {
	add_interface eth2 02:77:00:00:01:01
	on_host ip addr add 10.80.1.1/24 dev eth2
	on_host ip link set eth2 up
	shows 10.80.1.1/24 ip addr show eth2
	! has_vm || same "$(queues_of eth2)" 2
	on_host ip link set eth2 down
	on_host ip link set eth2 name net9
	on_host ip link set net9 up
	shows 10.80.1.1/24 ip addr show net9
	on_host ip link del net9
	shows_not net9 ip link
	add_interface eth2 02:77:00:00:01:09
	on_host ip link set eth2 up
	shows 02:77:00:00:01:09 ip link show eth2
	on_host ip link del eth2
	shows_not eth2 ip link
}

@test "kata-runtime network shows it, takes an interface from the VM and gives it again" {
	vm_only
	expect 0 runtime network list c
	same "$(jq -r '.[] | select(.name == "eth0") | "\(.hwAddr) \(.IPAddresses[0].address) \(.inVM)"' \
		<<<"$output")" '02:77:00:00:00:02 10.77.0.2 true'
	expect 0 runtime network routes c
	same "$(jq -r '.[] | select(.gateway == "fd00:77::1") | .device' <<<"$output")" eth1
	runtime network remove c eth1
	shows_not eth1 ip link
	runtime network add "$(sandbox c)" eth1
	shows 'fd00:77::3/64' ip addr show eth1
	expect 0 runtime kata-network list-ifaces "$(sandbox c)"
	jq '.[] | select(.name == "eth1")' <<<"$output" >"$work/eth1.json"
	runtime kata-network del-iface c "$work/eth1.json"
	shows_not eth1 ip link
	expect 1 runtime kata-network add-iface c - < <(jq '.hwAddr = "02:77:00:00:00:99"' "$work/eth1.json")
	has "$stderr" 'interface eth1 has another address'
	runtime kata-network add-iface c - <"$work/eth1.json"
	shows 'fd00:77::3/64' ip addr show eth1
	expect 1 runtime kata-network add-iface c - <<<'{ "mtu": 1500 }'
	has "$stderr" 'a device or a name is needed'
	expect 1 runtime kata-network update-routes c "$work/eth1.json"
	has "$stderr" 'eth1.json: expected a list'
	on_host ip route >"$work/routes.before"
	expect 0 runtime kata-network list-routes c
	jq '. + [{ dest: "10.95.0.0/16", gateway: "10.77.0.1", device: "eth0" }]' <<<"$output" \
		>"$work/routes.json"
	expect 0 runtime kata-network update-routes c "$work/routes.json"
	shows '10.95.0.0/16 via 10.77.0.1' ip route
	shows 'default via fd00:77::1' ip -6 route
	expect 1 runtime kata-network update-routes c - <<<'[{ "dest": "10.95.0.1/16" }]'
	has "$stderr" "bits beyond its network's are set"
	expect 0 runtime kata-network update-routes c - <<<"$(jq 'del(.[-1])' "$work/routes.json")"
	shows_not 10.95.0.0 ip route
	diff "$work/routes.before" <(on_host ip route)
	expect 1 runtime network list "$(sandbox c | rev)"
	has "$stderr" 'there is no sandbox or container'
	expect 1 runtime network remove c eth7
	has "$stderr" 'there is no interface eth7'
	expect 1 runtime network remove c
	has "$stderr" 'a container id and an interface is needed'
}

# with_setting JQ_FILTER: the runtime's configuration has it from now on in this test.
with_setting() {
	jq "$1" "$config" >"$work/other.new"
	mv "$work/other.new" "$work/other.json"
	config=$work/other.json
}

@test "strict_network refuses what cannot be given, by its name" {
	vm_only
	ip netns add "$namespace-strict"
	ip -n "$namespace-strict" link add br0 type bridge
	ip -n "$namespace-strict" addr add 10.99.0.1/24 dev br0
	ip -n "$namespace-strict" link set br0 up
	ip -n "$namespace-strict" route add 10.98.0.0/16 dev br0 table 77
	bundle strict true
	edit strict --arg path "/run/netns/$namespace-strict" \
		'(.linux.namespaces[] | select(.type == "network")).path = $path'
	with_setting '.runtime.strict_network = true'
	expect 1 create strict
	has "$stderr" 'parts of the network cannot be given to a VM: routes (policy routing: table 77)'
	ip -n "$namespace-strict" route flush table 77
	echo 'nameserver 127.0.0.53' >"$work/strict/resolv.conf"
	edit strict --arg file "$work/strict/resolv.conf" '.mounts += [{ type: "bind", source: $file,
		destination: "/etc/resolv.conf", options: ["bind"] }]'
	expect 1 create strict
	has "$stderr" 'names only servers on the loopback device, as 127.0.0.53; no container reaches'
	ip netns del "$namespace-strict"
}

@test "without internetworking a VM has no interface, wherever its shim is" {
	vm_only
	bundle none ip -o link
	edit none 'del(.linux.namespaces[] | select(.type == "network"))'
	with_setting '.runtime.disable_new_netns = true'
	expect 1 runtime run --bundle "$work/none" none
	has "$stderr" 'runtime.disable_new_netns needs runtime.internetworking_model'
	with_setting '.runtime.internetworking_model = "none"'
	expect 0 runtime run --bundle "$work/none" none
	has "$output" ': lo:'
	has_not "$output" eth0
}

# other_namespace NAME ADDRESS: one more, for a container NAME, with a veth to the same bridge.
other_namespace() {
	ip netns add "$namespace-$1"
	ip -n "$namespace-peer" link add "p-$1" type veth peer name eth0 netns "$namespace-$1"
	ip -n "$namespace-peer" link set "p-$1" master br0 up
	ip -n "$namespace-$1" addr add "$2" dev eth0
	ip -n "$namespace-$1" link set eth0 up
	bundle "$1" "${@:3}"
	edit "$1" --arg path "/run/netns/$namespace-$1" \
		'(.linux.namespaces[] | select(.type == "network")).path = $path'
}

@test "without IPv6 on the host there is none in the container" {
	other_namespace four 10.77.0.4/24 ip addr
	nsenter "--net=/run/netns/$namespace-four" sh -c \
		'for i in all default eth0; do echo 1 >"/proc/sys/net/ipv6/conf/$i/disable_ipv6"; done'
	expect 0 runtime run --bundle "$work/four" four
	has "$output" 10.77.0.4/24
	has_not "$(sed -n '/ eth0/,$p' <<<"$output")" inet6
	ip netns del "$namespace-four"
}

@test "macvtap takes the place of filters, but for what comes later" {
	vm_only
	other_namespace top 10.77.0.8/24 httpd -f -p 80 -h /bin
	if ! ip -n "$namespace-top" link add link eth0 name m0 type macvtap; then
		ip netns del "$namespace-top"
		skip 'this kernel has no macvtap devices'
	fi
	ip -n "$namespace-top" link del m0
	with_setting '.runtime.internetworking_model = "macvtap"'
	start top
	expect 0 ip -n "$namespace-top" -d link
	has "$output" 'macvtap mode passthru'
	expect 0 nsenter "--net=/run/netns/$namespace-top" tc qdisc show
	has_not "$output" ingress
	eventually 20 nsenter "--net=/run/netns/$namespace-peer" wget -q -T 5 -O "$work/got" \
		http://10.77.0.8/busybox
	cmp "$work/got" "$base/rootfs/bin/busybox"
	ip -n "$namespace-top" link add eth1 address 02:77:00:00:00:08 type veth peer name peer1
	ip -n "$namespace-top" link set eth1 up
	eventually 20 eval 'runtime exec top ip link | grep -q 02:77:00:00:00:08'
	ip -n "$namespace-top" link del eth1
	kill -KILL "$(monitor top)"
	runtime delete --force top
	expect 0 ip -n "$namespace-top" -o link
	has_not "$output" ': kt'
	ip netns del "$namespace-top"
}

@test "netmon has one capability, and its end harms nobody" {
	local pid

	vm_only
	pid=$(netmon c)
	expect 0 awk '/^Cap/ { print $2 }' "/proc/$pid/status"
	same "$output" "$(printf '%016x\n' 0 4096 4096 0 0)"
	expect 0 awk '/^(Uid|Gid|NoNewPrivs):/ && $2 == 0' "/proc/$pid/status"
	same "$output" ''
	kill -KILL "$pid"
	eventually 5 not kill -0 "$pid"
	expect 0 inside true
}

@test "delete leaves nothing, not even a filter, also when the VM was killed" {
	# eth0 as an operator took it.
	if has_vm; then
		kill -KILL "$(monitor c)"
		on_host ip link set eth0 alias 'kata: not for the VM'
	fi
	runtime delete --force c
	leaks_end
	expect 0 on_host tc filter show dev eth1 ingress
	same "$output" ''
	expect 0 on_host tc qdisc show dev eth1
	has "$output" clsact
	expect 0 on_host tc qdisc show dev lo
	has "$output" ingress
	expect 0 on_host tc qdisc show dev eth0
	has_not "$output" ingress
	expect 0 on_host ip -o link
	has_not "$output" ': kt'
}
