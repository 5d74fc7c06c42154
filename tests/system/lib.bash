#!/bin/bash
# lib.bash: what the system tests have in common; each of them loads it. The runtime is that of
# KATA_RUNTIME. With KATA_TEST_RUNTIME=runc another one takes its place, which shows whether a test
# asks for what every OCI runtime does; tests of what only a virtual machine has are skipped then.
# tests/run does that with files that say "With runc too" in their first lines.
# With KATA_TEST_VALGRIND, which tests/valgrind sets, what cannot be under it is skipped.
# With KATA_TEST_LINK every container's agent is behind that link.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8
umask 022
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
top=$here/../..
RUNTIME=$(type -P "${KATA_TEST_RUNTIME:-${KATA_RUNTIME:-/usr/local/bin/kata-runtime}}")
bats_require_minimum_version 1.5.0

has_vm() {
	[[ -z ${KATA_TEST_RUNTIME:-} ]]
}

# vcpus N COMMAND...: how many of N processors a machine can get that grows; COMMAND is run in it. With
# QEMU's translator newer kernels take none but those they began with.
vcpus() {
	local most=$1 list

	shift
	list=$("$@" cat /sys/devices/system/cpu/possible </dev/null)
	((${list##*[-,]} + 1 >= most)) || most=$((${list##*[-,]} + 1))
	echo $((most < $(nproc) ? most : $(nproc)))
}

not_valgrind() {
	[[ -z ${KATA_TEST_VALGRIND:-} ]] || skip "$1"
}

vm_only() {
	has_vm || skip "about a virtual machine, and $RUNTIME makes none"
}

# --- places ---------------------------------------------------------------------------------

# A file's containers are below $root, their logs below $logs, bundles and the files of a container
# (pid, out, err, reaped) below $work.
use_directory() {
	work=$1 root=$1/root logs=$1/logs base=$1/base
	config=$1/configuration.json
}

# prepare_directory DIR: makes a root file system that all bundles of a test file share.
prepare_directory() {
	use_directory "$1"
	mkdir -p "$work" "$root" "$logs"
	"$top/guest/busybox-bundle" "$base" -- true
	link_config | jq --arg logs "$logs" \
		'. * { runtime: { log_target: "file", log_dir: $logs } }' >"$config"
}

# A configuration with nothing but the agent's link.
link_config() {
	jq -n --arg link "${KATA_TEST_LINK:-auto}" '{ hypervisor: { agent_link: $link } }'
}

# called_runtime DIR: the program that docker and ctr are to call, which may be made in DIR.
called_runtime() {
	if [[ -z ${KATA_TEST_LINK:-} ]] || ! has_vm; then
		printf '%s\n' "$RUNTIME"
		return
	fi
	link_config >"$1/link.json"
	printf '#!/bin/sh\nexec "%s" --kata-config "%s" "$@"\n' "$RUNTIME" "$1/link.json" \
		>"$1/kata-runtime"
	chmod 0755 "$1/kata-runtime"
	printf '%s\n' "$1/kata-runtime"
}

# bundle NAME COMMAND...: a new bundle with that command and no terminal.
bundle() {
	mkdir -p "$work/$1"
	jq --arg rootfs "$base/rootfs" '.root.path = $rootfs | .process.args = $ARGS.positional' \
		"$base/config.json" --args -- "${@:2}" >"$work/$1/config.json"
}

# edit NAME JQ_ARGUMENT...: changes a bundle's config.json.
edit() {
	jq "${@:2}" "$work/$1/config.json" >"$work/$1/config.new"
	mv "$work/$1/config.new" "$work/$1/config.json"
}

# --- the runtime ----------------------------------------------------------------------------

# The runtime with its global options, as words in the array $command.
runtime_command() {
	command=("$RUNTIME" --root "$root")
	! has_vm || command+=(--kata-config "$config")
}

# runtime ARGUMENT...: it has a minute.
runtime() {
	local command

	runtime_command
	timeout -k 5 60 "${command[@]}" "$@" 3>&-
}

# create ID [OPTION...]: from the bundle of that name, with the files out and err for its output, as
# a container manager does it: below a subreaper, which writes down how each process ended.
create() {
	local command

	runtime_command
	reap "$1" "${command[@]}" create --bundle "$work/$1" --pid-file "$work/$1/pid" "${@:2}" "$1"
}

# reap ID [--open-fds] COMMAND...: its exit status; the reaper lives as long as what it began.
reap() {
	local dir=$work/$1

	mkdir -p "$dir"
	rm -f "$dir/status" "$dir/pid"
	"$here/reaper" "$dir" "${@:2}" <"${stdin:-/dev/null}" >"$dir/out" 2>"$dir/err" 3>&- &
	echo $! >"$dir/reaper"
	eventually 90 test -s "$dir/status"
	[[ $(<"$dir/status") == 0 ]] || cat "$dir/err" >&2
	return "$(<"$dir/status")"
}

start() {
	create "$@" && runtime start "$1"
}

pid_of() {
	cat "$work/$1/pid"
}

# ended ID PID: did the reaper see it end, and how? Prints its exit code, 128+n for signal n.
ended() {
	awk -v pid="$2" '$1 == pid { print $2; found = 1 } END { exit !found }' \
		"$work/$1/reaped" 2>/dev/null
}

# exit_code ID [PID]: the same of a container's own process, when it is a matter of seconds.
exit_code() {
	local pid=${2:-$(pid_of "$1")}

	eventually 20 ended "$1" "$pid" >/dev/null && ended "$1" "$pid"
}

status_of() {
	runtime state "$1" | jq -r .status
}

has_status() {
	[[ $(status_of "$1") == "$2" ]]
}

# --- the processes of a virtual machine -----------------------------------------------------

# sandbox ID: the directory's name of its virtual machine.
sandbox() {
	jq -r .sandbox "$root/$1/state.json"
}

# Under Valgrind a command line is Valgrind's, with the program's path and arguments at its end.
monitor() {
	pgrep -f "(^|/)kata-proxy monitor $(sandbox "$1")\$"
}

# How many virtual machines this host has.
monitors() {
	pgrep -c -f '(^|/)kata-proxy monitor ' || true
}

# netmon ID: the first one, should its child live too.
netmon() {
	pgrep -o -f "(^kata-netmon|/kata-runtime) $(sandbox "$1")\$"
}

# process ID qemu|virtiofsd|worker
process() {
	local monitor

	monitor=$(monitor "$1") || return
	case $2 in
	worker) pgrep -P "$monitor" -f "(^|/)kata-proxy worker " ;;
	*) pgrep -P "$monitor" "^$2" ;;
	esac
}

# log ID COMPONENT: what it wrote.
log() {
	cat "$logs/$(sandbox "$1")/$2.log"
}

# --- assertions -----------------------------------------------------------------------------

# expect STATUS COMMAND...: runs it with $output and $stderr set, shows all when it is not as wanted.
# shellcheck disable=SC2154 # run sets status and stderr
expect() {
	local want=$1

	shift
	run --separate-stderr "$@"
	printf '%s: exit status %s\n--- stdout\n%s\n--- stderr\n%s\n---\n' "$*" "$status" \
		"${output:0:4000}" "${stderr:0:4000}"
	[[ $status == "$want" ]] || { echo "exit status $want was expected" && return 1; }
}

# same TEXT EXPECTED
same() {
	[[ $1 == "$2" ]] || { printf 'is:        %s\nshould be: %s\n' "$1" "$2" && return 1; }
}

# has TEXT PART...: all of them are in it.
has() {
	local part

	for part in "${@:2}"; do
		[[ $1 == *"$part"* ]] || { printf '"%s" is not in: %s\n' "$part" "$1" && return 1; }
	done
}

# has_not TEXT PART...
has_not() {
	local part

	for part in "${@:2}"; do
		[[ $1 != *"$part"* ]] || { printf '"%s" is in: %s\n' "$part" "$1" && return 1; }
	done
}

not() {
	! "$@"
}

# eventually SECONDS COMMAND...: tries every 0.1 s until it succeeds.
eventually() {
	local end=$((${EPOCHREALTIME/./} / 100000 + $1 * 10))

	shift
	until "$@" 2>/dev/null; do
		if ((${EPOCHREALTIME/./} / 100000 >= end)); then
			printf 'not in time: %s\n' "$*"
			return 1
		fi
		sleep 0.1
	done
}

# --- leaving nothing ------------------------------------------------------------------------

# KATA_LEAKS_IGNORE: a regular expression of what others do on this host at the same time.
look_for_leaks() {
	"$top/tests/leaks" | grep -vE "${KATA_LEAKS_IGNORE:-^$}" || true
}

leaks_begin() {
	look_for_leaks >"$work/leaks.before"
}

no_leak() {
	look_for_leaks >"$work/leaks.now"
	comm -13 "$work/leaks.before" "$work/leaks.now" >"$work/leaks"
	[[ ! -s $work/leaks ]]
}

# What was not there at leaks_begin() has two seconds to go.
leaks_end() {
	eventually 2 no_leak >/dev/null || { echo 'left behind:' && cat "$work/leaks" && return 1; }
}

# remove_containers ID...: all of $root but those, as a failed test may leave them.
remove_containers() {
	local path

	for path in "$root"/*; do
		[[ -e $path || -L $path ]] || continue
		[[ " $* " == *" ${path##*/} "* ]] || runtime delete --force "${path##*/}" || return 1
	done
}

# file_end: nothing of a whole test file may be left; its reapers have nothing to wait for then.
file_end() {
	local file

	remove_containers ''
	for file in "$work"/*/reaper; do
		[[ ! -r $file ]] || eventually 5 not kill -0 "$(<"$file")" || kill "$(<"$file")"
	done
}
