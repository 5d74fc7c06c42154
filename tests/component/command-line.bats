#!/usr/bin/env bats
# kata-runtime's command line beside runc's own help: each verb and each option that runc prints is
# taken, or refused by its name with the reason; never as an unknown one. No VM is started: the
# containers that are spoken of do not exist.

bats_require_minimum_version 1.5.0

setup() {
	[[ $(id -u) == 0 ]] || skip 'needs root: each verb sets its rights'
	tmp=$BATS_TEST_TMPDIR
}

# ours WORD...: calls the runtime; leaves $status and $output with standard error in it.
ours() {
	run timeout 20 "$KATA_BUILD/kata-runtime/kata-runtime" --root "$tmp/root" "$@" </dev/null
}

fails() {
	printf '%s: %s\n' "$1" "$output"
	false
}

# options_of WORD...: a line for each option in runc's help: its forms, a bar, "value" or nothing.
options_of() {
	runc "$@" --help | sed -nE '/^(GLOBAL )?OPTIONS:/,$ s/^ +(-[^ ,]+( value)?(, -[^ ,]+( value)?)*)( .*|$)/\1/p' |
		sed -E '/ value/ { s/ value//g; s/$/|value/ }; /\|/! s/$/|/'
}

# sample OPTION: a value that it may have.
sample() {
	case $1 in
	--format | -f) echo json ;;
	--interval) echo 2s ;;
	--log-format) echo json ;;
	--rootless) echo true ;;
	--user | -u) echo 1:2 ;;
	--env | -e) echo A=1 ;;
	--cap | -c) echo CAP_KILL ;;
	--cwd) echo /tmp ;;
	--cgroup) echo / ;;
	--resources | -r) echo "$tmp/resources" ;;
	--process | -p) echo "$tmp/process" ;;
	--bundle | -b) echo "$tmp" ;;
	--root | --log | --*-path | --*-file | --*-socket) echo "$tmp/file" ;;
	--cpuset-* | --preserve-fds | --status-fd) echo 0 ;;
	*) echo 100 ;;
	esac
}

# answered WHAT OPTION: the last call took the option, or said of it why not.
answered() {
	[[ $output != *'there is no option'* && $output != *'no verb'* ]] || fails "$1"
	[[ $status == [01] || $status == 255 ]] || fails "$1: status $status"
	# It went on to what is not there, or did what needs nothing, or is about this option or the verb.
	[[ $status == 0 || $output == *'does not exist'* || $output == *"config.json"* ||
		$output == *"$2: "?????* || $output == *' is not supported: '?????* ||
		$output == *"--rootless"*?????* ]] || fails "$1"
}

@test "each verb and each option of runc's help is known, before the id and behind it" {
	local verb forms form value id words count=0

	command -v runc >/dev/null || skip 'runc is not installed'
	echo '{}' >"$tmp/resources"
	echo '{ "args": [ "true" ], "cwd": "/" }' >"$tmp/process"
	while read -r verb; do
		ours "$verb" --help
		[[ $status == 0 && $output == usage:* ]] || fails "$verb --help"
		while IFS='|' read -r forms value; do
			for form in ${forms//,/}; do
				[[ $form != --help && $form != -h ]] || continue
				count=$((count + 1)) id=(no-such-id) words=()
				[[ $verb != @(list|spec|features) ]] || id=()
				[[ $verb != exec || $form == --process || $form == -p ]] || words=(true)
				[[ -z $value ]] || value=$(sample "$form")
				ours "$verb" "$form" ${value:+"$value"} "${id[@]}" "${words[@]}"
				answered "$verb $form $value ID" "$form"
				ours "$verb" "${id[@]}" "$form" ${value:+"$value"} "${words[@]}"
				answered "$verb ID $form $value" "$form"
			done
		done < <(options_of "$verb")
	done < <(runc --help | sed -nE '/^COMMANDS:/,/^$/ s/^   ([a-z]+)  .*/\1/p')
	((count > 80)) || fails "only $count options were found"
}

@test "each global option of runc's help is known" {
	local forms form value count=0

	command -v runc >/dev/null || skip 'runc is not installed'
	while IFS='|' read -r forms value; do
		for form in ${forms//,/}; do
			count=$((count + 1))
			[[ -z $value ]] || value=$(sample "$form")
			ours "$form" ${value:+"$value"} state no-such-id
			case $form in
			--help | -h | --version | -v) [[ $status == 0 ]] || fails "$form" ;;
			*) [[ $status == 1 && $output == *'does not exist'* ]] || fails "$form" ;;
			esac
		done
	done < <(options_of)
	((count >= 10)) || fails "only $count options were found"
}

@test "what is no option, and what is no verb, is named" {
	ours state no-such-id --no-such-option
	[[ $status == 1 && $output == *'state: there is no option --no-such-option'* ]]
	ours no-such-verb
	[[ $status == 1 && $output == *'there is no verb \"no-such-verb\"'* ]]
}

@test "the commit in --version is that of the checkout, also after a new one" {
	local script=${BATS_TEST_FILENAME%/*}/../../kata-runtime/write-commit before
	local git=(git -C "$tmp/tree" -c user.name=a -c user.email=a@b -c commit.gpgsign=false)

	command -v git >/dev/null || skip 'git is not installed'
	mkdir "$tmp/tree"
	"$script" "$tmp/tree" "$tmp/h"
	[[ $(<"$tmp/h") == '#define KATA_COMMIT ""' ]]

	git init -q "$tmp/tree"
	echo 1 >"$tmp/tree/file"
	"${git[@]}" add file
	"${git[@]}" commit -qm one
	"$script" "$tmp/tree" "$tmp/h"
	[[ $(<"$tmp/h") == "#define KATA_COMMIT \"$("${git[@]}" rev-parse --short=12 HEAD)\"" ]]

	before=$(stat -c %i,%y "$tmp/h")
	"$script" "$tmp/tree" "$tmp/h"
	[[ $(stat -c %i,%y "$tmp/h") == "$before" ]]

	echo 2 >"$tmp/tree/file"
	"$script" "$tmp/tree" "$tmp/h"
	[[ $(<"$tmp/h") == *'-dirty"' ]]
	"${git[@]}" commit -qam two
	"$script" "$tmp/tree" "$tmp/h"
	[[ $(<"$tmp/h") == "#define KATA_COMMIT \"$("${git[@]}" rev-parse --short=12 HEAD)\"" ]]

	# What `make dist` leaves has a file instead.
	rm -rf "$tmp/tree/.git"
	echo 'v1-2-g"abc' >"$tmp/tree/COMMIT"
	"$script" "$tmp/tree" "$tmp/h"
	[[ $(<"$tmp/h") == '#define KATA_COMMIT "v1-2-gabc"' ]]
}

@test "--version tells the commit that was built" {
	local commit

	commit=$(sed -n 's/.*"\(.*\)"/\1/p' "$KATA_BUILD/kata-runtime/commit.h")
	ours --version
	[[ $status == 0 && ${lines[0]} == 'kata-runtime version '* && ${lines[-1]} == 'spec: 1.1.0' ]]
	[[ -z $commit || ${lines[1]} == "commit: $commit" ]]
}
