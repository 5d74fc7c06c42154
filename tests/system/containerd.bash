# containerd.bash: a containerd for the tests alone, with its files and its socket below $work. Loaded after
# lib.bash.

# containerd_begin NETNS: starts it, in that network namespace unless it is ''. What stands on standard
# input goes into its configuration: first what is no table's.
containerd_begin() {
	local -a enter=()

	[[ -z $1 ]] || enter=(nsenter "--net=/run/netns/$1")
	cat - >"$work/config.toml" <<-END
		version = 2
		root = "$work/root"
		state = "$work/state"
		$(cat)
		[grpc]
		address = "$work/sock"
		[debug]
		address = "$work/debug"
		[ttrpc]
		address = "$work/ttrpc"
	END
	setsid "${enter[@]}" containerd --config "$work/config.toml" >"$work/log" 2>&1 3>&- </dev/null &
	echo $! >"$work/pid"
	eventually 30 ctr_command version >/dev/null || { tail "$work/log" && return 1; }
}

# Ends it by its pid, with the mounts that it may leave.
containerd_end() {
	local pid

	pid=$(<"$work/pid")
	kill "$pid"
	eventually 20 not kill -0 "$pid" || kill -KILL "$pid"
	awk -v dir="$work/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
		xargs -r -n 1 umount -l
}

ctr_command() {
	timeout -k 5 90 ctr --address "$work/sock" "$@" 3>&-
}
