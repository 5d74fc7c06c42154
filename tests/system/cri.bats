# Kubernetes' way: containerd's CRI plugin, with CNI, and cri-client in the place of the kubelet.
# With runc too.

load lib.bash
load containerd.bash

setup_file() {
	work=$(mktemp -d /var/tmp/kata-cri.XXXXXX)
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	mkdir "$work/bin" "$work/cni" "$work/logs"
	"$top/guest/busybox-bundle" "$work/bundle" -- true
	# The plugins change what forwards packets: in a network namespace, whose name may not be ours.
	basename "$work" | sed 's/^kata-//' >"$work/netns"
	ip netns add "$(<"$work/netns")"
	ip -n "$(<"$work/netns")" link set lo up # containerd's streaming server listens there
	cat >"$work/cni/net.conflist" <<-END
		{ "cniVersion": "0.4.0", "name": "cri-tests", "plugins": [{ "type": "ptp", "ipMasq": false,
			"ipam": { "type": "host-local", "subnet": "10.87.0.0/24", "dataDir": "$work/leases" } }] }
	END
	cri_configuration | containerd_begin "$(<"$work/netns")"
	import_image pause:1 sleep 100000
	import_image busybox:1 sh
}

teardown_file() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	containerd_end
	ip netns del "$(<"$work/netns")"
	find /sys/fs/cgroup -depth -type d -path '*/cri-tests*' -exec rmdir {} + || true
	rm -rf "$work"
}

setup() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	leaks_begin
	coproc CRI { nsenter "--net=/run/netns/$(<"$work/netns")" "$here/cri-client" "$work/sock" \
		"$work/logs" 3>&- 2>"$work/client"; }
}

# What a failed test leaves goes first.
teardown() {
	[[ -z ${pod:-} ]] || { call stop-pod "$pod" && call remove-pod "$pod"; } || true
	exec {CRI[1]}>&-
	wait "$CRI_PID" || cat "$work/client"
	leaks_end
}

# Where the tests run they may not be able to lower a score of the OOM killer, which runc would.
cri_configuration() {
	local cri='plugins."io.containerd.grpc.v1.cri"'

	cat <<-END
		[$cri]
		sandbox_image = "tests.invalid/pause:1"
		stream_server_address = "127.0.0.1"
		restrict_oom_score_adj = true
		[$cri.cni]
		bin_dir = "/usr/lib/cni"
		conf_dir = "$work/cni"
		[$cri.containerd]
		snapshotter = "native"
		default_runtime_name = "tested"
		[$cri.containerd.runtimes.tested]
		runtime_type = "io.containerd.runc.v2"
		[$cri.containerd.runtimes.tested.options]
		BinaryName = "$(called_runtime "$work")"
	END
}

# import_image NAME COMMAND...: busybox's files with that command, as an archive of docker's form.
import_image() {
	local dir=$work/image

	mkdir -p "$dir"
	tar -C "$work/bundle/rootfs" -c . >"$dir/layer.tar"
	jq -n --arg sum "sha256:$(sha256sum <"$dir/layer.tar" | cut -d ' ' -f 1)" '{ architecture: "amd64",
		os: "linux", config: { Env: ["PATH=/bin"], Cmd: $ARGS.positional },
		rootfs: { type: "layers", diff_ids: [$sum] } }' --args -- "${@:2}" >"$dir/config.json"
	jq -n --arg name "tests.invalid/$1" \
		'[{ Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"] }]' >"$dir/manifest.json"
	tar -C "$dir" -c . | ctr_command -n k8s.io images import --snapshotter native -
}

# call VERB ARGUMENT...: $answer is what cri-client answers. Arguments that are JSON are that, others texts.
call() {
	jq -nc '$ARGS.positional | map(. as $text | try fromjson catch $text)' --args -- "$@" >&"${CRI[1]}"
	IFS= read -r -t 160 answer <&"${CRI[0]}" || { cat "$work/client" && return 1; }
	printf '%s: %s\n' "$1" "$answer"
	[[ $answer != '{"error"'* ]]
}

# of_answer JQ
of_answer() {
	jq -r "$1" <<<"$answer"
}

run_pod() {
	call run "$1" '{}' '{}'
	pod=$(of_answer .)
}

# run_container NAME COMMAND OPTIONS: a shell's; $container is its id.
run_container() {
	call create "$pod" "$1" tests.invalid/busybox:1 \
		"$(jq -nc '["sh", "-c", $ARGS.positional[0]]' --args -- "$2")" "${3:-{\}}"
	container=$(of_answer .)
	call start "$container"
}

# inside ID SCRIPT: its output, when it exits with 0.
inside() {
	call exec "$1" "$(jq -nc '["sh", "-c", $ARGS.positional[0]]' --args -- "$2")" >/dev/null || return
	of_answer .stdout
	[[ $(of_answer .code) == 0 ]]
}

has_state() {
	call status "$1" >/dev/null && [[ $(of_answer '"\(.state) \(.code)"') == "$2" ]]
}

@test "a pod of two containers: run, exec, logs, stats, update, stop, remove" {
	local one two sized

	mkdir "$work/volume"
	run_pod first
	run_container one 'trap "exit 3" TERM; echo out; echo err >&2; echo x >/dev/shm/x
		nc -l -p 80 -e echo answer & while read -r line; do echo "got $line"; done' \
		"{\"stdin\":true,\"mounts\":{\"/volume\":\"$work/volume\"}}"
	one=$container
	run_container two 'sleep 1000' '{"resources":{"memory":67108864,"quota":50000,"period":100000,"shares":512}}'
	two=$container
	has_state "$one" 'running 0'
	# Network, IPC and host name are the pod's, processes and files their own.
	call pod "$pod"
	address=$(of_answer .ip)
	for id in "$one" "$two"; do
		same "$(inside "$id" hostname)" first
		has "$(inside "$id" 'ip -4 address show eth0')" "inet $address/24"
		same "$(inside "$id" 'cat /dev/shm/x')" x
		! has_vm || [[ $(inside "$id" 'uname -r') != "$(uname -r)" ]]
	done
	! has_vm || same "$(inside "$two" 'cat /sys/fs/cgroup/memory.max')" 67108864
	! has_vm || same "$(inside "$one" 'cat /proc/sys/kernel/random/boot_id')" \
		"$(inside "$two" 'cat /proc/sys/kernel/random/boot_id')"
	has_not "$(inside "$two" ps)" 'trap "exit'
	inside "$one" 'echo written >/volume/file'
	same "$(<"$work/volume/file")" written
	call exec "$two" '["sh","-c","echo to out; echo to err >&2; exit 4"]'
	same "$(of_answer '"\(.code) \(.stdout) \(.stderr)"')" $'4 to out\n to err'
	not call exec "$two" '["no-such-program"]'
	has "$answer" 'exec: \"no-such-program\": executable file not found in $PATH'
	eventually 10 grep -q 'stdout F out$' "$work/logs/one.log"
	eventually 10 grep -q 'stderr F err$' "$work/logs/one.log"
	# kubectl exec, attach and port-forward, by the streaming server.
	call stream "$two" '["sh","-c","read a; echo out $a; echo err >&2; exit 4"]' false $'x y\n'
	same "$(of_answer '"\(.code) \(.stdout) \(.stderr)"')" $'4 out x y\n err'
	sized='until stty size | grep -qx "33 77"; do sleep 0.1; done; tty; read a; echo $a; exit 3'
	call stream "$two" "$(jq -nc --arg sized "$sized" '["sh", "-c", $sized]')" true $'typed\n'
	same "$(of_answer .code)" 3
	has "$(of_answer .stdout)" $'/dev/pts/0\r\n'
	has "$(of_answer .stdout)" $'typed\r\n'
	call attach "$one" $'hello\n' 'got hello'
	call attach "$one" $'again\n' 'got again'
	call forward "$pod" 80
	if has_vm; then
		# containerd connects to the loopback of the pod's network on the host, which is not the guest's.
		same "$(of_answer .data)" ''
		has "$(of_answer .error)" 'connection refused'
	else
		same "$(of_answer .data)" answer
	fi
	call stats "$two"
	(($(of_answer .cpu) > 0 && $(of_answer .memory) > 0))
	call update "$two" '{"memory":83886080,"quota":20000,"period":100000}'
	! has_vm || same "$(inside "$two" 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max')" \
		$'83886080\n20000 100000'
	call stop "$one" 10
	has_state "$one" 'exited 3'
	has_state "$two" 'running 0'
	# The kubelet makes it again in the same pod.
	call remove "$one"
	run_container one 'exit 5'
	eventually 20 has_state "$container" 'exited 5'
	call stop-pod "$pod"
	has_state "$two" 'exited 137'
	call remove-pod "$pod"
	pod=''
}

@test "what cannot be started is an error, and the pod lives" {
	run_pod second
	call create "$pod" bad tests.invalid/busybox:1 '["no-such-program"]' '{}'
	container=$(of_answer .)
	not call start "$container"
	has "$answer" 'exec: \"no-such-program\": executable file not found in $PATH'
	call status "$container"
	same "$(of_answer '"\(.state) \(.reason)"')" 'exited StartError'
	call pod "$pod"
	same "$(of_answer .state)" ready
	# TERM, which the shell ignores as the first process of its namespace, and KILL a second later.
	run_container stubborn 'while :; do sleep 0.1; done'
	call stop "$container" 1
	has_state "$container" 'exited 137'
	call stop-pod "$pod"
	call remove-pod "$pod"
	pod=''
}
