# podman with our runtime: storage of its own, containers and a pod, and no network. Here conmon is
# the parent of containers and execs, and podman itself runs every other verb without any option.

load lib.bash
export PODMAN_IGNORE_CGROUPSV1_WARNING=1 # podman 5 would write it to every standard error

setup_file() {
	work=$(mktemp -d /var/tmp/kata-podman.XXXXXX)
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	leaks_begin
	"$top/guest/busybox-bundle" "$work/bundle" -- true
	printf 'not a program\n' >"$work/bundle/rootfs/bin/not-executable"
	chmod 0644 "$work/bundle/rootfs/bin/not-executable"
	tar -C "$work/bundle/rootfs" -c . | podman_command import - img >/dev/null 2>&1
	podman_run -d --name main --memory 64m --pids-limit 40 --env GREETING='hello there' \
		--workdir /tmp --user 1000:1001 --hostname guest --health-cmd 'test -e /tmp/healthy' \
		--health-interval disable --volume "$work:/host:ro" --tmpfs /scratch:size=1m \
		img sh -c 'trap "exit 5" TERM; echo started; while :; do sleep 0.2; done' >"$work/id"
}

teardown_file() {
	local mount

	work=$(<"$BATS_FILE_TMPDIR/work")
	podman_command rm --all --force --time 0 >/dev/null || true
	while read -r mount; do
		umount -l "$mount" || true
	done < <(awk -v dir="$work/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	leaks_end
	rm -rf "$work"
	find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + || true
}

setup() {
	work=$(<"$BATS_FILE_TMPDIR/work")
}

podman_command() {
	timeout -k 5 120 podman --root "$work/root" --runroot "$work/run" --tmpdir "$work/tmp" \
		--storage-driver vfs --cgroup-manager cgroupfs --events-backend file \
		--runtime "$RUNTIME" "$@" 3>&-
}

podman_run() {
	podman_command run --network none "$@"
}

status_in_podman() {
	podman_command inspect --format '{{.State.Status}} {{.State.ExitCode}}' main
}

@test "podman run prints the guest's kernel and passes on the exit code" {
	expect 7 podman_run --rm img sh -c 'uname -r; exit 7'
	! has_vm || [[ $output != "$(uname -r)" ]]
}

@test "what cannot be run is 127 when it is missing and 126 when it is no program" {
	expect 127 podman_run --rm img no-such-program
	has "$stderr" 'executable file not found in $PATH'
	expect 126 podman_run --rm img /bin/not-executable
	has "$stderr" 'permission denied'
}

@test "the options of run hold inside" {
	expect 0 podman_command exec main sh -c 'echo "$GREETING"; pwd; id -u; id -g; hostname
		touch /host/x 2>/dev/null || echo read-only; df -k /scratch | tail -n 1 | tr -s " " |
		cut -d" " -f2'
	same "$output" $'hello there\n/tmp\n1000\n1001\nguest\nread-only\n1024'
}

@test "podman exec passes on code, streams and a missing program" {
	expect 3 podman_command exec main sh -c 'exit 3'
	run bash -c 'echo through | timeout 60 podman --root '"$work/root"' --runroot '"$work/run"' \
		--tmpdir '"$work/tmp"' --storage-driver vfs --cgroup-manager cgroupfs \
		--events-backend file --runtime '"$RUNTIME"' exec -i main cat'
	same "$output" through
	expect 127 podman_command exec main no-such-program
}

@test "podman exec -it has a terminal of the user's size" {
	expect 0 timeout 90 "$here/terminal" - 'size 40x90' 'send stty size\n' 'expect 40 90' \
		'send exit 6\n' 'end 6' -- podman --root "$work/root" --runroot "$work/run" \
		--tmpdir "$work/tmp" --storage-driver vfs --cgroup-manager cgroupfs \
		--events-backend file --runtime "$RUNTIME" exec -it main sh 3>&-
}

@test "a health check is an exec" {
	expect 1 podman_command healthcheck run main
	expect 0 podman_command exec main touch /tmp/healthy
	expect 0 podman_command healthcheck run main
}

@test "podman top runs the container's ps, when it is given options of that" {
	expect 0 podman_command top main -eo pid,args
	has "$output" 'trap "exit 5" TERM'
	# Without such options, and podman 5 with them too, it looks at the processes on the host, from
	# within their namespaces.
	expect 0 podman_command top main
	has "$output" 'COMMAND' 'trap "exit 5" TERM'
	expect 0 podman_command top main pid hpid args
	has "$output" "$(podman_command inspect --format '{{.State.Pid}}' main)"
}

@test "podman logs, pause, unpause, update and stats" {
	expect 0 podman_command logs main
	same "$output" started
	expect 0 podman_command pause main
	same "$(status_in_podman)" 'paused 0'
	expect 0 podman_command unpause main
	same "$(status_in_podman)" 'running 0'
	expect 0 podman_command update --memory 300m main
	! has_vm || same "$(podman_command exec main cat /sys/fs/cgroup/memory.max)" 314572800
	expect 0 podman_command stats --no-stream --format '{{.MemUsage}} {{.PIDS}}' main
	has "$output" B
	has_not "$output" -- '--'
}

@test "podman stop lets it end in its own way, start begins again, kill and rm" {
	expect 0 podman_command stop --time 20 main
	same "$(status_in_podman)" 'exited 5'
	expect 0 podman_command start main
	same "$(status_in_podman)" 'running 0'
	expect 0 podman_command kill main
	expect 0 podman_command wait main
	same "$(status_in_podman)" 'exited 137'
	expect 0 podman_command rm main
	expect 0 podman_command ps --all --quiet
	same "$output" ''
}

# --- pods -----------------------------------------------------------------------------------

pod_run() {
	podman_command run --pod pod "$@"
}

# The virtual machines of this host beyond those of other tests.
machines() {
	echo $(($(monitors) - ${1:-0}))
}

@test "a pod is one virtual machine, and ends whole" {
	local others

	others=$(machines)
	expect 0 podman_command pod create --name pod --network none --share net,ipc,uts,pid \
		--hostname pod-host --infra-image img --infra-command 'sleep 1000'
	pod_run -d --name one img sh -c 'trap "exit 4" TERM; echo shared >/dev/shm/x
		while :; do sleep 0.2; done'
	expect 0 pod_run --rm img sh -c 'cat /dev/shm/x; hostname; ps | grep -c "[s]leep 1000"'
	same "$output" $'shared\npod-host\n1'
	expect 9 pod_run --name two img sh -c 'exit 9'
	! has_vm || same "$(machines "$others")" 1
	expect 0 podman_command exec one true
	# podman ends the infra container first.
	expect 0 podman_command pod stop --time 10 pod
	same "$(podman_command inspect --format '{{.State.ExitCode}}' one)" 4
	! has_vm || same "$(machines "$others")" 0
	expect 0 podman_command pod start pod
	expect 0 podman_command exec one cat /dev/shm/x
	expect 0 podman_command pod rm --force --time 0 pod
	! has_vm || same "$(machines "$others")" 0
}
