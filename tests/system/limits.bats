# What bounds a container: seccomp, kernel parameters, cgroup limits, device rules, resource limits of
# processes, pause and update. Bundles by hand; docker's own settings come from its config.json in
# tests/unit/samples. Container "main" serves most tests and is only looked at. With runc too.

load lib.bash

docker=$top/tests/unit/samples/docker-plain.json

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	bundle main sleep 1000
	limit main '.linux.resources.memory = { limit: 67108864, swap: 134217728 }
		| .linux.resources.cpu = { shares: 512, quota: 50000, period: 100000 }
		| .linux.resources.pids = { limit: 20 }
		| .linux.sysctl = { "net.ipv4.ip_unprivileged_port_start": "7", "kernel.shmmax": "123456" }
		| .process.oomScoreAdj = 7
		| .process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 77, hard: 88 }]'
	start main
}

# limit NAME JQ: the bundle with what docker sets, and more.
limit() {
	edit "$1" --slurpfile docker "$docker" '
		.linux.seccomp = $docker[0].linux.seccomp
		| .linux.resources.devices = $docker[0].linux.resources.devices
		| .process.capabilities = $docker[0].process.capabilities
		| .process.noNewPrivileges = false | .process.user = { uid: 0, gid: 0 }
		| .linux.cgroupsPath = "/system-tests/'"$1"'"
		| .linux.namespaces |= map(select(.type != "cgroup")) + [{ type: "cgroup" }]
		| .mounts |= map(select(.destination != "/sys/fs/cgroup")) + [{ type: "cgroup",
			destination: "/sys/fs/cgroup", source: "cgroup",
			options: ["ro", "nosuid", "noexec", "nodev"] }]
		| '"${2:-.}"
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
	find /sys/fs/cgroup -depth -type d -path '*/system-tests*' -exec rmdir {} + || true
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
}

teardown() {
	remove_containers main
}

# inside COMMAND: in the main container.
inside() {
	runtime exec main sh -c "$1" </dev/null
}

# cgroup_files ID FILE...: what they hold, in one line.
cgroup_files() {
	runtime exec "$1" sh -c 'cd /sys/fs/cgroup && cat "$@" | tr "\n" ";"' sh "${@:2}" </dev/null
}

# --- seccomp --------------------------------------------------------------------------------

@test "docker's seccomp profile holds for the first process and for others" {
	expect 0 inside 'grep -h ^Seccomp: /proc/1/status /proc/self/status | tr -d "\t\n"'
	same "$output" 'Seccomp:2Seccomp:2'
	expect 1 inside 'unshare -U true'
	has "$stderr" 'Operation not permitted'
	bundle sys sh -c 'mount -t tmpfs none /proc/tty; echo $?'
	limit sys '.process.capabilities.bounding += ["CAP_SYS_ADMIN"]
		| .process.capabilities.effective += ["CAP_SYS_ADMIN"]
		| .process.capabilities.permitted += ["CAP_SYS_ADMIN"]'
	expect 0 runtime run --bundle "$work/sys" sys
	same "$output" 1
	edit sys 'del(.linux.seccomp)'
	expect 0 runtime run --bundle "$work/sys" sys
	same "$output" 0
}

@test "seccomp with no_new_privs and another user" {
	bundle nnp sh -c 'grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status | tr -d "\t"; unshare -U true'
	limit nnp '.process.noNewPrivileges = true | .process.user = { uid: 1000, gid: 1000 }'
	expect 1 runtime run --bundle "$work/nnp" nnp
	same "$output" $'NoNewPrivs:1\nSeccomp:2'
}

@test "errno, arguments and unknown names of a profile" {
	bundle rules sh -c 'mkdir /tmp/a; sync; echo $?; chmod 700 /tmp; chmod 755 /tmp'
	limit rules '.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [
		{ names: ["nosuchcall", "mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 },
		{ names: ["chmod"], action: "SCMP_ACT_ERRNO",
			args: [{ index: 1, value: 448, op: "SCMP_CMP_EQ" }] }] }'
	expect 0 runtime run --bundle "$work/rules" rules
	has "$stderr" 'No space left on device'
	same "$(grep -c 'Operation not permitted' <<<"$stderr")" 1
}

@test "seccomp notification is refused" {
	bundle notify true
	limit notify '.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [
		{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }] }'
	run runtime run --bundle "$work/notify" notify
	((status != 0))
}

# --- kernel parameters, limits of processes ----------------------------------------------------

@test "kernel parameters of the container's namespaces" {
	expect 0 inside 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmax'
	same "$output" $'7\n123456'
}

@test "a parameter of the whole kernel is refused by name" {
	bundle sysctl true
	limit sysctl '.linux.sysctl = { "kernel.core_pattern": "|/bin/sh" }'
	run runtime run --bundle "$work/sysctl" sysctl
	((status != 0))
	has "$output" kernel.core_pattern 'not in a separate kernel namespace'
}

@test "resource limits and the OOM score of the process" {
	expect 0 inside 'cat /proc/1/oom_score_adj; grep "open files" /proc/1/limits | tr -s " "'
	has "$output" 7 '77 88'
}

# --- cgroup ---------------------------------------------------------------------------------

@test "the guest's cgroup has the limits" {
	vm_only
	expect 0 cgroup_files main memory.max memory.swap.max cpu.max cpu.weight pids.max
	same "$output" '67108864;67108864;50000 100000;20;20;'
}

@test "too many processes cannot be made" {
	run inside 'i=0; while [ $i -lt 30 ]; do sleep 5 & i=$((i + 1)); done; wait'
	has "$output" "can't fork"
}

@test "too much memory ends the container with 137" {
	bundle hungry tail /dev/zero
	limit hungry '.linux.resources.memory = { limit: 67108864, swap: 67108864 }'
	start hungry
	eventually 90 ended hungry "$(pid_of hungry)" >/dev/null
	same "$(exit_code hungry)" 137
}

@test "a machine is large enough for its container's limit" {
	vm_only
	bundle large grep -E '^MemAvailable' /proc/meminfo
	limit large '.linux.resources.memory = { limit: 629145600 }'
	expect 0 runtime run --bundle "$work/large" large
	(($(tr -dc 0-9 <<<"$output") >= 600 * 1024))
}

@test "processor time is bounded" {
	vm_only
	bundle busy sh -c 'i=0; while [ $i -lt 40000 ]; do i=$((i + 1)); done
		cat /sys/fs/cgroup/cpu.stat'
	limit busy '.linux.resources.cpu = { quota: 20000, period: 100000 }'
	expect 0 runtime run --bundle "$work/busy" busy
	(($(sed -n 's/^nr_throttled //p' <<<"$output") > 0))
}

@test "device rules" {
	local script='mknod /dev/z c 1 5; head -c 1 /dev/z | wc -c; mknod /dev/fuse c 10 229
		(: </dev/fuse) 2>&1 | grep -c "not permitted"; mknod /dev/sda b 8 0
		(: </dev/sda) 2>&1 | grep -c "not permitted"'

	bundle devices sh -c "$script"
	limit devices
	expect 0 runtime run --bundle "$work/devices" devices
	same "$output" $'1\n1\n1'
	limit devices '.linux.resources.devices += [{ allow: true, type: "c", major: 10, minor: 229,
		access: "rwm" }]'
	run --separate-stderr runtime run --bundle "$work/devices" devices
	same "$output" $'1\n0\n1'
}

# --- pause ----------------------------------------------------------------------------------

@test "pause stops all processes, resume lets them go on" {
	bundle counter sh -c 'while :; do i=$((i + 1)); echo $i; sleep 0.05; done'
	limit counter
	start counter
	expect 1 runtime resume counter
	has "$stderr" 'container not paused'
	eventually 20 test -s "$work/counter/out"
	expect 0 runtime pause counter
	same "$output$stderr" ''
	same "$(status_of counter)" paused
	sleep 0.3
	before=$(wc -l <"$work/counter/out")
	sleep 0.5
	same "$(wc -l <"$work/counter/out")" "$before"
	expect 255 runtime exec counter true
	has "$stderr" 'cannot exec in a paused container'
	expect 1 runtime pause counter
	has "$stderr" 'container not running'
	expect 1 runtime delete counter
	has "$stderr" 'that is not stopped: paused'
	expect 0 runtime resume counter
	same "$(status_of counter)" running
	eventually 10 grep -qx $((before + 5)) "$work/counter/out"
	expect 0 runtime exec counter true
}

@test "SIGKILL and delete --force do not wait for resume" {
	bundle frozen sleep 1000
	limit frozen
	start frozen
	expect 0 runtime pause frozen
	expect 0 runtime kill frozen KILL
	same "$(exit_code frozen)" 137
	expect 1 runtime pause frozen
	has "$stderr" 'container not running'
	expect 0 runtime delete frozen
	start frozen
	expect 0 runtime pause frozen
	expect 0 runtime delete --force frozen
	same "$(exit_code frozen)" 137
}

# --- update ---------------------------------------------------------------------------------

@test "update changes what is named and nothing else" {
	vm_only
	bundle change sleep 1000
	limit change '.linux.resources.memory = { limit: 67108864, swap: 134217728 }
		| .linux.resources.pids = { limit: 20 }'
	start change
	expect 0 runtime update --memory 100m --memory-swap 100m change
	expect 0 cgroup_files change memory.max memory.swap.max cpu.max pids.max
	same "$output" '104857600;0;max 100000;20;'
	# what docker update and CRI send
	expect 0 runtime update --resources - change <<<'{ "memory": { "limit": 134217728,
		"reservation": 0, "swap": 268435456, "kernel": 0 }, "blockIO": { "weight": 0 },
		"cpu": { "shares": 0, "quota": 25000, "period": 50000 },
		"devices": [{ "allow": false, "access": "rwm" }] }'
	expect 0 cgroup_files change memory.max memory.swap.max cpu.max pids.max
	same "$output" '134217728;134217728;25000 50000;20;'
	expect 0 runtime exec change sh -c ': </dev/null' </dev/null
	expect 0 runtime update --pids-limit -1 --cpu-share 2048 change
	expect 0 cgroup_files change cpu.weight pids.max
	same "$output" '79;max;'
	# A quota and its period, memory and swap: what is left out stays.
	expect 0 runtime update --cpu-period 100000 change
	expect 0 runtime update --memory-swap 200m change
	expect 0 cgroup_files change memory.max memory.swap.max cpu.max
	same "$output" '134217728;75497472;25000 100000;'
	expect 0 runtime update --cpu-quota 30000 change
	expect 0 cgroup_files change cpu.max
	same "$output" '30000 100000;'
	expect 1 runtime update --resources - change \
		<<<'{ "memory": { "limit": 4096, "checkBeforeUpdate": true } }'
	has "$stderr" 'rejecting memory limit 4096 <= usage'
	expect 0 cgroup_files change memory.max
	same "$output" '134217728;'
	expect 0 runtime update --resources - change \
		<<<'{ "memory": { "limit": 100663296, "checkBeforeUpdate": true } }'
	expect 1 runtime update --memory 10x change
	has "$stderr" --memory 10x
	expect 1 runtime update --memory-swap 1m change
	expect 1 runtime update --memory 1m nosuch
	has "$stderr" 'container does not exist'
}

# vm_memory ID: the memory of its machine, MiB.
vm_memory() {
	runtime exec "$1" sed -n 's/^MemTotal: *\([0-9]*\)[0-9]\{3\} kB$/\1/p' /proc/meminfo </dev/null
}

@test "update to more than the machine has makes the machine larger" {
	local before

	bundle grow sleep 1000
	limit grow '.linux.resources.memory = { limit: 67108864, swap: 67108864 }
		| .linux.resources.cpu = { quota: 50000, period: 100000 }'
	start grow
	before=$(vm_memory grow)
	run runtime exec grow dd if=/dev/zero of=/dev/null bs=450M count=1
	((status != 0))
	expect 0 runtime update --memory 600m --memory-swap 600m grow
	expect 0 runtime exec grow dd if=/dev/zero of=/dev/null bs=450M count=1
	expect 0 cgroup_files grow memory.max cpu.max
	! has_vm || same "$output" '629145600;50000 100000;'
	! has_vm || (($(vm_memory grow) > before + 450))
	expect 0 runtime update --cpu-quota 150000 --cpu-period 100000 grow
	! has_vm || same "$(runtime exec grow nproc </dev/null)" "$(vcpus 2 runtime exec grow)"
	# It stays as large as it is.
	before=$(vm_memory grow)
	expect 0 runtime update --memory 64m --memory-swap 64m --cpu-quota 50000 grow
	! has_vm || same "$(vm_memory grow)" "$before"
	expect 137 runtime exec grow dd if=/dev/zero of=/dev/null bs=450M count=1
	expect 0 runtime exec grow true
}

@test "more than the configuration allows is refused by name, and nothing changed" {
	vm_only
	local file=$work/bounds.json before

	echo '{ "hypervisor": { "default_maxmemory": 512, "default_maxvcpus": 1 } }' >"$file"
	bundle bound sleep 1000
	limit bound '.linux.resources.memory = { limit: 1073741824 }'
	expect 1 runtime --kata-config "$file" run --bundle "$work/bound" bound
	has "$stderr" 'config.json: linux.resources: a VM of 1199 MiB is needed' \
		'hypervisor.default_maxmemory allows 512'
	limit bound '.linux.resources.memory = {} | .linux.resources.cpu = { quota: 200000, period: 100000 }'
	expect 1 runtime --kata-config "$file" run --bundle "$work/bound" bound
	has "$stderr" 'a VM of 2 processors is needed' 'hypervisor.default_maxvcpus allows 1'
	limit bound '.linux.resources = {}'
	runtime --kata-config "$file" create --bundle "$work/bound" bound </dev/null >/dev/null
	expect 0 runtime --kata-config "$file" start bound
	before=$(vm_memory bound)
	expect 1 runtime --kata-config "$file" update --memory 1g bound
	has "$stderr" 'hypervisor.default_maxmemory allows 512'
	expect 1 runtime update --memory 1g bound
	has "$stderr" 'this VM can get 256'
	expect 0 cgroup_files bound memory.max
	same "$output" 'max;'
	same "$(vm_memory bound)" "$before"
	expect 0 runtime --kata-config "$file" update --memory 300m bound
	(($(vm_memory bound) > before))
}
