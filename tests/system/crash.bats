#!/usr/bin/env bats
# Processes of ours that die at any moment: the proxy's worker is replaced and nobody notices.

load lib

setup_file() {
	[[ $(id -u) == 0 ]] || skip 'the runtime needs root'
	prepare_directory "$BATS_FILE_TMPDIR"
	jq '.proxy.worker_crashes = 1000' "$config" >"$config.new"
	mv "$config.new" "$config"
	leaks_begin
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
	leaks_end
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
	vm_only
}

teardown() {
	remove_containers
}

# another_worker ID PID: is there a worker, and not that one?
another_worker() {
	local pid

	pid=$(process "$1" worker) && [[ -n $pid && $pid != "$2" ]]
}

# crash_worker ID [SIGNAL]: and waits for the next one.
crash_worker() {
	local pid

	pid=$(process "$1" worker)
	kill -s "${2:-KILL}" "$pid"
	eventually 10 another_worker "$1" "$pid"
	# Under Valgrind it begins so late that else a hundred would be killed before one begins, and clients
	# wait 15 s for the agent.
	[[ -z ${KATA_TEST_VALGRIND:-} ]] || sleep 1
}

# worker_pauses ID: milliseconds from each crash that the monitor saw to the next worker, sorted.
worker_pauses() {
	log "$1" proxy | awk -F'[T:Z]' '
		{ now = ($2 * 60 + $3) * 60 + $4 }
		/the worker crashed/ { from = now }
		/another worker runs/ { print int((now - from) * 1000) }' | sort -n
}

sum_of() {
	sha256sum <"$1"
}

@test "worker: killed 100 times under four streams, nothing lost, nothing doubled" {
	local i exec command

	runtime_command
	head -c 100M /dev/urandom >"$work/input"
	# Its end would be the exec's end: it waits for that.
	bundle crashed sh -c 'cat; while [ ! -e /dev/shm/go ]; do sleep 0.1; done; exit 7'
	stdin=$work/input create crashed
	runtime start crashed
	timeout 300 "${command[@]}" exec crashed sh -c 'cat; exit 9' <"$work/input" >"$work/exec.out" 2>"$work/exec.err" 3>&- &
	exec=$!
	for ((i = 0; i < 100; i++)); do
		crash_worker crashed
	done
	echo "moved when all were dead: $(stat -c %s "$work/crashed/out" "$work/exec.out" | xargs)"
	# The same way the program is upgraded.
	i=$(process crashed worker)
	expect 0 runtime proxy-restart "$(sandbox crashed)"
	another_worker crashed "$i"
	expect 1 runtime proxy-restart nosuch
	has "$stderr" 'there is no sandbox or container nosuch'
	status=0
	wait $exec || status=$?
	same "$(<"$work/exec.err")" ''
	same "$status" 9
	runtime exec crashed touch /dev/shm/go
	same "$(exit_code crashed)" 7
	same "$(sum_of "$work/exec.out")" "$(sum_of "$work/input")"
	same "$(sum_of "$work/crashed/out")" "$(sum_of "$work/input")"
	same "$(grep -c 'another worker runs' "$logs/$(sandbox crashed)/proxy.log")" 100
	worker_pauses crashed >"$work/pauses"
	echo "until the next worker: median $(sed -n 50p "$work/pauses") ms, longest $(tail -n 1 "$work/pauses") ms"
	same "$(wc -l <"$work/pauses")" 100
	(($(sed -n 50p "$work/pauses") < 1000))
	rm "$work/input" "$work/exec.out" "$work/crashed/out"
}

# The parent of its shim cannot reap that, and the kernel keeps the container's shim so long.
@test "exec: one that its user has stopped keeps no container" {
	local command exec way

	runtime_command
	for way in kill delete; do
		bundle held sleep 1000
		start held
		: >"$work/exec.out"
		"${command[@]}" exec held sh -c 'echo runs; sleep 1000' </dev/null >"$work/exec.out" 2>&1 3>&- &
		exec=$!
		eventually 10 test -s "$work/exec.out"
		kill -STOP $exec
		if [[ $way == kill ]]; then
			expect 0 runtime kill held KILL
			eventually 2 has_status held stopped
		fi
		expect 0 runtime delete --force held
		status=0
		wait $exec || status=$?
		same "$status" 137
	done
}

@test "why: a killed QEMU is no success, and is named; gc: what nobody needs goes" {
	local command

	bundle victim sleep 1000
	edit victim --arg file "$work/hook" '.hooks.poststop = [{ path: "/bin/sh", args: ["sh", "-c",
		"grep -E \"^(Seccomp|CapBnd):\" /proc/self/status >" + $file] }]'
	start victim
	expect 0 runtime why victim
	has "$output" 'the container is running'
	expect 0 runtime gc --dry-run
	same "$output" ''
	kill -KILL "$(process victim qemu)"
	same "$(exit_code victim)" 137
	expect 0 runtime why victim
	same "${lines[0]}" 'qemu signal 9'
	has "$output" 'reason the VM ended: qemu signal 9' 'then worker exited 0'
	has_not "$output" 'console'
	same "$(runtime state victim | jq -r '.annotations["io.katacontainers.cause"]')" \
		'qemu signal 9'
	# It has stopped, and is its manager's to delete.
	expect 0 runtime gc
	same "$output" ''
	mv "$work/victim/config.json" "$work/config.json"
	mv "$work/victim" "$work/gone"
	expect 0 runtime gc --dry-run
	has "$output" 'would remove container victim: it has stopped and its bundle is gone'
	expect 0 runtime state victim
	# The hook gets what it gets under runc, from who can start no program, as gc itself afterwards.
	[[ ! -e $work/hook ]]
	runtime_command
	expect 0 timeout -k 5 60 strace -f -o "$work/calls" -e trace=seccomp,execve "${command[@]}" gc
	has "$output" 'removing container victim'
	same "$(<"$work/hook")" "$(grep -E '^(Seccomp|CapBnd):' /proc/self/status)"
	grep -oE 'execve\("/bin/[a-z]+|len=' "$work/calls" | uniq >"$work/order"
	same "$(<"$work/order")" $'len=\nexecve("/bin/sh\nlen='
	expect 1 runtime state victim
	mv "$work/gone" "$work/victim"
}

@test "why: who the guest's kernel killed, its panic, and what kill was told" {
	# /proc/sysrq-trigger is the way to a panic from within.
	bundle guest sh -c 'trap "" TERM; while :; do sleep 0.2; done'
	edit guest '.linux.resources.memory.limit = 48 * 1048576 | .linux.readonlyPaths = [] |
		.linux.maskedPaths = []'
	start guest
	expect 137 runtime exec guest tail -c 200m /dev/zero
	expect 0 runtime why guest
	same "${lines[0]}" 'the container is running'
	has "${lines[1]}" 'oom ' '(tail)'
	same "$(runtime state guest | jq -r '.annotations["io.katacontainers.cause"]')" null
	has "$(log guest proxy)" 'level=error' 'the guest is out of memory' '(tail)'
	# Before anything else: a kill does not change what is known of the guest.
	expect 0 runtime kill guest TERM
	runtime exec guest sh -c 'echo c >/proc/sysrq-trigger' || true
	same "$(exit_code guest)" 137
	expect 0 runtime why guest
	has "${lines[0]}" 'guest panic' 'Kernel panic' sysrq
	has "$output" 'qemu exited 1' 'console ' 'then worker exited 0' '(tail)'
	has "$(runtime state guest | jq -r '.annotations["io.katacontainers.cause"]')" 'guest panic'
	has "$(log guest proxy)" 'guest panic'
	expect 0 runtime logs guest
	has "$output" component=runtime component=proxy component=shim component=console 'guest panic'
	cut -d' ' -f1 <<<"$output" | sort -c
	expect 1 runtime logs nosuch
	has "$stderr" 'no log in' 'journalctl KATA_SANDBOX='
	runtime delete guest

	# The container's own process as the victim, then one that an operator ended.
	bundle guest tail -c 200m /dev/zero
	edit guest '.linux.resources.memory.limit = 48 * 1048576'
	start guest
	same "$(exit_code guest)" 137
	expect 0 runtime why guest
	has "${lines[0]}" 'guest OOM: ' '(tail)'
	has "$(runtime state guest | jq -r '.annotations["io.katacontainers.cause"]')" 'guest OOM'
	runtime delete guest
	bundle guest sleep 1000
	start guest
	expect 0 runtime kill guest KILL
	same "$(exit_code guest)" 137
	expect 0 runtime why guest
	same "${lines[0]}" 'operator: signal 9 (SIGKILL); container exited 137'
}

# memory_cgroup PID: the directory, where there is that controller, and its limit's file.
memory_cgroup() {
	local path

	path=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' "/proc/$1/cgroup")
	[[ -z $path ]] || printf '%s\n' "/sys/fs/cgroup/memory$path/memory.limit_in_bytes"
	path=$(awk -F: '$1 == 0 { print $3 }' "/proc/$1/cgroup")
	[[ ! -e /sys/fs/cgroup$path/memory.max ]] || printf '%s\n' "/sys/fs/cgroup$path/memory.max"
}

@test "why: the host's kernel killed QEMU for want of memory" {
	local limit bytes

	bundle starved sleep 1000
	start starved
	limit=$(memory_cgroup "$(process starved qemu)")
	[[ -n $limit ]] || skip 'no memory controller here'
	# The guest then takes more; its memory cannot be taken from it, and must not be swapped out.
	[[ ! -e ${limit%/*}/memory.swap.max ]] || echo 0 >"${limit%/*}/memory.swap.max"
	bytes=$(cat "${limit%/*}"/memory.{usage_in_bytes,current} 2>/dev/null || true)
	bytes=$((bytes + 4194304))
	echo "$bytes" >"$limit"
	[[ ! -e ${limit%/*}/memory.memsw.limit_in_bytes ]] ||
		echo "$bytes" >"${limit%/*}/memory.memsw.limit_in_bytes"
	runtime exec starved sh -c 'head -c 60m /dev/zero >/dev/shm/more' || true
	same "$(exit_code starved)" 137
	expect 0 runtime why starved
	has "${lines[0]}" 'host OOM: ' 'signal 9'
	has "$(runtime state starved | jq -r '.annotations["io.katacontainers.cause"]')" 'host OOM'
}
