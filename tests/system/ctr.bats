# containerd's ctr with our runtime: a containerd of its own, images and containers without a network.
# With runc too.

load lib.bash
load containerd.bash

setup_file() {
	work=$(mktemp -d /var/tmp/kata-ctr.XXXXXX)
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	mkdir "$work/bin"
	"$top/guest/busybox-bundle" "$work/bundle" -- true
	containerd_begin '' <<<'disabled_plugins = ["io.containerd.grpc.v1.cri"]'
}

teardown_file() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	containerd_end
	rm -rf "$work"
}

setup() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	leaks_begin
}

teardown() {
	leaks_end
}

# ctr_run [OPTION...] ROOTFS ID COMMAND...; without an image ctr sets no PATH.
ctr_run() {
	ctr_command run --runc-binary "$(called_runtime "$work")" --env PATH=/bin --rootfs "$@"
}

@test "ctr run prints the guest's kernel and passes on the exit code" {
	vm_only
	expect 0 ctr_run --rm "$work/bundle/rootfs" one uname -r
	[[ $output != "$(uname -r)" ]]
	[[ -e /boot/vmlinuz-$output ]]
}

@test "ctr run exits with the container's code" {
	expect 7 ctr_run --rm "$work/bundle/rootfs" two sh -c 'exit 7'
}

@test "a missing program is an error that names it" {
	expect 1 ctr_run --rm "$work/bundle/rootfs" three no-such-program
	has "$stderr$output" 'exec: "no-such-program": executable file not found in $PATH'
}

@test "a running container has tasks, execs, pids and an end" {
	ctr_run -d "$work/bundle/rootfs" five sh -c 'trap "exit 9" TERM; while :; do sleep 0.2; done'
	expect 0 ctr_command task ls
	has "$output" five RUNNING
	expect 0 ctr_command task exec --exec-id e1 five cat /proc/1/comm
	same "$output" sh
	expect 3 ctr_command task exec --exec-id e2 five sh -c 'exit 3'
	expect 0 ctr_command task ps five
	has "$output" "$(ctr_command task ls | awk '$1 == "five" { print $2 }')"
	expect 0 ctr_command task metrics --format json five
	jq -e '.memory.usage.usage > 0 and .pids.current > 0' <<<"$output"
	expect 0 ctr_command task pause five
	has "$(ctr_command task ls)" PAUSED
	expect 0 ctr_command task resume five
	has "$(ctr_command task ls)" RUNNING
	expect 0 ctr_command task kill --signal SIGTERM five
	eventually 20 task_stopped five
	expect 1 ctr_command task kill --signal SIGTERM five
	has "$stderr" 'process already finished: not found'
	expect 0 ctr_command task delete five
	has "$stderr" 'exit code 9'
	expect 0 ctr_command container delete five
}

@test "a container without streams" {
	ctr_run -d --null-io "$work/bundle/rootfs" mute sh -c 'echo lost; read -r line; trap "exit 4" TERM
		while :; do sleep 0.2; done'
	eventually 20 ctr_command task exec --exec-id e1 mute pidof sleep
	expect 0 ctr_command task kill --signal SIGTERM mute
	eventually 20 task_stopped mute
	expect 0 ctr_command task delete mute
	has "$stderr" 'exit code 4'
	expect 0 ctr_command container delete mute
}

@test "a checkpoint is refused, and the container goes on" {
	vm_only # runc would need criu
	ctr_run -d "$work/bundle/rootfs" stays sleep 1000
	expect 1 ctr_command task checkpoint stays
	has "$stderr" 'checkpoint'
	has "$(ctr_command task ls)" RUNNING
	expect 0 ctr_command task exec --exec-id e1 stays true
	expect 0 ctr_command task kill --signal SIGKILL stays
	eventually 20 task_stopped stays
	run ctr_command task delete stays
	expect 0 ctr_command container delete stays
}

task_stopped() {
	ctr_command task ls | grep -q "$1 .*STOPPED"
}

# kubernetes' way, without its client: annotations say which container is of which pod.
@test "a pod's containers by CRI annotations have one machine" {
	local -a member=(--annotation io.kubernetes.cri.container-type=container
		--annotation io.kubernetes.cri.sandbox-id=pod)
	local before

	before=$(monitors)
	ctr_run -d --annotation io.kubernetes.cri.container-type=sandbox \
		--annotation io.kubernetes.cri.sandbox-id=pod "$work/bundle/rootfs" pod sleep 1000
	pid=$(ctr_command task ls | awk '$1 == "pod" { print $2 }')
	member+=(--with-ns "network:/proc/$pid/ns/net" --with-ns "ipc:/proc/$pid/ns/ipc")
	ctr_run -d "${member[@]}" "$work/bundle/rootfs" one sh -c \
		'trap "exit 9" TERM; while :; do sleep 0.2; done'
	expect 3 ctr_run --rm "${member[@]}" "$work/bundle/rootfs" two sh -c 'exit 3'
	! has_vm || same "$(monitors)" $((before + 1))
	expect 0 ctr_command task exec --exec-id e1 one true
	expect 0 ctr_command task kill --signal SIGTERM one
	eventually 20 task_stopped one
	expect 0 ctr_command task delete one
	has "$stderr" 'exit code 9'
	expect 0 ctr_command task kill --signal SIGKILL pod
	eventually 20 task_stopped pod
	run ctr_command task delete pod
	expect 0 ctr_command container delete one pod
}
