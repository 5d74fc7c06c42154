# --systemd-cgroup where systemd is process 1: a real one, of a pid namespace of its own, which this
# file makes. Also docker with its systemd cgroup driver, and podman under a unit. With runc too.

load lib.bash
load docker.bash

# What becomes process 1. It must do nothing to the host: it finds no unit and no generator of the
# host's, which would clean /tmp or set sysctls, cannot write to /proc/sys, and the root of its cgroups
# is one below that of the host.
begin_systemd() {
	local script=$work/init

	cat >"$script" <<-'END'
		#!/bin/sh
		set -e
		mount --make-rprivate /
		# Below a folder of its own, since systemd adds to the one above the hierarchies (cgroup v1).
		mkdir "$1/cgroups"
		[ -e /sys/fs/cgroup/cgroup.procs ] || mount -t tmpfs -o mode=755 tmpfs "$1/cgroups"
		for dir in $(awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo); do
			mkdir "$dir/katatest"
			[ ! -e "$dir/cpuset.cpus" ] || for file in cpuset.cpus cpuset.mems; do
				cat "$dir/$file" >"$dir/katatest/$file"
			done
			echo $$ >"$dir/katatest/cgroup.procs"
			mkdir -p "$1/cgroups${dir#/sys/fs/cgroup}"
			mount --bind "$dir/katatest" "$1/cgroups${dir#/sys/fs/cgroup}"
		done
		mount --move "$1/cgroups" /sys/fs/cgroup
		mount -t proc proc /proc
		mount --bind -o ro /proc/sys /proc/sys
		mount --bind /run /run
		mkdir -p /run/systemd
		for dir in /run/systemd /etc/systemd /usr/local/lib/systemd /lib/systemd/system \
			/lib/systemd/system-generators; do
			[ ! -d $dir ] || mount -t tmpfs -o mode=755 tmpfs $dir
		done
		mkdir -p /etc/systemd/system
		for name in nothing sysinit basic shutdown umount; do
			printf '[Unit]\nDefaultDependencies=no\n' >/lib/systemd/system/$name.target
		done
		export container=test
		exec unshare --cgroup /lib/systemd/systemd --system --unit=nothing.target --log-target=console \
			--show-status=no
	END
	chmod +x "$script"
	setsid unshare --pid --mount --fork --kill-child "$script" "$work" \
		>"$work/systemd.log" 2>&1 3>&- </dev/null &
	echo $! >"$work/unshare"
	eventually 60 systemd_runs || { cat "$work/systemd.log" && return 1; }
}

systemd_runs() {
	[[ $(in_systemd systemctl is-system-running) == @(running|degraded) ]]
}

# inside: the command by which one is among its processes, in the array docker_inside.
inside() {
	local pid

	pid=$(pgrep -P "$(<"$work/unshare")") || return
	docker_inside=(nsenter --target "$pid" --pid --mount --cgroup --)
}

in_systemd() {
	inside && timeout -k 5 60 "${docker_inside[@]}" "$@" 3>&-
}

runtime() {
	local command

	runtime_command
	in_systemd "${command[@]}" --systemd-cgroup "$@"
}

setup_file() {
	prepare_directory "$(mktemp -d /var/tmp/kata-systemd.XXXXXX)"
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	begin_systemd
}

teardown_file() {
	local pid

	use_directory "$(<"$BATS_FILE_TMPDIR/work")"
	remove_containers
	if pid=$(pgrep -P "$(<"$work/unshare")"); then
		kill -KILL "$pid"
		eventually 10 not kill -0 "$pid"
	fi
	find /sys/fs/cgroup -depth -type d -path '*/katatest*' -exec rmdir {} +
	rm -rf "$work"
}

setup() {
	use_directory "$(<"$BATS_FILE_TMPDIR/work")"
}

property() {
	in_systemd systemctl show --property "$2" --value "$1"
}

@test "a container is a scope in its slice, and another one of the same id follows at once" {
	local scope=kata-test-one.scope pid i

	bundle one sleep 1000
	edit one '.linux.cgroupsPath = "katatest-a.slice:kata-test:one"
		| .annotations["org.systemd.property.TimeoutStopSec"] = "uint64 7"'
	for i in 1 2; do
		runtime run --detach --bundle "$work/one" --pid-file "$work/one/pid" one \
			</dev/null >"$work/one/out" 2>&1 || { cat "$work/one/out" && return 1; }
		pid=$(<"$work/one/pid")
		same "$(property $scope ActiveState)" active
		same "$(property $scope Slice)" katatest-a.slice
		same "$(property $scope Delegate)" yes
		same "$(property $scope TimeoutStopUSec)" 7s
		same "$(property $scope ControlGroup)" "/katatest.slice/katatest-a.slice/$scope"
		has "$(in_systemd cat "/proc/$pid/cgroup")" \
			":/katatest.slice/katatest-a.slice/$scope"
		! has_vm || has "$(<"/proc/$(process one qemu)/cgroup")" "/$scope"
		expect 0 runtime exec one true
		expect 0 runtime delete --force one
		same "$(property $scope LoadState)" not-found
	done
}

@test "a scope that is another container's is not ended by one that cannot have it" {
	local name

	vm_only
	for name in one two; do
		bundle $name sleep 1000
		edit $name '.linux.cgroupsPath = "katatest-a.slice:kata-test:one"'
	done
	runtime run --detach --bundle "$work/one" one </dev/null >"$work/one/out" 2>&1
	expect 1 runtime run --detach --bundle "$work/two" two </dev/null
	has "$stderr" 'kata-test-one.scope'
	same "$(property kata-test-one.scope ActiveState)" active
	expect 0 runtime exec one true
	expect 0 runtime delete --force one
}

@test "docker with the systemd cgroup driver has scopes, and ends them" {
	local id scope

	inside
	docker_begin "$work/d" '' --exec-opt native.cgroupdriver=systemd
	id=$(in_vm --detach img sleep 1000)
	scope=docker-$id.scope
	same "$(property "$scope" ActiveState)" active
	same "$(property "$scope" Slice)" system.slice
	expect 0 docker exec "$id" true
	expect 0 docker rm --force "$id"
	same "$(property "$scope" LoadState)" not-found
	docker_end
}

# install_unit NAME: the installed unit, for this file's root, bundles and configuration.
install_unit() {
	sed "s|=$RUNTIME |=$RUNTIME --kata-config $config --root $root |
		s|/var/lib/kata-containers/bundles/|$work/|
		s|^ReadWritePaths=.*|& $work|
		s|^Type=oneshot|&\nStandardOutput=file:$work/$1.out\nStandardError=file:$work/$1.err|" \
		"${RUNTIME%/bin/*}/lib/systemd/system/$1" >"$work/$1"
	in_systemd cp "$work/$1" /etc/systemd/system/
	expect 0 in_systemd systemctl daemon-reload
}

unit_is() {
	[[ $(property "$1" ActiveState) == "$2" ]]
}

@test "kata-container@ID.service is a bundle as a service, with its exit status" {
	local unit=kata-container@served.service

	vm_only
	install_unit kata-container@.service
	# Without a trap process 1 sees no signal.
	bundle served sh -c 'trap "exit 7" USR1; trap "exit 0" TERM; touch /dev/shm/ready
		while :; do sleep 0.2; done'
	expect 0 in_systemd systemctl start $unit
	same "$(property $unit ActiveState)" active
	same "$(property $unit MainPID)" "$(in_systemd cat /run/kata-container-served.pid)"
	same "$(status_of served)" running
	eventually 20 runtime exec served test -e /dev/shm/ready
	expect 0 in_systemd systemctl stop $unit
	same "$(property $unit Result)" success
	expect 1 runtime state served
	expect 0 in_systemd systemctl start $unit
	eventually 20 runtime exec served test -e /dev/shm/ready
	# As its main process has it, the shim, which forwards it.
	expect 0 in_systemd systemctl kill --kill-who=main --signal=USR1 $unit
	eventually 20 unit_is $unit failed
	same "$(property $unit ExecMainStatus)" 7
	expect 1 runtime state served
	expect 0 in_systemd systemctl reset-failed $unit
	[[ -z $(ls "$root") ]]
}

@test "kata-gc.service, confined as it is, removes the dead, and leaves who has hooks" {
	local name unit=kata-gc.service

	vm_only
	install_unit $unit
	for name in plain hooked; do
		bundle $name sleep 1000
		[[ $name == plain ]] || edit $name --arg file "$work/hook" '.hooks.poststop = [{
			path: "/bin/sh", args: ["sh", "-c", "echo >" + $file] }]'
		runtime run --detach --bundle "$work/$name" $name </dev/null >"$work/$name/out" 2>&1
		kill -KILL "$(process $name qemu)"
		eventually 20 has_status $name stopped
		mv "$work/$name" "$work/$name.gone"
	done
	run in_systemd systemctl start $unit
	same "$(<"$work/$unit.err")" ''
	same "$status" 0
	has "$(<"$work/$unit.out")" 'removing container plain: it has stopped and its bundle is gone' \
		'leaving container hooked: it has stopped and its bundle is gone, and it has poststop hooks'
	expect 1 runtime state plain
	expect 0 runtime state hooked
	[[ ! -e $work/hook ]]
	expect 0 runtime gc
	[[ -e $work/hook ]]
	expect 1 runtime state hooked
}

# unit_of ID: that of its worker.
unit_of() {
	local sid

	sid=$(sandbox "$1") && echo "kata-proxy@${sid:0:30}.service"
}

# worker_of UNIT: the worker that it started.
worker_of() {
	local main

	main=$(in_systemd systemctl show --property MainPID --value "$1") && [[ $main != 0 ]] &&
		in_systemd pgrep -P "$main" -f '^kata-proxy worker '
}

# within_rights ID: no process of it exceeds its row.
within_rights() {
	runtime privs "$1" >"$work/privs" || { jq -c '.[] | [.process, .exceeds]' "$work/privs" && return 1; }
}

@test "proxy.launcher systemd: the worker is a unit's, comes again, and goes with its VM" {
	local unit link killed ms command users=()

	vm_only
	install_unit kata-proxy@.service
	for link in virtio-serial vhost-user-vsock; do
		jq -n --arg logs "$logs" --arg link "$link" '{ hypervisor: { agent_link: $link },
			proxy: { launcher: "systemd", enable_debug: true },
			runtime: { log_target: "file", log_dir: $logs } }' >"$work/by-unit.json"
		config=$work/by-unit.json
		bundle unit sleep 1000
		runtime run --detach --bundle "$work/unit" unit </dev/null >"$work/unit/out" 2>&1 ||
			{ cat "$work/unit/out" "$logs"/*/proxy.log && return 1; }
		unit=$(unit_of unit)
		same "$(property "$unit" ActiveState)" active
		same "$(property "$unit" Slice)" kata.slice
		expect 0 runtime exec unit echo through
		same "$output" through
		within_rights unit
		same "$(jq '[.[] | select(.process | endswith("of a unit"))] | length' "$work/privs")" 1
		# Killed while an exec waits; then the process that systemd started, and its worker with it.
		runtime exec unit sh -c 'sleep 2; echo late' >"$work/unit/late" 3>&- &
		killed=$(worker_of "$unit")
		in_systemd kill -KILL "$killed"
		wait $!
		same "$(<"$work/unit/late")" late
		not in_systemd kill -0 "$killed"
		in_systemd systemctl kill --kill-who=main --signal=KILL "$unit"
		expect 0 runtime exec unit echo again
		same "$output" again
		expect 0 runtime proxy-restart unit
		expect 0 runtime exec unit echo 'once more'
		within_rights unit
		expect 0 runtime delete --force unit
		same "$(property "$unit" ActiveState)" inactive
		not in_systemd pgrep -f "^kata-proxy|/kata-proxy unit"
	done
	# Each has a user of its own.
	for link in one other; do
		bundle $link sleep 1000
		runtime run --detach --bundle "$work/$link" $link </dev/null >"$work/$link/out" 2>&1
		unit=$(unit_of $link)
		users+=("$(in_systemd stat -c %u "/proc/$(property "$unit" MainPID)")")
	done
	[[ ${users[0]} != "${users[1]}" ]]
	# Not stopped by hand only: what ends by itself leaves nothing either.
	kill -KILL "$(monitor one)"
	eventually 10 unit_is "$(unit_of one)" inactive
	expect 0 runtime delete one
	expect 0 runtime delete --force other
	same "$(ls /run/kata-containers/unit)" root
	# Also of a create that was killed, wherever it was, whether its state is there or not.
	runtime_command
	inside
	for ms in 050 080 120 300; do
		timeout -s KILL 0.$ms "${docker_inside[@]}" "${command[@]}" --systemd-cgroup run --detach \
			--bundle "$work/one" one </dev/null >"$work/one/out" 2>&1 3>&- || true
		[[ $ms != 120 ]] || rm -f /run/kata-containers/s/*/{state,intent}.json
		expect 0 runtime delete --force one
		same "$(ls /run/kata-containers/unit)" root
		same "$(in_systemd systemctl list-units --plain --no-legend 'kata-proxy@*')" ''
		not in_systemd pgrep -f "^kata-proxy|/kata-proxy unit"
	done
	# Without the unit's file nothing is made.
	in_systemd rm /etc/systemd/system/kata-proxy@.service
	in_systemd systemctl daemon-reload
	expect 1 runtime run --detach --bundle "$work/unit" unit </dev/null
	has "$stderr" "kata-proxy@"
	expect 1 runtime state unit
}

podman_use() {
	podman=(/usr/bin/podman --root "$work/podman" --runroot "$work/run" --tmpdir "$work/tmp"
		--storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime "$RUNTIME")
}

podman_command() {
	in_systemd "${podman[@]}" "$@"
}

@test "a unit that podman generate systemd wrote starts and stops its container" {
	local unit=$work/container-main.service

	podman_use
	podman_command create --network none --log-driver k8s-file --name main --rootfs \
		"$base/rootfs" sh -c 'trap "exit 0" TERM; while :; do sleep 0.2; done'
	# It leaves out where this podman has its files.
	podman_command generate systemd --name main | sed "s|/usr/bin/podman|${podman[*]}|" >"$unit"
	in_systemd cp "$unit" /etc/systemd/system/
	expect 0 in_systemd systemctl daemon-reload
	expect 0 in_systemd systemctl start container-main
	same "$(property container-main.service ActiveState)" active
	same "$(podman_command inspect --format '{{.State.Status}}' main)" running
	expect 0 podman_command exec main true
	expect 0 in_systemd systemctl stop container-main
	same "$(property container-main.service Result)" success
	same "$(podman_command inspect --format '{{.State.Status}} {{.State.ExitCode}}' main)" 'exited 0'
	expect 0 podman_command rm main
}
