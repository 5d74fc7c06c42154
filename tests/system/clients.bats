# The runtime under managers that behave as the real ones were seen to: tests/system/fake-client plays
# containerd-shim below docker, and conmon with podman. Each rule they rely on is a check in there.

load lib.bash

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	leaks_begin
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	leaks_end
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
	cat >"$work/runtime" <<-END
		#!/bin/sh
		exec "$RUNTIME" $(! has_vm || echo "--kata-config '$config'") "\$@"
	END
	chmod +x "$work/runtime"
}

# The paths of sockets have to be short.
play() {
	dir=$(mktemp -d /tmp/kata-client.XXXXXX)
	mkdir "$dir/bundle"
	jq --arg rootfs "$base/rootfs" '.root.path = $rootfs' "$base/config.json" \
		>"$dir/bundle/config.json"
	expect 0 timeout -k 5 250 "$here/fake-client" "$1" "$dir" "$work/runtime" 3>&-
}

teardown() {
	for id in c t o; do
		"$work/runtime" --root "$dir/root" delete --force "$id"
	done
	"$work/runtime" delete --force k
	rm -rf "$dir"
}

@test "containerd's way with a container" {
	play containerd
}

@test "containerd's way with a terminal" {
	play terminal
}

@test "conmon's and podman's way" {
	play conmon
}

@test "a manager that is killed leaves what delete --force removes within its five seconds" {
	play orphan
}
