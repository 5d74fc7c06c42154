#!/usr/bin/env bats
# The programs of tests/crash with real VMs: a sample of the kill points, and of the kill matrix. Their
# own look for what is left runs behind each blow.

load lib

setup_file() {
	[[ $(id -u) == 0 ]] || skip 'the runtime needs root'
	prepare_directory "$BATS_FILE_TMPDIR"
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
	vm_only
}

@test "kata-runtime: killed at 20 system calls of four verbs, with real VMs" {
	expect 0 timeout 600 "$KATA_BUILD/tests/crash/crash-points" --sample 5 --config "$config" \
		--rootfs "$base/rootfs" create exec kill delete
	has_not "$output" 'not ok'
	same "$(grep -c '^ok' <<<"$output")" 4
}

@test "every process: killed, stopped and made to fault at 21 moments, with real VMs" {
	# The guest panics at an interrupt that it does not know: its agent cannot be killed from outside.
	jq '.hypervisor.kernel_params = "unknown_nmi_panic"' "$config" >"$work/panic.json"
	expect 0 timeout 900 "$KATA_BUILD/tests/crash/kill-matrix" --config "$work/panic.json" \
		--rootfs "$base/rootfs"
	has_not "$output" 'not ok'
	same "$(grep -c '^ok' <<<"$output")" 16
	has "$output" '# 21 cells'
}
