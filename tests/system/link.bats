# The agent's link as vsock: what shows it, what it carries, and who has what of the guest's memory.
# One virtual machine, "vsock", serves most tests, so their order matters.

load lib.bash

setup_file() {
	vm_only
	prepare_directory "$BATS_FILE_TMPDIR"
	leaks_begin
	use_link vhost-user-vsock
	cp "${KATA_BUILD:-$top/build}/tests/security/evil" "$base/rootfs/bin/evil"
	bundle vsock sh -c 'cat /proc/modules; cat >/tmp/in; sha256sum </tmp/in; sleep 1000'
	bundle serial sleep 1000
	head -c 3000000 /dev/urandom >"$work/data"
	stdin=$work/data start vsock
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
	leaks_end
}

setup() {
	vm_only
	use_directory "$BATS_FILE_TMPDIR"
}

# use_link LINK: all containers made from now on have their agent behind it.
use_link() {
	jq --arg link "$1" '.hypervisor.agent_link = $link' "$config" >"$config.new"
	mv "$config.new" "$config"
}

# check_link: what check says of it.
check_link() {
	expect 0 runtime check
	sed -n 's/^agent link  *//p' <<<"$output"
}

# maps_guest ID: does the proxy's worker of this container map the guest's memory?
maps_guest() {
	grep -q memory-backend-memfd "/proc/$(process "$1" worker)/maps"
}

@test "state and check tell which link is in use, and why" {
	expect 0 runtime state vsock
	same "$(jq -r '.agentLink, .agentLinkReason' <<<"$output")" \
		$'vhost-user-vsock\nthe configuration says so'
	has "$(check_link)" 'vhost-user-vsock: the configuration says so'
	use_link auto
	has "$(check_link)" ': auto: '
	use_link telepathy
	expect 1 runtime check
	use_link vhost-user-vsock
	has "$stderr" 'hypervisor.agent_link: expected one of \"auto\", '
}

# weaker: the settings that check names, as text and as JSON.
weaker() {
	expect 0 runtime check
	sed -n 's/^weaker setting  *\([^ ]*\) is \([^:]*\): ..*/\1=\2/p' <<<"$output" >"$work/text"
	expect 0 runtime check --json
	jq -r '.weaker[] | select(.why != "") | .key + "=" + .value' <<<"$output" >"$work/json"
	jq -e '[.findings[] | select(.missing)] == [] and (.findings | length) > 8' <<<"$output"
	cmp "$work/text" "$work/json"
}

@test "check names the weaker settings that are in force" {
	local without=

	# Where KVM does not run a guest there is one more.
	expect 0 runtime check
	! grep -q '^accelerator  *tcg' <<<"$output" || without=hypervisor.accelerator=tcg
	weaker
	same "$(<"$work/text")" "$(printf '%s\n' hypervisor.agent_link=vhost-user-vsock $without)"
	cp "$config" "$config.safe"
	jq '.hypervisor += { agent_link: "virtio-serial", shared_fs: "virtio-fs-mknod" }
		| .runtime += { uid_mode: "shared", seccomp: "log" }' "$config.safe" >"$config"
	weaker
	jq '.hypervisor.agent_link = "virtio-serial" | .hypervisor.initrd = "/nowhere"' \
		"$config.safe" >"$config"
	expect 1 runtime check --json
	same "$(jq -r '.findings[] | select(.missing) | .name + " " + .text' <<<"$output")" \
		'guest image /nowhere: No such file or directory'
	expect 1 runtime check
	has "$output" 'MISSING: /nowhere'
	mv "$config.safe" "$config"
	same "$(<"$work/text")" "$(printf '%s\n' runtime.uid_mode=shared runtime.seccomp=log \
		hypervisor.shared_fs=virtio-fs-mknod $without)"
}

@test "the guest has a vsock device, and bytes go both ways unharmed" {
	eventually 20 grep -q '  -$' "$work/vsock/out"
	grep -q '^vmw_vsock_virtio_transport ' "$work/vsock/out"
	grep -q "^$(sha256sum <"$work/data" | cut -d ' ' -f 1) " "$work/vsock/out"
	runtime exec vsock cat /tmp/in | cmp - "$work/data"
}

@test "with vsock the worker maps the guest's memory, and has nothing more than its row" {
	maps_guest vsock
	expect 0 runtime privs vsock
	same "$(jq -r '[.. | .process? // empty | select(test("worker"))] | unique[]' <<<"$output")" worker-vsock
}

@test "with virtio-serial it does not, and the guest has no vsock" {
	use_link virtio-serial
	start serial
	not maps_guest serial
	expect 0 runtime state serial
	same "$(jq -r .agentLink <<<"$output")" virtio-serial
	expect 1 runtime exec serial grep vsock /proc/modules
	use_link vhost-user-vsock
}

@test "no container reaches the host by vsock, whichever the link" {
	local id

	for id in vsock serial; do
		expect 0 runtime exec "$id" evil vsock
		same "$output" 'vsock: EAFNOSUPPORT'
	done
}
