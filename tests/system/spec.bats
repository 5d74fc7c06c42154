# What config.json may ask for beyond what every engine does: hooks, namespaces with their maps and
# offsets, personality, recursive mount options; and that a refusal leaves nothing.

load lib.bash

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	leaks_begin
	mkdir -p "$base/rootfs/log"
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
	leaks_end
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
	mkdir -p "$work/log"
	chmod 0777 "$work/log"
	rm -f "$work/log"/*
}

teardown() {
	remove_containers ''
}

# hook KIND DIR [SCRIPT]: a hook that keeps its state and the network it is in there.
hook() {
	jq -n --arg kind "$1" --arg script "cat >$2/$1; readlink /proc/self/ns/net >$2/$1.net
		${3:-}" '{ path: "/bin/sh", args: ["sh", "-c", $script], timeout: 20 }'
}

# with_hooks NAME: all six of them.
with_hooks() {
	local kind dir script

	edit "$1" --arg log "$work/log" '.mounts += [{ destination: "/log", type: "bind",
		source: $log, options: ["rbind", "rw"] }] | .annotations = { "org.example.a": "b" }'
	for kind in prestart createRuntime createContainer startContainer poststart poststop; do
		dir=$work/log script=
		[[ $kind != startContainer ]] || dir=/log
		[[ $kind != prestart ]] || script="exec >$dir/links; export PATH=$PATH
			nsenter --net=/proc/\$(jq .pid $dir/prestart)/ns/net ip -o link"
		edit "$1" --arg kind "$kind" --argjson hook "$(hook "$kind" "$dir" "$script")" \
			'.hooks[$kind] = [$hook]'
	done
}

# state_of KIND: what its hook was told.
state_of() {
	jq -r '[.status, (.pid // 0 | tostring), .id, .bundle, .annotations["org.example.a"]]
		| join(" ")' "$work/log/$1"
}

@test "all six hooks run at their moments with the whole state" {
	bundle hooks sh -c 'test -e /log/startContainer && sleep 1000'
	with_hooks hooks
	create hooks
	pid=$(pid_of hooks)
	for kind in prestart createRuntime; do
		same "$(state_of $kind)" "creating $pid hooks $work/hooks b"
	done
	# runc runs it among the container's processes, where its first one is number 1.
	same "$(state_of createContainer)" \
		"creating $(has_vm && echo "$pid" || echo 1) hooks $work/hooks b"
	# What fills the network begins with nothing.
	same "$(wc -l <"$work/log/links")" 1
	has "$(<"$work/log/links")" 'lo: <LOOPBACK'
	[[ ! -e $work/log/poststart ]]
	! has_vm || [[ ! -e $work/log/startContainer ]] # runc 1.1 runs it at create
	# That of the container, on the host.
	same "$(<"$work/log/createContainer.net")" "$(readlink "/proc/$pid/ns/net")"
	same "$(<"$work/log/createRuntime.net")" "$(readlink /proc/self/ns/net)"
	runtime start hooks
	same "$(state_of startContainer)" "created 1 hooks $work/hooks b"
	same "$(state_of poststart)" "running $pid hooks $work/hooks b"
	same "$(status_of hooks)" running
	[[ ! -e $work/log/poststop ]]
	runtime delete --force hooks
	same "$(state_of poststop)" "stopped 0 hooks $work/hooks b"
}

@test "a createContainer hook that fails takes everything back" {
	bundle refused sleep 1000
	edit refused --arg log "$work/log" '.hooks = {
		createContainer: [{ path: "/bin/sh", args: ["sh", "-c", "echo no such luck >&2; exit 5"] }],
		poststop: [{ path: "/bin/sh", args: ["sh", "-c", "cat >\($log)/poststop"] }] }'
	expect 1 runtime create --bundle "$work/refused" refused </dev/null
	has "$stderr" 'no such luck'
	! has_vm || has "$stderr" 'hooks.createContainer[0] /bin/sh'
	[[ -s $work/log/poststop ]]
	expect 1 runtime state refused
}

@test "a startContainer hook that fails stops the container" {
	bundle late sleep 1000
	edit late '.hooks.startContainer = [{ path: "/bin/sh", args: ["sh", "-c", "echo not ready; exit 5"] }]'
	create late
	# runc does not wait for it.
	expect "$(has_vm && echo 1 || echo 0)" runtime start late
	! has_vm || has "$stderr" 'hooks.startContainer[0] /bin/sh' 'status 5: not ready'
	eventually 10 has_status late stopped
}

@test "a container with a user namespace, other clocks and another personality" {
	vm_only # the host's kernel and runc's age decide what runc can do of these
	mkdir -p "$work/theirs"
	bundle own sh -c 'cat /proc/self/uid_map; stat -c %u:%g /theirs /proc/1; uname -m
		cat /proc/sys/kernel/domainname; cut -d. -f1 /proc/uptime; touch /theirs/made
		echo x >/tree/x 2>/dev/null || echo read-only'
	chown 100000:100000 "$work/theirs"
	edit own --arg work "$work" '.domainname = "of.test"
		| .linux.namespaces += [{ type: "user" }, { type: "time" }]
		| .linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
		| .linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
		| .linux.timeOffsets = { boottime: { secs: 864000 } }
		| .linux.personality = { domain: "LINUX32" }
		| .mounts += [{ destination: "/theirs", type: "bind", source: ($work + "/theirs"),
				options: ["rbind"] },
			{ destination: "/tree", type: "bind", source: ($work + "/log"),
				options: ["rbind", "rro"] }]'
	cp -a "$base/rootfs" "$work/own/rootfs"
	chown -R 100000:100000 "$work/own/rootfs"
	edit own '.root.path = "rootfs"'
	expect 0 runtime run --bundle "$work/own" own </dev/null
	same "$(tr -s ' ' <<<"${lines[0]}")" ' 0 100000 65536'
	same "${lines[1]} ${lines[2]} ${lines[3]} ${lines[4]}" '0:0 0:0 i686 of.test'
	((lines[5] >= 864000))
	same "${lines[6]}" read-only
	same "$(stat -c %u:%g "$work/theirs/made")" 100000:100000
	rm -rf "$work/own/rootfs"
}

@test "annotations change the machine as far as the configuration lets them" {
	vm_only
	local prefix=io.katacontainers.config.hypervisor plain=$config

	bundle annotated sh -c 'cat /proc/cmdline; sleep 1000'
	edit annotated --arg p "$prefix" '.annotations = { "\($p).default_memory": "384",
		"\($p).default_max_memory": "600", "\($p).kernel_params": "of.test=1",
		"\($p).default_vcpus": "2", "\($p).kernel": "/etc/passwd",
		"io.katacontainers.config_path": "/nonexistent" }'
	config=$work/annotated.json
	jq '.hypervisor.enable_annotations = ["default_.*memory", "hypervisor[.]kernel.*"]' "$plain" >"$config"
	# A kernel would have to be on the list of valid paths.
	expect 1 runtime create --bundle "$work/annotated" annotated
	has "$stderr" "config.json: annotations.$prefix.kernel: /etc/passwd is no file"
	edit annotated --arg p "$prefix" 'del(.annotations["\($p).kernel"])'
	start annotated
	eventually 10 grep -q 'of.test=1' "$work/annotated/out"
	expect 0 runtime exec annotated awk '/^MemTotal/ { print $2 }' /proc/meminfo
	((output > 310000))
	same "$(runtime exec annotated nproc </dev/null)" 1
	has "$(log annotated runtime)" "$prefix.default_vcpus, io.katacontainers.config_path"
	# The machine keeps what it was made with, whatever the files say now.
	config=$plain
	expect 1 runtime update --memory 1g annotated
	has "$stderr" 'hypervisor.default_maxmemory allows 600'
}

@test "what cannot be is refused by its name before anything is made" {
	vm_only
	refused=(
		'.linux.intelRdt = { closID: "a" }' linux.intelRdt
		'.linux.resources.rdma = { mlx: { hcaHandles: 1 } }' linux.resources.rdma
		'.linux.seccomp = { defaultAction: "SCMP_ACT_NOTIFY" }' linux.seccomp
		'.linux.namespaces += [{ type: "user" }]' linux.uidMappings
		'.linux.namespaces |= map(if .type == "pid" then .path = "/proc/1/ns/pid" else . end)'
		'/proc/1/ns/pid'
		'.mounts += [{ destination: "/x", type: "bind", source: "/tmp", options: ["idmap"] }]'
		idmap
		'.annotations["io.kubernetes.cri.container-type"] = "container"'
		io.kubernetes.cri.sandbox-id
	)
	for ((k = 0; k < ${#refused[@]}; k += 2)); do
		bundle never true
		edit never "${refused[k]}"
		expect 1 runtime --log "$work/log/never" --log-format json create \
			--bundle "$work/never" --pid-file "$work/never.pid" never </dev/null
		has "$stderr" "${refused[k + 1]}"
		same "$(jq -r .msg "$work/log/never" | tail -n 1)" "$stderr"
		[[ ! -e $work/never.pid && ! -e $root/never ]]
	done
}
