# docker.bash: a dockerd for the tests alone, with a data root, an exec root, a socket and a
# containerd of its own, and without a network. Loaded after lib.bash.

if has_vm; then docker_runtime=kata-runtime; else docker_runtime=runc; fi
# The command by which dockerd is where its processes are, when they are not among ours.
docker_inside=()
# Options of docker run and build that name it, for what in_vm cannot call.
with_runtime=(--runtime "$docker_runtime" --network none)

# docker_begin DIR [NETNS [OPTION...]]: starts it and makes the image "img" from the host's static
# busybox. With NETNS it lives in that network namespace with its default bridge, with '' without one.
docker_begin() {
	docker_use "$1"
	mkdir -p "$docker_dir"/{data,exec}
	jq -n --arg path "$(called_runtime "$docker_dir")" --arg default "$docker_runtime" \
		'{ runtimes: { "kata-runtime": { path: $path } }, "default-runtime": $default }' \
		>"$docker_dir/daemon.json"
	docker_start "${@:2}"
	docker_image
}

# docker_start [NETNS [OPTION...]]: the same of a daemon that has its directory, and its images, by now.
docker_start() {
	local -a options=(--bridge none --iptables=false --ip-forward=false) enter=()

	[[ -z ${1:-} ]] || enter=(nsenter "--net=/run/netns/$1") options=()
	options+=("${@:2}")
	setsid "${docker_inside[@]}" "${enter[@]}" dockerd --config-file "$docker_dir/daemon.json" \
		--data-root "$docker_dir/data" --exec-root "$docker_dir/exec" --pidfile "$docker_dir/pid" \
		--host "$DOCKER_HOST" "${options[@]}" >>"$docker_dir/log" 2>&1 3>&- </dev/null &
	eventually 60 docker version >"$docker_dir/version" ||
		{ tail -n 20 "$docker_dir/log" && return 1; }
}

# The socket's path must be short.
docker_use() {
	docker_dir=$1
	export DOCKER_HOST=unix://$docker_dir/docker.sock DOCKER_CONFIG=$docker_dir/client
}

docker_image() {
	"$top/guest/busybox-bundle" "$docker_dir/bundle" -- true
	printf 'not a program\n' >"$docker_dir/bundle/rootfs/bin/not-executable"
	chmod 0644 "$docker_dir/bundle/rootfs/bin/not-executable"
	tar -C "$docker_dir/bundle/rootfs" -c . | docker import - img >/dev/null
}

# Ends it by its pid and removes what it leaves: its mounts and files.
docker_end() {
	local pid mount

	docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1 || true
	pid=$(cat "$docker_dir/pid" 2>/dev/null) || return 0
	"${docker_inside[@]}" kill "$pid"
	eventually 30 not "${docker_inside[@]}" kill -0 "$pid" || "${docker_inside[@]}" kill -KILL "$pid"
	eventually 10 not test -e "$docker_dir/exec/containerd/containerd.pid" || true
	while read -r mount; do
		umount -l "$mount" || true
	done < <(awk -v dir="$docker_dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo |
		sort -r)
	rm -rf "$docker_dir"
}

# in_vm ARGUMENT...: docker run with our runtime and no network.
in_vm() {
	timeout -k 5 120 docker run "${with_runtime[@]}" "$@" 3>&-
}

container_running() {
	[[ $(docker inspect -f '{{.State.Running}}' "$1") == true ]]
}

container_exited() {
	[[ $(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$1") == "exited $2" ]]
}

# of NAME FORMAT: from docker inspect.
of() {
	docker inspect -f "{{$2}}" "$1"
}

is() {
	[[ $(of "$1" "$2") == "$3" ]]
}

# logs_have NAME TEXT: does the container's output hold that text by now?
logs_have() {
	[[ $(docker logs "$1" 2>&1) == *"$2"* ]]
}

# process_of NAME monitor|qemu|virtiofsd|worker: its pid; docker keeps our state below its exec root.
process_of() {
	local root=$docker_dir/exec/runtime-runc/moby id

	id=$(of "$1" .Id)
	if [[ $2 == monitor ]]; then monitor "$id"; else process "$id" "$2"; fi
}

# --- a test file with one dockerd -----------------------------------------------------------

docker_file_begin() {
	work=$(mktemp -d /var/tmp/kata-docker.XXXXXX)
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	docker_begin "$work/d" "$@"
}

docker_file_end() {
	docker_file_use
	docker_end
	rm -rf "$work"
}

docker_file_use() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	docker_use "$work/d"
}
