# Several containers in one virtual machine, by hand with bundles as container managers write them:
# the annotations of containerd's CRI, of podman, and the namespace paths that are all docker gives.
# runc runs the same containers.

load lib.bash

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	mkdir -p "$base/rootfs/data"
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
	find /sys/fs/cgroup -depth -type d -path '*/pod-tests*' -exec rmdir {} + || true
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
	leaks_begin
}

teardown() {
	remove_containers ''
	! mountpoint --quiet "$work/volume" || umount "$work/volume"
	leaks_end
}

# first ID [JQ]: a sandbox as containerd's CRI makes it, started, with a host name and a cgroup.
first() {
	bundle "$1" sh -c 'trap "exit 5" TERM; while :; do sleep 0.2; done'
	edit "$1" --arg id "$1" '.hostname = "pod" | .linux.cgroupsPath = "/pod-tests/" + $id
		| .annotations = { "io.kubernetes.cri.container-type": "sandbox",
			"io.kubernetes.cri.sandbox-id": $id }'"${2:-}"
	start "$1"
}

# member_bundle ID FIRST COMMAND...: a bundle that shares network, IPC and host name with FIRST.
member_bundle() {
	bundle "$1" "${@:3}"
	edit "$1" --arg id "$1" --arg first "$2" --arg pid "$(pid_of "$2")" '
		.hostname = "" | .linux.cgroupsPath = "/pod-tests/" + $id
		| .mounts += [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
			options: ["nosuid", "noexec", "nodev", "ro"] }]
		| .annotations = { "io.kubernetes.cri.container-type": "container",
			"io.kubernetes.cri.sandbox-id": $first }
		| .linux.namespaces |= map(if .type == "network" or .type == "ipc" or .type == "uts"
			then .path = "/proc/\($pid)/ns/\({ network: "net" }[.type] // .type)" else . end)'
}

shares_pid() {
	edit "$1" --arg pid "$(pid_of "$2")" '.linux.namespaces |=
		map(if .type == "pid" then .path = "/proc/\($pid)/ns/pid" else . end)'
}

member() {
	member_bundle "$@"
	start "$1"
}

has_own_ipc() {
	[[ $(readlink "/proc/$1/ns/ipc") != "$(readlink /proc/self/ns/ipc)" ]]
}

@test "a pod's containers have one virtual machine, and their own files, limits and exit codes" {
	first p1
	bundle m1 true
	member_bundle m1 p1 sh -c 'hostname; ls /data; cat /sys/fs/cgroup/memory.max; echo
		echo mine >/data/m1; sleep 1000'
	rm -rf "$work/files" && mkdir "$work/files" && touch "$work/files/there"
	edit m1 --arg files "$work/files" '.linux.resources = { memory: { limit: 50331648 } }
		| .mounts += [{ destination: "/data", type: "bind", source: $files,
			options: ["rbind", "rw"] }]'
	start m1
	member m2 p1 sh -c 'exit 7'
	same "$(exit_code m2)" 7
	same "$(status_of m2)" stopped
	same "$(status_of m1)" running
	eventually 10 grep -q mine "$work/files/m1"
	eventually 10 eval '(($(wc -l <"$work/m1/out") >= 3))'
	! has_vm || same "$(monitors)" 1
	! has_vm || same "$(<"$work/m1/out")" $'pod\nthere\n50331648'
	expect 0 runtime exec m1 sh -c 'tr "\0" " " </proc/1/cmdline'
	has "$output" 'sleep 1000'
	expect 0 runtime ps --format json m1
	same "$output" "[$(pid_of m1)]"
	same "$(runtime list --quiet | sort | xargs)" 'm1 m2 p1'
	expect 1 runtime delete m1
	expect 0 runtime delete m2
	expect 0 runtime delete --force m1
	same "$(exit_code m1)" 137
	same "$(status_of p1)" running
	! has_vm || not grep -q /m1 "/proc/$(monitor p1)/mountinfo"
	expect 0 runtime kill p1 TERM
	same "$(exit_code p1)" 5
	expect 0 runtime delete p1
}

@test "the machine grows for a member with limits of its own" {
	first p1
	! has_vm || same "$(runtime exec p1 nproc </dev/null)" 1
	member_bundle m1 p1 sleep 1000
	edit m1 '.linux.resources = { memory: { limit: 524288000 },
		cpu: { quota: 200000, period: 100000 } }'
	start m1
	expect 0 runtime exec m1 dd if=/dev/zero of=/dev/null bs=400M count=1
	! has_vm || same "$(runtime exec m1 nproc </dev/null)" "$(vcpus 2 runtime exec m1)"
	! has_vm || (($(runtime exec p1 awk '/^MemTotal/ { print $2 }' /proc/meminfo </dev/null) > 600000))
	expect 0 runtime kill m1 KILL
	same "$(exit_code m1)" 137
	expect 0 runtime delete m1
	expect 0 runtime exec p1 true
}

@test "namespaces are shared as the config says" {
	first p1
	member_bundle m1 p1 sleep 1000
	shares_pid m1 p1
	# The first process of m1 is the parent of this hook.
	mkdir -p "$work/hook"
	edit m1 --arg dir "$work/hook" '.mounts += [{ destination: "/hook", type: "bind", source: $dir,
			options: ["rbind", "rw"] }] | .hooks.startContainer = [{ path: "/bin/sh",
			args: ["sh", "-c", "cat >/hook/state; echo $PPID >/hook/pid"] }]'
	start m1
	same "$(jq .pid "$work/hook/state")" "$(<"$work/hook/pid")"
	[[ $(<"$work/hook/pid") != 1 ]]
	member m2 p1 sleep 1000
	bundle m3 sleep 1000
	edit m3 --arg pid "$(pid_of p1)" '.hostname = "other" | .linux.namespaces |=
		map(if .type == "network" then .path = "/proc/\($pid)/ns/net" else . end)'
	start m3
	for id in p1 m1 m2 m3; do
		for type in pid ipc uts net mnt; do
			expect 0 runtime exec "$id" readlink "/proc/self/ns/$type"
			printf -v "${id}_$type" %s "$output"
		done
	done
	same "$m1_pid $m1_ipc $m1_uts $m1_net" "$p1_pid $p1_ipc $p1_uts $p1_net"
	same "$m2_ipc $m2_uts $m2_net $m3_net" "$p1_ipc $p1_uts $p1_net $p1_net"
	same "$(printf '%s\n' "$p1_pid" "$m2_pid" "$m3_pid" "$p1_ipc" "$m3_ipc" "$p1_uts" "$m3_uts" \
		"$p1_mnt" "$m1_mnt" "$m2_mnt" "$m3_mnt" | sort | uniq -d)" ''
	expect 0 runtime exec m1 sh -c 'hostname; ps'
	has "$output" pod 'trap "exit 5"' 'sleep 1000'
	expect 0 runtime exec m3 hostname
	same "$output" other
	vm_only # runc's bundles have a /dev/shm each; container managers give members the first one's
	expect 0 runtime exec p1 sh -c 'echo seen >/dev/shm/file'
	expect 0 runtime exec m2 cat /dev/shm/file
	same "$output" seen
	expect 1 runtime exec m3 cat /dev/shm/file
}

# Does virtiofsd have files of that device open?
holds_device() {
	local pid

	for pid in $(pgrep '^virtiofsd'); do
		! stat -L -c %d "/proc/$pid/fd/"* 2>/dev/null | grep -qx "$1" || return 0
	done
	return 1
}

@test "the files of a member that is deleted are let go, while the machine lives" {
	local device cache from=$config

	vm_only
	mkdir -p "$work/volume"
	for cache in auto always; do
		config=$work/$cache.json
		jq --arg cache "$cache" '.hypervisor.virtio_fs_cache = $cache' "$from" >"$config"
		first p1
		mount -t tmpfs tmpfs "$work/volume"
		device=$(stat -c %d "$work/volume")
		echo text >"$work/volume/file"
		member_bundle m1 p1 sh -c 'cat /data/file; sleep 1000'
		edit m1 --arg dir "$work/volume" '.mounts += [{ destination: "/data", type: "bind",
			source: $dir, options: ["rbind"] }]'
		start m1
		eventually 20 grep -q text "$work/m1/out"
		holds_device "$device"
		runtime delete --force m1
		umount "$work/volume"
		eventually 20 not holds_device "$device"
		expect 0 runtime exec p1 true
		runtime delete --force p1
	done
}

@test "exec, kill, pause and update are of one member" {
	first p1
	member m1 p1 sh -c 'trap "exit 3" TERM; i=0; while :; do i=$((i + 1)); echo $i >/dev/shm/m1
		sleep 0.1; done'
	member m2 p1 sh -c 'trap "exit 4" TERM; while :; do sleep 0.1; done'
	expect 0 runtime pause m1
	same "$(status_of p1) $(status_of m1) $(status_of m2)" 'running paused running'
	expect 0 runtime exec m2 true
	expect 255 runtime exec m1 true
	expect 0 runtime resume m1
	expect 0 runtime exec m1 true
	expect 0 runtime update --pids-limit 55 m1
	if has_vm; then
		expect 0 runtime exec m1 cat /sys/fs/cgroup/pids.max
		same "$output" 55
		expect 0 runtime exec m2 cat /sys/fs/cgroup/pids.max
		same "$output" max
	fi
	expect 0 runtime kill m2 TERM
	same "$(exit_code m2)" 4
	expect 1 runtime kill m2 TERM
	has "$output$stderr" 'container not running'
	expect 0 runtime kill --all m2 KILL
	expect 0 runtime kill m1 KILL
	same "$(exit_code m1)" 137
	same "$(status_of p1)" running
}

@test "the machine outlives its first container, and ends with the last" {
	vm_only
	first p1
	member m1 p1 sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done'
	member m2 p1 sleep 1000
	monitor=$(monitor m1)
	expect 0 runtime kill p1 KILL
	same "$(exit_code p1)" 137
	expect 0 runtime exec m1 true
	expect 0 runtime delete p1
	expect 1 runtime state p1
	has "$output$stderr" 'does not exist'
	expect 0 runtime delete --force p1
	expect 0 runtime exec m1 echo still here
	same "$output" 'still here'
	not test -d /sys/fs/cgroup/pids/pod-tests/p1
	not test -d /sys/fs/cgroup/pod-tests/p1
	# The id is free: a second machine, which has nothing to do with the first.
	first p1
	same "$(monitors)" 2
	not same "$(sandbox p1)" "$(sandbox m1)"
	expect 0 runtime kill m1 TERM
	same "$(exit_code m1)" 3
	expect 0 runtime delete m1
	kill -0 "$monitor"
	expect 0 runtime delete --force m2
	eventually 2 not kill -0 "$monitor" # its parent reaps it
	same "$(status_of p1)" running
	expect 0 runtime exec p1 true
}

@test "the end of the machine is the end of all, which are deleted in any order" {
	vm_only
	first p1
	member m1 p1 sleep 1000
	kill -KILL "$(process p1 qemu)"
	same "$(exit_code p1) $(exit_code m1)" '137 137'
	same "$(status_of p1) $(status_of m1)" 'stopped stopped'
	bundle m2 true
	edit m2 '.annotations = { "io.kubernetes.cri-o.ContainerType": "container",
		"io.kubernetes.cri-o.SandboxID": "p1" }'
	expect 1 runtime create --bundle "$work/m2" m2
	has "$stderr" 'container p1, whose VM is to be shared, is not running'
	expect 0 runtime delete p1
	expect 0 runtime delete m1
}

@test "a hung agent: a member is killed and deleted, and the others are not harmed" {
	vm_only
	first p1
	member m1 p1 sleep 1000
	member m2 p1 sleep 1000
	kill -STOP "$(process p1 qemu)"
	expect 0 runtime kill m1 KILL
	same "$(exit_code m1)" 137
	grep -q 'the shim is killed' "$logs/$(sandbox p1)/runtime.log"
	expect 0 runtime delete --force m1
	kill -CONT "$(process p1 qemu)"
	expect 0 runtime exec m2 ps
	expect 0 runtime delete --force m2
	expect 0 runtime delete --force p1
}

@test "without a usable state a member is removed, and its machine stays" {
	vm_only
	first p1
	member m1 p1 sleep 1000
	shim=$(pid_of m1)
	echo '{' >"$root/m1/state.json"
	expect 1 runtime state m1
	expect 0 runtime delete --force m1
	eventually 5 not kill -0 "$shim"
	expect 0 runtime exec p1 true
	member m1 p1 true
	same "$(exit_code m1)" 0
	# The first one's state, with a member in its machine.
	echo '{' >"$root/p1/state.json"
	expect 0 runtime delete --force p1
	expect 0 runtime delete m1
}

@test "a container that cannot share a machine is refused by name, with nothing made" {
	vm_only
	first p1
	first p2
	bundle m1 true
	edit m1 '.annotations = { "io.kubernetes.cri.container-type": "container" }'
	expect 1 runtime create --bundle "$work/m1" m1
	has "$stderr" 'io.kubernetes.cri.sandbox-id is missing'
	edit m1 '.annotations["io.kubernetes.cri.sandbox-id"] = "nobody"'
	expect 1 runtime create --bundle "$work/m1" m1
	has "$stderr" 'annotation io.kubernetes.cri.sandbox-id: container does not exist: nobody'
	edit m1 '.annotations["io.kubernetes.cri.container-type"] = "something"'
	expect 1 runtime create --bundle "$work/m1" m1
	has "$stderr" 'container-type is \"something\"'
	edit m1 '.annotations = {}'
	shares_pid m1 p1
	expect 1 runtime create --bundle "$work/m1" m1
	has "$stderr" 'share the VM of container p1, but not its network' '--network container:p1'
	member_bundle m1 p1 true
	shares_pid m1 p2
	expect 1 runtime create --bundle "$work/m1" m1
	has "$stderr" 'containers p1 and p2 are in different VMs'
	unshare --net --ipc sleep 1000 3>&- &
	other=$!
	eventually 5 has_own_ipc "$other"
	bundle m1 true
	edit m1 --arg pid "$other" '.linux.namespaces |=
		map(if .type == "ipc" then .path = "/proc/\($pid)/ns/ipc" else . end)'
	expect 1 runtime create --bundle "$work/m1" m1
	has "$stderr" "the ipc namespace /proc/$other/ns/ipc is that of process $other"
	edit m1 --arg pid "$other" '.hostname = ""
		| .linux.namespaces = [{ type: "network", path: "/proc/\($pid)/ns/net" }]'
	expect 1 runtime create --bundle "$work/m1" m1
	kill "$other"
	has "$stderr" "the net namespace /proc/$other/ns/net is that of process $other"
	same "$(ls "$root" | xargs)" 'p1 p2'
}

@test "a create that was killed is cleaned up, and its machine stays" {
	vm_only
	first p1
	member_bundle m1 p1 sleep 1000
	edit m1 '.hooks = { createRuntime: [{ path: "/bin/sleep", args: ["sleep", "100"] }] }'
	runtime_command
	"${command[@]}" create --bundle "$work/m1" m1 </dev/null >/dev/null 2>&1 3>&- &
	creating=$!
	eventually 10 pgrep -P "$creating" -x sleep
	expect 1 runtime delete p1
	kill -KILL "$creating"
	expect 0 runtime delete --force m1
	expect 0 runtime exec p1 true
	expect 0 runtime delete --force p1
}

# end_netmon: at once; prints nothing.
end_netmon() {
	kill -KILL "$(netmon p1)"
	eventually 5 not pgrep -x kata-netmon
}

@test "a pod's network is followed again by the next container, also where /proc hides processes" {
	vm_only
	first p1
	end_netmon
	member m1 p1 sleep 1000
	nsenter "--net=/proc/$(pid_of p1)/ns/net" sh -c 'ip link add eth0 type veth peer name peer0
		ip addr add 10.71.0.2/24 dev eth0; ip link set eth0 up'
	eventually 20 eval 'runtime exec m1 ip addr show eth0 | grep -q 10.71.0.2/24'
	# There it cannot tell whether a container is left, and goes on until delete.
	end_netmon
	member_bundle m2 p1 sleep 1000
	create m2
	runtime_command
	timeout 60 unshare --mount --propagation private sh -c \
		'mount -t proc -o hidepid=2 proc /proc && exec "$@"' sh "${command[@]}" start m2
	expect 0 runtime delete --force m2
	nsenter "--net=/proc/$(pid_of p1)/ns/net" ip addr add 10.72.0.2/24 dev eth0
	eventually 20 eval 'runtime exec m1 ip addr show eth0 | grep -q 10.72.0.2/24'
	expect 0 runtime delete --force m1
	expect 0 runtime delete --force p1
	eventually 5 not pgrep -x kata-netmon
}

@test "a pod's network is followed also when its first container has gone" {
	local ns=kt-pods-$$

	ip netns add "$ns"
	bundle p1 sleep 1000
	edit p1 --arg path "/run/netns/$ns" '.linux.cgroupsPath = "/pod-tests/p1"
		| (.linux.namespaces[] | select(.type == "network")).path = $path
		| .annotations = { "io.kubernetes.cri.container-type": "sandbox",
			"io.kubernetes.cri.sandbox-id": "p1" }'
	start p1
	member m1 p1 sleep 1000
	expect 0 runtime delete --force p1
	ip -n "$ns" link add eth0 type veth peer name peer0
	ip -n "$ns" link set peer0 up
	ip -n "$ns" addr add 10.71.0.2/24 dev eth0
	ip -n "$ns" link set eth0 up
	eventually 20 eval 'runtime exec m1 ip addr show eth0 | grep -q 10.71.0.2/24'
	if has_vm; then
		expect 0 runtime network list m1
		same "$(jq '.[] | select(.name == "eth0") | .inVM' <<<"$output")" true
	fi
	expect 0 runtime delete --force m1
	eventually 5 not pgrep -x kata-netmon
	expect 0 nsenter "--net=/run/netns/$ns" tc qdisc show
	has_not "$output" ingress
	ip netns del "$ns"
}
