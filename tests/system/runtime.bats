# The command line by hand with bundles: what a container sees, every verb, errors, and that
# everything is gone afterwards. One container, "main", serves most tests: it is created by
# setup_file and started and ended by tests in between, so their order matters. With runc too.

load lib.bash

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	[[ -n $RUNTIME ]] || { echo "there is no runtime" && return 1; }
	mkdir -p "$base"/rootfs/{work,data,data-ro,scratch,opt} "$work"/{shared,fixed}
	touch "$base/rootfs/opt/file"
	echo 'from the host' >"$work/shared/hello"
	echo 'not to be changed' >"$work/fixed/text"
	echo 'one file' >"$work/one"
	chmod 0777 "$work/shared"
	chmod 1777 "$base/rootfs/scratch"
	printf '#!/bin/sh\n' >"$base/rootfs/opt/no-program"
	bundle plain sleep 1000

	bundle once sh -c 'uname -r; cat /proc/1/comm; echo to stderr >&2; exit 7'
	runtime_command
	timeout -k 5 60 strace -o "$work/once/calls" -e trace=seccomp,signalfd4 "${command[@]}" run \
		--bundle "$work/once" once </dev/null >"$work/once/out" 2>"$work/once/err" 3>&- &&
		echo 0 >"$work/once/code" || echo $? >"$work/once/code"

	main_bundle
	cat /proc/self/mountinfo >"$work/mountinfo.before"
	began=${EPOCHREALTIME/./}
	reap main --open-fds "${command[@]}" create --bundle "$work/main" --pid-file "$work/main/pid" \
		main || true
	echo $(((${EPOCHREALTIME/./} - began) / 1000)) >"$work/create-ms"
	cat /proc/self/mountinfo >"$work/mountinfo.running"
	leaks_begin
}

main_bundle() {
	bundle main sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.2; done'
	edit main --arg work "$work" '
		.root.readonly = true | .hostname = "guest-of-test"
		| .process.user = { uid: 1000, gid: 1001, additionalGids: [1002, 5000], umask: 23 }
		| .process.cwd = "/work"
		| .process.env += ["COLOUR=green and blue", "EMPTY="]
		| .process.rlimits = [{ type: "RLIMIT_MSGQUEUE", soft: 777, hard: 888 },
			{ type: "RLIMIT_CORE", soft: 0, hard: 0 }]
		| .annotations = { "org.example.test": "an annotation" }
		| .linux.cgroupsPath = "/system-tests/main"
		| .linux.resources = { pids: { limit: 100 }, memory: { swappiness: 10 } }
		| .linux.sysctl = { "net.ipv4.ip_forward": "1" }
		| .linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW" }
		| .hooks = { startContainer: [{ path: "/bin/true" }] }
		| .mounts += [
			{ destination: "/data", type: "bind", source: ($work + "/shared"),
				options: ["rbind", "rw"] },
			{ destination: "/data-ro", type: "bind", source: ($work + "/fixed"),
				options: ["rbind", "ro"] },
			{ destination: "/opt/file", type: "bind", source: ($work + "/one"),
				options: ["bind", "rw"] },
			{ destination: "/scratch", type: "tmpfs", source: "tmpfs",
				options: ["nosuid", "nodev", "size=1024k", "mode=1777"] }]'
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
	find /sys/fs/cgroup -depth -type d -path '*/system-tests*' -exec rmdir {} + || true
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
}

# A container that a test leaves on purpose is "main" only.
teardown() {
	remove_containers main
	[[ -z ${removes_main:-} ]] || leaks_begin
	leaks_end
}

# inside COMMAND: in the main container.
inside() {
	runtime exec main sh -c "$1" </dev/null
}

inside_as_root() {
	runtime exec --user 0:0 main sh -c "$1" </dev/null
}

# --- the command line alone -----------------------------------------------------------------

@test "--version prints name, version and specification" {
	expect 0 runtime --version
	[[ ${lines[0]} =~ ^[a-z-]+\ version\ [0-9]+\.[0-9]+ ]]
	has "$output" $'\nspec: 1.'
	same "$stderr" ''
}

@test "where the configuration is looked for" {
	vm_only
	expect 0 runtime --kata-show-default-config-paths
	has "${lines[0]}" /kata-containers/configuration.json
	has "${lines[1]}" /kata-containers/configuration.json
	same "$(runtime --show-default-config-paths)" "$output"
}

@test "an unknown verb and an unknown option are refused by name" {
	vm_only
	expect 1 runtime frobnicate
	has "$stderr" frobnicate
	expect 1 runtime state --frobnicate x
	has "$stderr" --frobnicate
}

@test "spec writes a config.json that asks for sh" {
	mkdir "$work/new"
	expect 0 runtime spec --bundle "$work/new"
	same "$(jq -c .process.args "$work/new/config.json")" '["sh"]'
	expect 1 runtime spec --bundle "$work/new"
}

@test "state, start, kill and delete of an unknown container say that it does not exist" {
	expect 1 runtime state nobody
	has "$stderr" 'does not exist'
	expect 1 runtime start nobody
	has "$stderr" 'does not exist'
	expect 1 runtime kill nobody 9
	has "$stderr" 'does not exist'
	expect 1 runtime delete nobody
	has "$stderr" 'does not exist'
}

@test "delete --force of an unknown container is fine and silent" {
	expect 0 runtime delete --force nobody
	same "$output$stderr" ''
}

@test "ids that are paths are refused" {
	expect 1 runtime create --bundle "$work/plain" ../x
	expect 1 runtime delete --force ../x
	expect 1 runtime state ..
}

@test "host networking is refused with a sentence before anything is made" {
	vm_only
	bundle host true
	edit host '.linux.namespaces |= map(select(.type != "network"))'
	expect 1 runtime run --bundle "$work/host" host </dev/null
	has "$stderr" 'host networking'
	edit host '.linux.namespaces += [{ type: "network", path: "/proc/self/ns/net" }]'
	expect 1 runtime run --bundle "$work/host" host </dev/null
	has "$stderr" 'host networking'
	has_not "$(ls "$root")" host
}

# --- run ------------------------------------------------------------------------------------

@test "run prints the kernel of the guest, not of the host" {
	vm_only
	cat "$work/once/err"
	kernel=$(sed -n 1p "$work/once/out")
	[[ $kernel =~ ^[0-9]+\.[0-9]+ && $kernel != "$(uname -r)" ]]
}

@test "run has the container's program as process 1" {
	same "$(sed -n 2p "$work/once/out")" sh
}

@test "run keeps stdout and stderr apart" {
	same "$(wc -l <"$work/once/out")" 2
	same "$(<"$work/once/err")" 'to stderr'
}

@test "run exits with the container's code" {
	same "$(<"$work/once/code")" 7
}

@test "run deletes the container at its end" {
	expect 1 runtime state once
}

@test "run can start no program while it waits for the container" {
	vm_only
	# It asks for signals when it begins to wait; libseccomp asks the kernel before, too.
	grep -E 'len=|signalfd4' "$work/once/calls" >"$work/once/filter"
	has "$(sed -n 1p "$work/once/filter")" SECCOMP_SET_MODE_FILTER
	grep -q signalfd4 "$work/once/filter"
}

@test "a missing program fails create as runc says it, in the log one line of JSON" {
	bundle missing nosuch-program
	expect 1 runtime --log "$work/missing.json" --log-format json create \
		--bundle "$work/missing" --pid-file "$work/missing.pid" missing </dev/null
	text='unable to start container process: exec: "nosuch-program": executable file not found in $PATH'
	has "$stderr" "create failed: $text"
	same "$(wc -l <"$work/missing.json")" 1
	same "$(jq -r .level "$work/missing.json")" error
	same "$(jq -r .msg "$work/missing.json")" "$stderr"
	date -d "$(jq -r .time "$work/missing.json")"
	[[ ! -e $work/missing.pid ]]
	expect 1 runtime state missing
}

@test "a program that is not executable fails create with permission denied" {
	bundle plain-file /opt/no-program
	expect 1 runtime --log "$work/log" run --bundle "$work/plain-file" plain-file </dev/null
	has "$stderr" 'exec: "/opt/no-program": permission denied'
}

# --- a created container --------------------------------------------------------------------

@test "create succeeds and prints nothing" {
	cat "$work/main/err"
	same "$(<"$work/main/status")" 0
	same "$(cat "$work/main/out" "$work/main/err")" ''
}

@test "when create returns the machine's processes are in the container's cgroup of every controller" {
	vm_only
	local what

	for what in "$(pid_of main)" "$(monitor main)" "$(process main qemu)" \
		"$(process main virtiofsd)" "$(process main worker)"; do
		expect 0 grep ':/system-tests/main$' "/proc/$what/cgroup"
		expect 1 grep -vE ':/system-tests/main$|^0::|:name=' "/proc/$what/cgroup"
	done
}

@test "the pid file holds the pid of a live child of the subreaper, without a newline" {
	[[ $(od -An -c "$work/main/pid") != *'\n'* ]]
	[[ $(pid_of main) =~ ^[0-9]+$ ]]
	same "$(awk '$1 == "PPid:" { print $2 }' "/proc/$(pid_of main)/status")" \
		"$(<"$work/main/reaper")"
}

@test "state tells id, pid, status, bundle and annotations as JSON" {
	expect 0 runtime state main
	same "$(jq -r '[.id, .pid, .status, .bundle, .rootfs, .annotations["org.example.test"]] | @csv' \
		<<<"$output")" \
		"\"main\",$(pid_of main),\"created\",\"$work/main\",\"$base/rootfs\",\"an annotation\""
	jq -e '(.ociVersion | startswith("1.")) and (.owner | type) == "string"' <<<"$output"
	date -d "$(jq -r .created <<<"$output")"
}

@test "exec works in a container that is created and not started" {
	expect 0 inside 'echo early'
	same "$output" early
	same "$(status_of main)" created
	same "$(<"$work/main/out")" ''
}

@test "a second container of the same id is refused" {
	expect 1 runtime create --bundle "$work/plain" main </dev/null
	has "$stderr" 'exist'
	same "$(status_of main)" created
}

# --- a running container --------------------------------------------------------------------

@test "start lets the process run and prints nothing" {
	expect 0 runtime start main
	same "$output$stderr" ''
	same "$(status_of main)" running
	removes_main=yes # what start began is the container's too
	eventually 10 grep -qx ready "$work/main/out"
}

@test "a second start is refused" {
	expect 1 runtime start main
	has "$stderr" 'cannot start an already running container'
}

@test "delete of a running container is refused" {
	expect 1 runtime delete main
	has "$stderr" 'cannot delete container main that is not stopped: running'
}

@test "list shows it as a table, as ids and as JSON" {
	expect 0 runtime list
	[[ ${lines[0]} == ID*PID*STATUS* ]]
	[[ ${lines[1]} =~ ^main\ +$(pid_of main)\ +running\  ]]
	expect 0 runtime list -q
	same "$output" main
	expect 0 runtime list --format json
	same "$(jq -r '.[] | [.id, .status] | join(" ")' <<<"$output")" 'main running'
	has_vm || return 0
	expect 0 runtime list --kata-all
	has "${lines[0]}" HYPERVISOR KERNEL IMAGE LATEST-KERNEL LATEST-IMAGE STALE
	has "${lines[1]}" /usr/bin/qemu-system-x86_64 ' -'
	expect 0 runtime list --kata-all --format json
	jq -e '.[0] | .currentHypervisor == .latestHypervisor and .staleAssets == []' <<<"$output"
	jq '.hypervisor.kernel = "/etc/hostname"' "$config" >"$work/newer.json"
	expect 0 runtime --config "$work/newer.json" list --kata-all --format json
	same "$(jq -c '.[0] | [.latestHypervisor.kernelAsset.path, .staleAssets]' <<<"$output")" \
		'["/etc/hostname",["kernel"]]'
}

@test "ps lists the processes of the container" {
	expect 0 runtime ps main
	has "$output" 'sh -c trap'
}

@test "ps as JSON lists pids of the host that stand in for them" {
	expect 0 runtime ps --format json main
	jq -e --argjson pid "$(pid_of main)" 'index($pid) != null' <<<"$output"
	! has_vm || same "$output" "[$(pid_of main)]"
}

@test "the pid file's process looks like the container's command in ps" {
	not_valgrind 'it looks like Valgrind then'
	has "$(tr '\0' ' ' <"/proc/$(pid_of main)/cmdline")" 'sh -c trap "exit 3" TERM'
}

@test "exec has the streams and the exit code of its process" {
	expect 9 inside 'echo out; echo err >&2; exit 9'
	same "$output" out
	same "$stderr" err
}

@test "exec of a process that a signal ended exits with 128 and its number" {
	expect 143 inside 'kill -TERM $$'
}

@test "exec --process takes the process from a file, --pid-file names its stand-in" {
	jq '.process | .args = ["sh", "-c", "echo $MARK; id -u; sleep 2; exit 4"]
		| .env += ["MARK=from the file"] | .user = { uid: 12, gid: 13 }' "$work/main/config.json" \
		>"$work/process.json"
	runtime_command
	reap second "${command[@]}" exec --process "$work/process.json" --detach \
		--pid-file "$work/second/pid" main
	rm "$work/process.json"
	expect 0 runtime ps --format json main
	jq -e --argjson pid "$(pid_of second)" 'index($pid) != null' <<<"$output"
	same "$(exit_code second)" 4
	same "$(<"$work/second/out")" $'from the file\n12'
}

@test "exec takes user, groups, capabilities, directory and variables as runc does" {
	expect 0 runtime exec --user 0 --additional-gids 7 --cap CAP_CHOWN --cwd /opt --env A='b c' \
		main sh -c 'echo "$(id -u) $(id -g) $(pwd) $A"; grep -E "^(Groups|CapInh|CapEff|CapBnd|CapAmb)" \
		/proc/self/status | tr -s "\t " " " | sed "s/ \$//"' </dev/null
	# The group and the groups stay those of the container's process.
	same "$output" '0 1001 /opt b c
Groups: 7 1002 5000
CapInh: 0000000000000000
CapEff: 0000000020000421
CapBnd: 0000000020000421
CapAmb: 0000000000000000'
	expect 0 runtime exec --user 5:6 main id </dev/null
	has "$output" uid=5 gid=6
	expect 255 runtime exec --user root main id </dev/null
	# A name typed wrong at the command line is refused; runc only warns.
	! has_vm || expect 255 runtime exec --cap CAP_NOSUCH main id </dev/null
}

@test "exec of a missing program says so and exits with 255" {
	expect 255 runtime --log "$work/exec.json" --log-format json exec main nosuch </dev/null
	text='unable to start container process: exec: "nosuch": executable file not found in $PATH'
	same "$stderr" "exec failed: $text"
	same "$(jq -r .msg "$work/exec.json")" "$stderr"
}

@test "exec of a path that is not there says stat and why" {
	expect 255 runtime --log "$work/exec.json" exec main /no/such </dev/null
	has "$stderr" 'exec: "/no/such": stat /no/such: no such file or directory'
}

@test "exec in a directory that is not there fails" {
	expect 255 runtime exec --cwd /not/there main true </dev/null
	has "$stderr" /not/there
}

@test "kill sends a signal by number or name without ending what ignores it" {
	expect 0 runtime kill main 18
	expect 0 runtime kill main SIGCONT
	expect 0 runtime kill main CONT
	expect 1 runtime kill main NOSUCH
	same "$(status_of main)" running
}

# --- what the container sees ----------------------------------------------------------------

@test "user, groups and umask are those of the bundle" {
	expect 0 inside 'id -u; id -g; id -G; grep Umask /proc/1/status'
	same "${lines[0]}" 1000
	same "${lines[1]}" 1001
	same "$(tr ' ' '\n' <<<"${lines[2]}" | sort -n | tr '\n' ' ')" '1001 1002 5000 '
	same "${lines[3]}" $'Umask:\t0027'
}

@test "the working directory, the environment and the host name are those of the bundle" {
	expect 0 inside 'pwd; echo "$COLOUR"; echo "${EMPTY-unset}"; hostname; echo "$HOME"'
	same "$output" $'/work\ngreen and blue\n\nguest-of-test\n/root'
}

@test "limits of the process are those of the bundle" {
	expect 0 inside 'grep -E "^Max (msgqueue|core)" /proc/self/limits | tr -s " "'
	same "$output" $'Max core file size 0 0 bytes \nMax msgqueue size 777 888 bytes '
}

@test "capabilities are those of the bundle and new privileges are refused" {
	# CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE
	expect 0 inside 'grep -E "^(CapBnd|CapEff|NoNewPrivs):" /proc/1/status'
	same "$output" $'CapEff:\t0000000000000000\nCapBnd:\t0000000020000420\nNoNewPrivs:\t1'
	expect 0 inside_as_root 'grep -E "^Cap(Prm|Eff|Bnd):" /proc/self/status | cut -f2 | uniq'
	same "$output" 0000000020000420
}

@test "the root file system is read-only" {
	expect 1 inside_as_root 'echo x >/etc/new'
	has "$stderr" 'Read-only file system'
}

@test "masked paths are empty and read-only paths cannot be written" {
	expect 0 inside_as_root 'cat /proc/timer_list /proc/keys /proc/kcore | wc -c;
		ls -A /sys/firmware /proc/acpi 2>/dev/null | grep -v :$'
	same "$output" 0
	expect 1 inside_as_root 'echo h >/proc/sys/kernel/core_pattern'
	has "$stderr" 'Read-only file system'
	expect 1 inside_as_root 'echo b >/proc/sysrq-trigger'
}

@test "a directory of the host is shared both ways" {
	expect 0 inside 'cat /data/hello; echo "from the guest" >/data/answer'
	same "$output" 'from the host'
	same "$(<"$work/shared/answer")" 'from the guest'
	same "$(stat -c '%u %g' "$work/shared/answer")" '1000 1001'
	echo later >"$work/shared/later"
	eventually 5 inside 'grep -q later /data/later'
}

@test "a directory mounted read-only can be read and not be changed" {
	expect 0 inside 'cat /data-ro/text'
	same "$output" 'not to be changed'
	expect 1 inside_as_root 'echo changed >/data-ro/text'
	expect 1 inside_as_root 'echo new >/data-ro/new'
	expect 1 inside_as_root 'rm /data-ro/text'
	same "$(<"$work/fixed/text")" 'not to be changed'
	[[ ! -e $work/fixed/new ]]
}

@test "a single file of the host is mounted" {
	expect 0 inside 'cat /opt/file; [ -f /opt/file ]'
	same "$output" 'one file'
}

@test "a tmpfs has the size and mode asked for" {
	expect 0 inside 'stat -c %a /scratch; df -k /scratch | tail -n 1 | tr -s " " | cut -d" " -f2
		dd if=/dev/zero of=/scratch/x bs=1k count=2000 2>/dev/null || echo full'
	same "$output" $'1777\n1024\nfull'
}

@test "the default devices are there and work" {
	expect 0 inside 'ls /dev; head -c 5 /dev/zero | wc -c; echo x >/dev/null; head -c 9 /dev/urandom | wc -c
		cat /dev/null; [ -c /dev/full ] && [ -c /dev/tty ] && [ -c /dev/random ] && [ -c /dev/ptmx ] &&
		readlink /dev/stdin'
	has "$output" $'\n5\n9\n' /proc/self/fd/0
}

@test "the container has its own pid namespace and its own proc, devpts, shm and mqueue" {
	expect 0 inside 'ls -d /proc/[0-9]* | wc -l; cut -d" " -f2,3 /proc/mounts'
	((lines[0] < 8))
	has "$output" '/proc proc' '/dev/pts devpts' '/dev/shm tmpfs' '/dev/mqueue mqueue' '/sys sysfs'
}

@test "the only network is a loopback device that is up" {
	expect 0 inside 'ls /sys/class/net; ip addr show lo'
	same "${lines[0]}" lo
	has_not "$output" eth0
	has "$output" 'inet 127.0.0.1/8'
}

# --- on the host ----------------------------------------------------------------------------

@test "what is not applied is named in one warning" {
	vm_only
	expect 0 grep 'level=warning' "$logs/$(sandbox main)/runtime.log"
	same "$(grep -c 'swappiness' <<<"$output")" 1
	has "$(grep swappiness <<<"$output")" resources.memory.swappiness
	has_not "$output" seccomp sysctl pids
}

@test "each component writes a log of its own and no error" {
	vm_only
	for component in runtime proxy shim agent; do
		log main "$component" >"$work/log"
		grep "component=$component" "$work/log"
		grep "sandbox=$(sandbox main)" "$work/log"
		# Verbs that other tests expect to fail say so in the runtime's own log.
		run -0 grep -v '"the verb failed"' "$work/log"
		has_not "$output" level=error
	done
}

@test "nothing is mounted on the host" {
	cmp "$work/mountinfo.before" "$work/mountinfo.running"
	vm_only
	same "$(cat /proc/self/mountinfo)" "$(<"$work/mountinfo.before")"
}

@test "the pid file's process is in the container's cgroups" {
	expect 0 cat "/proc/$(pid_of main)/cgroup"
	has "$output" :/system-tests/main
	# Every controller, but not every hierarchy without one.
	expect 1 grep -vE '^[0-9]+:[^:=]*:/system-tests/main$|^0::|:name=' <<<"$output"
}

@test "the pid file's process has namespaces of its own and leads its session" {
	for name in pid mnt ipc uts net; do
		echo "$name"
		[[ $(readlink "/proc/$(pid_of main)/ns/$name") != "$(readlink "/proc/self/ns/$name")" ]]
	done
	same "$(ps -o pgid=,sid= "$(pid_of main)" | tr -s ' ' '\n' | sed '/^$/d' | uniq)" \
		"$(pid_of main)"
}

@test "no process keeps a descriptor that the runtime inherited" {
	vm_only
	processes=("$(pid_of main)" "$(monitor main)" "$(process main qemu)" "$(process main worker)"
		"$(process main virtiofsd)")
	for pid in "${processes[@]}"; do
		[[ $(readlink "/proc/$pid/fd/"*) != '' ]]
		has_not "$(readlink "/proc/$pid/fd/"*)" "$work/main/inherited"
	done
	# Only the shim may hold the container's streams, or nobody would see their end.
	for pid in "${processes[@]:1}"; do
		has_not "$(readlink "/proc/$pid/fd/"*)" "$work/main/out"
	done
	has "$(readlink "/proc/$(pid_of main)/fd/"*)" "$work/main/out"
}

@test "shim, proxy and QEMU have users of their own, no capabilities and no new privileges" {
	vm_only
	uids=()
	for pid in "$(pid_of main)" "$(monitor main)" "$(process main qemu)"; do
		cat "/proc/$pid/status" >"$work/proc-status"
		mapfile -t ids < <(awk '$1 == "Uid:" || $1 == "Gid:" { for (i = 2; i <= 5; i++) print $i }' \
			"$work/proc-status" | sort -u)
		same "${#ids[@]}" 1
		((ids[0] > 65535))
		uids+=("${ids[0]}")
		same "$(awk '/^Cap/ { print $2 }' "$work/proc-status" | sort -u)" 0000000000000000
		same "$(awk '/^NoNewPrivs/ { print $2 }' "$work/proc-status")" 1
	done
	same "$(printf '%s\n' "${uids[@]}" | sort -u | wc -l)" 3
	same "$(awk '$1 == "Uid:" { print $2 }' "/proc/$(process main worker)/status")" "${uids[1]}"
	same "$(awk '/^Cap/ { print $2 }' "/proc/$(process main worker)/status" | sort -u)" \
		0000000000000000
}

@test "virtiofsd is root in a user namespace of its own only" {
	vm_only
	pid=$(process main virtiofsd)
	[[ $(readlink "/proc/$pid/ns/user") != "$(readlink /proc/self/ns/user)" ]]
	same "$(awk '/^NoNewPrivs/ { print $2 }' "/proc/$pid/status")" 1
	# It sees nothing of the host but what is shared.
	[[ ! -e /proc/$pid/root/etc/passwd ]]
}

@test "SIGKILL of a stand-in kills the process in the guest" {
	runtime_command
	reap victim "${command[@]}" exec --detach --pid-file "$work/victim/pid" main sleep 4321
	expect 0 inside 'ps'
	has "$output" 'sleep 4321'
	kill -9 "$(pid_of victim)"
	eventually 10 inside '! ps | grep -q "[s]leep 4321"'
	same "$(status_of main)" running
}

@test "a signal to the stand-in reaches the process in the guest" {
	bundle signal true
	runtime_command
	reap signal "${command[@]}" exec --detach --pid-file "$work/signal/pid" main \
		sh -c 'trap "echo got it; exit 6" USR1; echo ready; while :; do sleep 0.1; done'
	eventually 10 grep -q ready "$work/signal/out"
	kill -USR1 "$(pid_of signal)"
	same "$(exit_code signal)" 6
	same "$(<"$work/signal/out")" $'ready\ngot it'
}

# --- the end --------------------------------------------------------------------------------

@test "kill lets the process end with its own exit code, and its execs with it" {
	bundle last true
	runtime_command
	reap last "${command[@]}" exec --detach --pid-file "$work/last/pid" main sleep 1000
	expect 0 runtime kill main TERM
	same "$output$stderr" ''
	same "$(exit_code main)" 3
	same "$(exit_code last)" 137
	same "$(status_of main)" stopped
	same "$(runtime state main | jq .pid)" 0
}

@test "kill of a stopped container says that it is not running" {
	expect 1 runtime kill main 9
	has "$stderr" 'container not running'
}

@test "kill --all of a stopped container is fine and silent" {
	expect 0 runtime kill --all main 9
	same "$output$stderr" ''
}

@test "exec in a stopped container is refused" {
	expect 255 runtime exec main true </dev/null
	has "$stderr" stopped
}

@test "ps of a stopped container is an empty list" {
	expect 0 runtime ps --format json main
	[[ $output == '[]' || $output == null ]]
}

@test "delete removes a stopped container, silently and completely" {
	sid=$(! has_vm || sandbox main)
	expect 0 runtime delete main
	same "$output$stderr" ''
	expect 1 runtime state main
	same "$(ls -A "$root")" ''
	same "$(find /sys/fs/cgroup -path '*/system-tests/main')" ''
	[[ ! -e /run/kata-containers/s/${sid:-x} ]]
	expect 0 runtime delete --force main
	removes_main=yes
}

@test "delete of a container that was never started ends and removes it" {
	create plain
	expect 0 runtime delete plain
	same "$(exit_code plain)" 137
	expect 1 runtime state plain
}

@test "the same id can be created again at once, killed, and removed by force" {
	start plain
	expect 0 runtime kill plain KILL
	same "$(exit_code plain)" 137
	expect 0 runtime delete plain
	start plain
	expect 0 runtime delete --force plain
	same "$output$stderr" ''
	same "$(exit_code plain)" 137
}

# --- sudden deaths --------------------------------------------------------------------------

# death PROCESS CODES: of one of a VM's processes. The shim exits with a code that matches CODES, all
# is removable.
death() {
	start plain
	if [[ $1 == monitor ]]; then pid=$(monitor plain); else pid=$(process plain "$1"); fi
	kill -9 "$pid"
	eventually 2 has_status plain stopped
	[[ $(exit_code plain) =~ ^($2)$ ]]
	expect 1 runtime kill plain TERM
	has "$stderr" 'container not running'
	expect 0 runtime delete plain
	expect 1 runtime state plain
}

@test "when QEMU is killed the container has stopped with 137 and can be deleted" {
	vm_only
	death qemu 137
}

@test "when the proxy's monitor is killed the container has stopped and can be deleted" {
	vm_only
	# The worker may still tell why, or not.
	death monitor '137|255'
}

@test "SIGKILL and delete work on a virtual machine that hangs" {
	vm_only
	start plain
	kill -STOP "$(process plain qemu)"
	expect 0 runtime kill plain KILL
	eventually 2 has_status plain stopped
	same "$(exit_code plain)" 137
	expect 0 runtime delete plain
}

@test "delete --force cleans what a create killed at any moment left behind" {
	vm_only
	local step # bats itself changes i

	for step in 1 2 3 4 5 6 7 8; do
		after=$((step * $(<"$work/create-ms") / 8))
		echo "killed after $after ms"
		runtime_command
		"${command[@]}" create --bundle "$work/plain" --pid-file "$work/plain/pid" plain \
			</dev/null >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "$((after / 1000)).$(printf '%03d' $((after % 1000)))"
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" || true
		expect 0 timeout 10 "${command[@]}" delete --force plain
		same "$output$stderr" ''
		expect 1 runtime state plain
		leaks_end
	done
}
