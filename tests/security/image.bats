# A hostile image in a real virtual machine: what it may reach of the guest, of its virtual machine's
# host processes and of the host. One machine serves all tests; the container has every capability, so
# it stands for whoever owns the guest, too.

# shellcheck disable=SC2154 # lib.bash sets work, base, command; run sets stderr
load ../system/lib.bash

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	vm_only
	evil=${KATA_BUILD:-$top/build}/tests/security/evil
	mkdir -p "$base/rootfs"/{evil,data,fixed,group} "$work"/{fixed,group,target}
	cp "$evil" "$base/rootfs/bin/evil"
	echo 'not to be changed' >"$work/fixed/text"
	echo 'of the host' >"$work/target/text"
	# Links that a volume's place leads over (CVE-2020-2026): relative, absolute, and by the host's
	# own name.
	ln -s "../../../../../../../../$work/target" "$base/rootfs/relative"
	ln -s "$work/target" "$base/rootfs/absolute"
	chown 0:4242 "$work/group" && chmod 2777 "$work/group"
	printf '#!/bin/sh\ntouch %s\n' "$work/annotated" >"$work/program"
	chmod 755 "$work/program"
	cat /proc/self/mountinfo >"$work/mountinfo.before"
	sha256sum "$PREFIX"/share/kata-containers/* >"$work/images"

	bundle evil sleep 1000
	edit evil --arg work "$work" '
		["CAP_" + ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP"
			+ " NET_ADMIN NET_RAW SYS_CHROOT SYS_PTRACE SYS_ADMIN SYS_RESOURCE MKNOD SETFCAP"
			| split(" ")[])] as $caps
		| .process.capabilities = { bounding: $caps, effective: $caps, permitted: $caps }
		| .process.noNewPrivileges = false
		| .annotations = {
			"io.katacontainers.config.hypervisor.path": ($work + "/program"),
			"io.katacontainers.config.hypervisor.virtio_fs_daemon": ($work + "/program"),
			"io.katacontainers.config.hypervisor.kernel_params": "evil.word=1",
			"io.katacontainers.config.proxy.path": ($work + "/program") }
		| .linux.resources.devices = [{ allow: false, access: "rwm" }]
		| .mounts += [
			{ destination: "/fixed", type: "bind", source: ($work + "/fixed"),
				options: ["rbind", "ro"] },
			{ destination: "/group", type: "bind", source: ($work + "/group"),
				options: ["rbind", "rw"] },
			{ destination: "/relative/in", type: "bind", source: ($work + "/fixed"),
				options: ["rbind", "ro"] },
			{ destination: "/absolute/in", type: "bind", source: ($work + "/fixed"),
				options: ["rbind", "ro"] }]'
	runtime_command
	# Descriptors and a group that a careless manager leaves.
	reap evil --open-fds /usr/bin/setpriv --groups 0,4242 "${command[@]}" create \
		--bundle "$work/evil" --pid-file "$work/evil/pid" evil || return 0
	runtime start evil
	leaks_begin
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	! has_vm || file_end
}

setup() {
	vm_only
	use_directory "$BATS_FILE_TMPDIR"
}

evil() {
	expect 0 runtime exec evil evil "$@"
}

@test "CVE-2020-27151: annotations choose no program and no argument" {
	has_status evil running
	[[ ! -e $work/annotated ]]
	expect 0 runtime exec evil cat /proc/cmdline
	has_not "$output" evil.word
}

@test "every host process is within its row, in a VM that has run hostile code" {
	expect 0 runtime privs evil
	for name in monitor worker QEMU virtiofsd shim; do
		has "$output" "\"process\": \"$name\""
	done
	same "$(jq '[.[].exceeds[]] | length' <<<"$output")" 0
	same "$(jq '[.[] | select(.user == "host 0")] | length' <<<"$output")" 0
	# virtiofsd's are those of its user namespace, netmon's are those of a network namespace.
	same "$(jq '[.[] | select(.process | IN("virtiofsd", "netmon") | not) | .capabilities[]]
		| length' <<<"$output")" 0
	jq -e '.[] | select(.process == "worker") | .syscalls <= 40' <<<"$output"
	jq -e '.[] | select(.process == "shim") | .syscalls <= 45' <<<"$output"
	jq -e '.[] | select(.process == "QEMU") | .syscalls <= 71 and .root == []' <<<"$output"
}

@test "privs says so when something exceeds the policy" {
	runtime privs --policy >"$work/policy.json"
	expect 0 runtime privs --expect "$work/policy.json" evil
	jq '.worker.syscalls = 1 | .QEMU.descriptors = { "0": "any", other: ["event"] }' \
		"$work/policy.json" >"$work/strict.json"
	expect 1 runtime privs --expect "$work/strict.json" evil
	has "$output" 'more than 1' 'is a socket'
	echo '{}' >"$work/empty.json"
	expect 2 runtime privs --expect "$work/empty.json" evil
	has "$stderr" 'the policy has no'
	expect 2 runtime privs nosuch
	expect 0 runtime privs "$(sandbox evil)"
}

# capabilities_of PID SET: the names of that set, sorted, on one line.
capabilities_of() {
	local names=(CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
		LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER
		SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
		SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP)
	local mask i

	mask=$((16#$(awk -v set="$2:" '$1 == set { print $2 }' "/proc/$1/status")))
	((mask >> 32 == 0)) || echo more
	for i in "${!names[@]}"; do
		(((mask >> i & 1) == 0)) || echo "${names[i]}"
	done | sort | xargs
}

# capabilities_in ROW: the same of a row of the policy, without what root itself has not on this host.
capabilities_in() {
	jq -r --arg row "$1" --arg own "$(capabilities_of self CapPrm)" \
		'.[$row].capabilities | map(select(IN($own | split(" ")[]))) | sort | join(" ")' \
		"$work/policy.json"
}

# has_rights PID ROW: what the row has, in each set, and a filter. The bounding set may be that of the
# row before, which has no way to make it smaller.
has_rights() {
	[[ $(capabilities_of "$1" CapPrm) == $(capabilities_in "$2") &&
		$(capabilities_of "$1" CapEff) == $(capabilities_in "$2") &&
		$(capabilities_of "$1" CapBnd) == $(capabilities_in "${bounding:-$2}") &&
		$(awk '$1 == "Seccomp:" { print $2 }' "/proc/$1/status") == "${filter:-2}" ]]
}

# held ROW VERB...: the verb has them at the moment that it waits, for its reader or its VM.
held() {
	local command pid result=0

	runtime_command
	"${command[@]}" "${@:2}" >"$work/full" 2>"$work/held.err" 3>&- &
	pid=$!
	eventually 10 has_rights "$pid" "$1" || result=1
	kill "$pid" 2>/dev/null || result=1 # it has ended: nothing was seen of what it does
	wait "$pid" || true
	[[ $result == 0 ]] || { echo "$*" && cat "$work/held.err" && return 1; }
}

# filtered VERB...: it ends well, and had a filter before.
filtered() {
	local command pid key value seen=0

	runtime_command
	"${command[@]}" "$@" >"$work/filtered" 2>&1 3>&- </dev/null &
	pid=$!
	while [[ $seen == 0 && -r /proc/$pid/status ]]; do
		while read -r key value; do
			[[ $key != Seccomp: || $value != 2 ]] || seen=1
		done 2>/dev/null <"/proc/$pid/status" || break
	done
	wait "$pid" && [[ $seen == 1 ]] || { echo "$*: $seen" && cat "$work/filtered" && return 1; }
}

@test "create and delete can start no program when they have started all of theirs" {
	bundle plain sleep 1000
	filtered create --bundle "$work/plain" plain
	filtered delete --force plain
	# Hooks can, at each moment that they have; who asks for them cannot.
	bundle hooked true
	edit hooked --arg log "$work/hooks" '.hooks = (["prestart", "poststart", "poststop"] | map({
		key: ., value: [{ path: "/bin/sh", args: ["sh", "-c",
			"echo \(.) >>\($log); grep -E ^CapBnd /proc/self/status >\($log).caps"] }] }) |
		from_entries)'
	filtered create --bundle "$work/hooked" hooked
	filtered start hooked
	same "$(<"$work/hooks.caps")" "$(grep -E ^CapBnd /proc/self/status)"
	filtered delete --force hooked
	same "$(<"$work/hooks")" $'prestart\npoststart\npoststop'
	rm "$work/hooks"
	filtered run --bundle "$work/hooked" hooked
	same "$(<"$work/hooks")" $'prestart\npoststart\npoststop'
	same "$(<"$work/hooks.caps")" "$(grep -E ^CapBnd /proc/self/status)"
}

@test "each verb has the capabilities of its row while it works, and its filter" {
	local full worker result=0

	runtime privs --policy >"$work/policy.json"
	# Nobody reads what they print.
	mkfifo "$work/full"
	exec {full}<>"$work/full"
	timeout 1 cat /dev/zero >"$work/full" || true
	held 'kata-runtime state' state evil
	held 'kata-runtime state' list
	held 'kata-runtime state' why evil
	held 'kata-runtime features' features
	filter=0 held 'kata-runtime privs' privs evil
	filter=0 held 'kata-runtime check' check
	bounding='kata-runtime network' held 'kata-runtime network list' network list evil
	held 'kata-runtime kill' ps evil
	held 'kata-runtime events, following' events --stats evil
	held 'kata-runtime exec, waiting' exec evil sleep 100
	# Nobody answers what they ask.
	worker=$(process evil worker)
	kill -STOP "$worker"
	held 'kata-runtime kill' pause evil || result=1
	held 'kata-runtime kill' events evil || result=1
	held 'kata-runtime kill' update --cpu-share 100 evil || result=1
	held 'kata-runtime kill' kill evil CONT || result=1
	held 'kata-runtime exec' exec evil true || result=1
	kill -CONT "$worker"
	# It waits for its VM, and could have a hook run yet.
	bundle barred sleep 1000
	edit barred '.hooks.poststop = [{ path: "/bin/true" }]'
	filter=0 held 'kata-runtime create' create --bundle "$work/barred" barred
	runtime delete --force barred
	exec {full}>&-
	[[ $result == 0 ]]
	expect 0 runtime exec evil true
}

@test "CVE-2020-2026: the host follows no link of an image" {
	diff "$work/mountinfo.before" /proc/self/mountinfo
	same "$(ls "$work/target")" text
	# In the guest the volume is where the link leads inside of the image.
	expect 0 runtime exec evil cat /relative/in/text /absolute/in/text
	same "$output" $'not to be changed\nnot to be changed'
}

@test "CVE-2020-28914: a read-only volume is read-only for the whole guest" {
	evil remount /fixed /fixed/text
	has "$output" 'write: EROFS'
	same "$(<"$work/fixed/text")" 'not to be changed'
}

@test "the VM's share shows nothing new to a guest that mounts it itself" {
	local tag mounts

	# Nor is a file in it of use on the host: no set-id bits, devices or programs.
	mounts=$(awk '$5 ~ "^/." { print $5, $6 }' "/proc/$(process evil virtiofsd)/mountinfo")
	has "$mounts" nosuid,nodev,noexec
	same "$(grep -v ' r[ow],nosuid,nodev,noexec' <<<"$mounts" || true)" ''

	tag=$(tr '\0' '\n' <"/proc/$(process evil qemu)/cmdline" | sed -n 's/.*,tag=\([^,]*\).*/\1/p')
	# /evil is the root of the share from then on.
	expect 0 runtime exec evil sh -c "evil share $tag /evil"' && cd /evil || exit 1
		touch made 2>/dev/null && echo made
		mkdir -p evil/made 2>/dev/null && echo made
		for f in $(find . -name text); do echo evil 2>/dev/null >>$f && echo wrote $f; done; true'
	has "$output" 'share: done'
	has_not "$output" made wrote
	same "$(<"$work/fixed/text")" 'not to be changed'
	same "$(<"$work/target/text")" 'of the host'
}

@test "CVE-2020-2023: no device of the guest opens, whatever nodes are made" {
	expect 0 runtime exec evil sh -c 'mkdir -p /tmp/nodes && mount -t tmpfs none /tmp/nodes &&
		evil devices /tmp/nodes'
	has "$output" devices:
	# What every container has: null, zero, full, random, urandom, tty, console, ptmx, pts.
	same "$(grep -vE '^c (1:[0357]|5:[0-2]|136:[0-9]) opens|^devices:' <<<"$output" || true)" ''
}

@test "CVE-2020-2025: kernel and image are read-only to the machine" {
	local qemu fd

	qemu=$(process evil qemu)
	for fd in 14 15; do
		same "$(awk '$1 == "flags:" { print substr($2, length($2)) }' "/proc/$qemu/fdinfo/$fd")" 0
	done
	not grep -E ' /(boot|opt|usr)[^ ]* rw' "/proc/$qemu/mountinfo"
	sha256sum --quiet -c "$work/images"
	expect 0 runtime exec evil sh -c 'cat /proc/1/comm; mount -o remount,rw / 2>&1; true'
}

@test "CVE-2022-0358: no file gets a setgid bit of a group its maker is not in" {
	# The guest's kernel believes it; a hostile one would not ask.
	expect 0 runtime exec --user 1000:1000 --additional-gids 4242 evil evil setgid /group/file
	same "$output" 'setgid: mode 755'
	same "$(stat -c %a "$work/group/file")" 755
}

@test "CVE-2024-21626: no descriptor of the host or the agent is left in a container" {
	evil descriptors
	same "$output" 'descriptors: 3'
	expect 0 runtime exec evil sh -c 'for f in /proc/1/fd/*; do readlink $f; done'
	has_not "$output" "$work" /proc /sys socket: memfd
	for fd in 3 4 5 6 7 8 9; do
		run ! runtime exec --cwd "/proc/self/fd/$fd" evil cat ../../../../etc/hostname
	done
}

@test "CVE-2019-5736: the agent's program cannot be written, also by who owns every process" {
	local pid i

	# Who comes in is not to be looked at; a script has the agent's program executed in the container,
	# where it can be: then it cannot be written.
	expect 0 runtime exec evil sh -c 'printf "#!/proc/self/exe\n" >/script && chmod 755 /script'
	runtime_command
	"${command[@]}" exec evil evil hunt 10 >"$work/hunt" 3>&- &
	pid=$!
	for ((i = 0; i < 20; i++)); do
		[[ ! -s $work/hunt ]] || break
		expect 0 runtime exec evil true
		run ! runtime exec evil /script
	done
	wait "$pid"
	same "$(<"$work/hunt")" 'hunt: /init is seen: EROFS'
	expect 0 runtime exec evil sh -c 'cat /proc/sys/kernel/core_pattern;
		echo "|/evil" 2>/dev/null >/proc/sys/kernel/core_pattern || echo refused'
	has "$output" refused
	expect 0 runtime exec evil sh -c 'cd /proc/sys/kernel &&
		cat sysrq modules_disabled kexec_load_disabled'
	same "$output" $'0\n1\n1'
}

@test "vsock is unknown in a container" {
	evil vsock
	same "$output" 'vsock: EAFNOSUPPORT'
}

@test "the attacks leave nothing" {
	runtime delete --force evil
	diff "$work/mountinfo.before" /proc/self/mountinfo
	same "$(ls "$work/target")" text
}

@test "the weaker modes work, warn, and privs tells what they cost" {
	bundle weak sleep 1000
	edit weak '.process.capabilities.bounding += ["CAP_MKNOD"]
		| .process.capabilities.effective += ["CAP_MKNOD"]
		| .process.capabilities.permitted += ["CAP_MKNOD"]'
	jq '.hypervisor.shared_fs = "virtio-fs-mknod" | .runtime.uid_mode = "shared"
		| .runtime.seccomp = "log"' "$config" >"$work/weak.json"
	config=$work/weak.json start weak
	grep -q 'shared_fs' "$logs/$(sandbox weak)/runtime.log"
	grep -q 'uid_mode' "$logs/$(sandbox weak)/runtime.log"
	grep -q 'runtime.seccomp' "$logs/$(sandbox weak)/runtime.log"
	expect 0 runtime exec weak sh -c 'mknod /data/node c 1 3 && stat -c %F /data/node; rm /data/node'
	same "$output" 'character special file'
	expect 1 runtime privs weak
	has "$output" 'user: host 0 instead of mapped 0'
	runtime delete --force weak
}
