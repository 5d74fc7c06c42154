# podman's networks, as CNI plugins make them before create: port forwarding, names of the other
# end, and a network that is connected later. In a network namespace that stands for the host.

load lib.bash

setup_file() {
	work=$(mktemp -d /var/tmp/kata-podnet.XXXXXX)
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	namespace=kt-podnet-$$
	echo "$namespace" >"$work/namespace"
	leaks_begin
	ip netns add "$namespace"
	ip -n "$namespace" link set lo up
	"$top/guest/busybox-bundle" "$work/bundle" -- true
	tar -C "$work/bundle/rootfs" -c . | podman_command import - img >/dev/null 2>&1
	podman_command network create --subnet 10.44.0.0/24 one >/dev/null
	podman_command run -d --network one --ip 10.44.0.9 -p 8088:80 --name server img \
		httpd -f -p 80 -h /bin >"$work/id"
}

teardown_file() {
	local mount

	work=$(<"$BATS_FILE_TMPDIR/work") namespace=$(<"$work/namespace")
	podman_command rm --all --force --time 0 >/dev/null || true
	while read -r mount; do
		umount -l "$mount" || true
	done < <(awk -v dir="$work/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	leaks_end
	ip netns del "$namespace"
	rm -rf "$work"
	find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + || true
}

setup() {
	work=$(<"$BATS_FILE_TMPDIR/work") namespace=$(<"$work/namespace")
}

podman_command() {
	timeout -k 5 120 nsenter "--net=/run/netns/$namespace" podman --root "$work/root" \
		--runroot "$work/run" --tmpdir "$work/tmp" --storage-driver vfs \
		--cgroup-manager cgroupfs --events-backend file --network-config-dir "$work/cni" \
		--runtime "$RUNTIME" "$@" 3>&-
}

@test "the host reaches a published port" {
	eventually 20 nsenter "--net=/run/netns/$namespace" wget -q -O "$work/got" \
		http://127.0.0.1:8088/busybox
	cmp "$work/got" "$work/bundle/rootfs/bin/busybox"
}

@test "one container reaches another" {
	expect 0 podman_command run --rm --network one img sh -c \
		'ip route; wget -q -O - http://10.44.0.9/busybox | sha256sum'
	has "$output" 'default via 10.44.0.1 dev eth0' \
		"$(sha256sum <"$work/bundle/rootfs/bin/busybox")"
}

has_interface() {
	podman_command exec server ip addr | grep -q "$1"
}

@test "a network that is connected later is there, and goes again" {
	podman_command network create --subnet 10.45.0.0/24 two >/dev/null
	podman_command network connect --ip 10.45.0.9 two server
	eventually 20 has_interface 10.45.0.9/24
	podman_command network disconnect two server
	eventually 20 not has_interface 10.45.0.9/24
}
