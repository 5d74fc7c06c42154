# The verbs that tell: events, features, checkpoint and restore. One container, "main", runs
# throughout.

load lib.bash

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	leaks_begin
	bundle main sh -c 'echo ready; while :; do sleep 1; done'
	edit main '.linux.resources = { memory: { limit: 134217728 }, pids: { limit: 50 } }
		| .linux.cgroupsPath = "/system-tests-events/main"'
	start main
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
	leaks_end
	find /sys/fs/cgroup -depth -type d -path '*/system-tests-events*' -exec rmdir {} + || true
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
}

teardown() {
	remove_containers main
}

@test "events --stats prints one line in the shape of runc" {
	expect 0 runtime events --stats main
	same "${#lines[@]}" 1
	same "$(jq -r '[.type, .id] | @csv' <<<"$output")" '"stats","main"'
	jq -e '.data | has("cpu") and has("memory") and has("pids") and has("blkio")
		and has("hugetlb") and has("intel_rdt")' <<<"$output"
	jq -e '.data.pids.current >= 1 and .data.pids.limit == 50' <<<"$output"
	jq -e '.data.memory.usage.limit == 134217728 and .data.memory.usage.usage > 0' <<<"$output"
	jq -e '.data.cpu.usage.total > 0 and .data.memory.raw != {}' <<<"$output"
}

@test "events without --stats goes on until its caller has enough" {
	runtime_command
	run --separate-stderr timeout 20 sh -c '"$@" | head -n 2' sh "${command[@]}" events \
		--interval 200ms main
	same "$(jq -r .type <<<"${lines[0]}") $(jq -r .type <<<"${lines[1]}")" 'stats stats'
}

@test "events tells of a want of memory, also the one that ends the container, and ends then" {
	bundle greedy sh -c 'sleep 2; exec tail -c 200m /dev/zero'
	edit greedy '.linux.resources.memory.limit = 33554432 | .linux.resources.memory.swap = 33554432
		| .linux.cgroupsPath = "/system-tests-events/greedy"'
	start greedy
	# runc waits on for somebody to delete it.
	if has_vm; then
		expect 0 runtime events --interval 100s greedy
	else
		runtime_command
		expect 124 timeout 10 "${command[@]}" events --interval 100s greedy
	fi
	same "$(jq -c . <<<"$output")" '{"type":"oom","id":"greedy"}'
	same "$(exit_code greedy)" 137
	expect 1 runtime events --stats greedy
	has "$stderr" 'not running'
}

@test "events of what is not there, and with a bad interval, is refused" {
	expect 1 runtime events --stats nobody
	has "$stderr" 'does not exist'
	expect 1 runtime events --interval 0s main
	expect 1 runtime events --interval soon main
}

@test "features is the specification's document" {
	expect 0 runtime features
	jq -e '.ociVersionMin == "1.0.0" and (.hooks | length) == 6 and (.mountOptions | length) > 30
		and .linux.seccomp.enabled and (.linux.namespaces | length) > 5' <<<"$output"
	same "$stderr" ''
}

@test "checkpoint and restore are refused with a sentence, whatever their options" {
	vm_only
	expect 1 runtime checkpoint --image-path "$work/image" --work-path "$work/criu" \
		--leave-running --tcp-established --file-locks main
	has "$stderr" 'checkpoint is not supported' 'virtual machine'
	same "$(status_of main)" running
	expect 1 runtime checkpoint nobody
	has "$stderr" 'does not exist'
	expect 1 runtime restore --bundle "$work/main" --detach --image-path "$work/image" again
	has "$stderr" 'restore is not supported'
}

@test "--pidfd-socket gets a pidfd of the process in the pid file" {
	vm_only
	bundle quick true
	"$here/receiver" "$work/pidfd.sock" >"$work/pidfd.out" 3>&- &
	eventually 10 test -S "$work/pidfd.sock"
	create quick --pidfd-socket "$work/pidfd.sock"
	eventually 10 test -s "$work/pidfd.out"
	same "$(<"$work/pidfd.out")" "$(pid_of quick)"
}
