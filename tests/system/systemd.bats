# --systemd-cgroup where systemd is process 1: a real one, of a pid namespace of its own, which this
# file makes. Also docker with its systemd cgroup driver. With runc too.

load lib.bash
load docker.bash

# What becomes process 1: mounts that systemd may have for itself, and no unit of the host's.
begin_systemd() {
	local script=$work/init

	cat >"$script" <<-'END'
		#!/bin/sh
		set -e
		mount --make-rprivate /
		mount -t proc proc /proc
		mount --bind /run /run
		mkdir -p /run/systemd
		mount -t tmpfs -o mode=755 tmpfs /run/systemd
		mount -t tmpfs -o mode=755 tmpfs /etc/systemd
		mkdir -p /etc/systemd/system
		printf '[Unit]\nDefaultDependencies=no\n' >/etc/systemd/system/nothing.target
		export container=test
		exec /lib/systemd/systemd --system --unit=nothing.target --log-target=console \
			--show-status=no
	END
	chmod +x "$script"
	setsid unshare --pid --mount --fork --kill-child --cgroup "$script" \
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
	find /sys/fs/cgroup -depth -type d \( -path '*/init.scope' -o -path '*/katatest.slice*' \) \
		-exec rmdir {} + || true
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
	edit one '.linux.cgroupsPath = "katatest-a.slice:kata-test:one"'
	for i in 1 2; do
		runtime run --detach --bundle "$work/one" --pid-file "$work/one/pid" one \
			</dev/null >"$work/one/out" 2>&1 || { cat "$work/one/out" && return 1; }
		pid=$(<"$work/one/pid")
		same "$(property $scope ActiveState)" active
		same "$(property $scope Slice)" katatest-a.slice
		same "$(property $scope Delegate)" yes
		same "$(property $scope ControlGroup)" "/katatest.slice/katatest-a.slice/$scope"
		has "$(in_systemd cat "/proc/$pid/cgroup")" \
			"name=systemd:/katatest.slice/katatest-a.slice/$scope"
		! has_vm || has "$(<"/proc/$(process one qemu)/cgroup")" "/$scope"
		expect 0 runtime exec one true
		expect 0 runtime delete --force one
		same "$(property $scope LoadState)" not-found
	done
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
