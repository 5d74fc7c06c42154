# Standard streams and terminals of every kind, by hand: nothing is lost, doubled, mixed up or held
# back, for a container's own process and for execs. The container "main" serves all execs.
# With runc too.

load lib.bash

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	head -c 67108864 /dev/urandom >"$work/bytes"
	sha256sum <"$work/bytes" >"$work/bytes.sum"
	bundle main sleep 1000
	bundle cat cat
	start main
	leaks_begin
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
}

setup() {
	use_directory "$BATS_FILE_TMPDIR"
	runtime_command
}

teardown() {
	remove_containers main
	leaks_end
}

# inside COMMAND: in the main container, with the caller's streams.
inside() {
	timeout -k 5 120 "${command[@]}" exec main sh -c "$1" 3>&-
}

# --- pipes, files, /dev/null ----------------------------------------------------------------

@test "64 MiB go through stdin of run and come back through stdout unchanged" {
	cat "$work/bytes" | timeout -k 5 200 "${command[@]}" run --bundle "$work/cat" cat 3>&- |
		sha256sum >"$work/sum"
	same "${PIPESTATUS[*]}" '0 0 0'
	same "$(<"$work/sum")" "$(<"$work/bytes.sum")"
}

@test "64 MiB go through stdin of exec and come back through stdout unchanged" {
	cat "$work/bytes" | inside cat | sha256sum >"$work/sum"
	same "${PIPESTATUS[*]}" '0 0 0'
	same "$(<"$work/sum")" "$(<"$work/bytes.sum")"
}

@test "stdin can be a file and stdout a file" {
	inside cat <"$work/bytes" >"$work/copy"
	same "$(sha256sum <"$work/copy")" "$(<"$work/bytes.sum")"
	rm "$work/copy"
}

@test "output is appended to a file as its flags say, by both streams" {
	echo before >"$work/appended"
	inside 'echo one; sleep 0.5; echo two >&2; sleep 0.5; echo three' </dev/null \
		>>"$work/appended" 2>&1
	same "$(<"$work/appended")" $'before\none\ntwo\nthree'
}

@test "stdin from /dev/null is at its end" {
	same "$(inside 'cat; echo end' </dev/null)" end
}

@test "stdout to /dev/null holds nothing up" {
	inside 'head -c 3000000 /dev/zero; exit 5' </dev/null >/dev/null && status=0 || status=$?
	same "$status" 5
}

@test "closed standard streams do no harm" {
	inside 'echo nobody reads this; exit 4' <&- >&- 2>&- && status=0 || status=$?
	same "$status" 4
}

@test "stdout and stderr stay apart, each in its order" {
	inside 'for i in $(seq 3000); do echo out $i; echo err $i >&2; done' </dev/null \
		>"$work/out" 2>"$work/err"
	cmp "$work/out" <(seq -f 'out %g' 3000)
	cmp "$work/err" <(seq -f 'err %g' 3000)
}

@test "a reader that stops for 10 s loses nothing" {
	inside 'seq 400000' </dev/null | {
		head -c 1000
		sleep 10
		cat
	} >"$work/slow"
	cmp "$work/slow" <(seq 400000)
}

@test "a stream that nobody reads does not stop the other one" {
	mkfifo "$work/unread"
	exec 9<>"$work/unread"
	inside 'seq 100000 & seq 20 >&2; wait' </dev/null >"$work/unread" 2>"$work/err" 9>&- &
	eventually 20 grep -qx 20 "$work/err"
	cat <&9 >"$work/all" 9>&- &
	reader=$!
	wait %1
	eventually 10 grep -qx 100000 "$work/all"
	kill "$reader"
	exec 9>&-
	cmp "$work/all" <(seq 100000)
}

@test "a reader that goes away does not end the process" {
	vm_only # kata-shim(8): further output is dropped
	inside '(seq 100000); touch /tmp/went-on; exit 0' </dev/null | head -n 1 >"$work/first"
	same "$(<"$work/first")" 1
	eventually 20 inside '[ -e /tmp/went-on ]' </dev/null
	inside 'rm /tmp/went-on' </dev/null
}

@test "all output is there when the process ends at once after it" {
	for size in 1 65536 65537 1000000; do
		same "$(inside "head -c $size /dev/zero" </dev/null | wc -c)" "$size"
	done
}

@test "a background process that keeps stdout open does not hold the exit code back" {
	vm_only # runc waits for the end of the stream
	SECONDS=0
	inside 'sleep 60 & echo $!; exit 3' </dev/null >"$work/out" && status=0 || status=$?
	same "$status" 3
	((SECONDS < 30))
	inside "kill $(<"$work/out")" </dev/null
}

@test "input is passed on while it comes, not only at its end" {
	mkfifo "$work/slow-in"
	inside 'read line; echo got $line; cat' <"$work/slow-in" >"$work/out" &
	exec 9>"$work/slow-in"
	echo first >&9
	eventually 20 grep -qx 'got first' "$work/out"
	echo second >&9
	exec 9>&-
	wait %1
	same "$(<"$work/out")" $'got first\nsecond'
}

@test "input that the process never reads holds nothing up" {
	cat "$work/bytes" 2>/dev/null | inside 'exit 6' && status=0 || status=${PIPESTATUS[1]}
	same "$status" 6
}

# --- terminals ------------------------------------------------------------------------------

terminal() {
	timeout -k 5 200 "$here/terminal" "$@" 3>&-
}

@test "a container's terminal goes to the console socket, follows resize, has Ctrl-C and an end" {
	bundle tty sh
	edit tty '.process.terminal = true'
	expect 0 terminal "$work/console" 'end 0' 'size 33x77' \
		'send tty; stty size\n' 'expect /dev/pts/' 'expect 33 77' \
		"send sh -c 'trap \"echo re\"\"sized; stty size\" WINCH; echo wait\"\"ing
			while :; do sleep 0.2; done'\\n" \
		'expect waiting\n' 'size 40x100' 'expect resized\n40 100' \
		'send \x03' 'send echo al""ive\n' 'expect alive' 'send exit 5\n' 'eof' -- \
		"${command[@]}" run --detach --bundle "$work/tty" --console-socket "$work/console" tty
	eventually 10 has_status tty stopped
	expect 0 runtime delete tty
}

@test "exec has a terminal on the console socket" {
	jq '.process | .terminal = true | .args = ["sh"]' "$work/main/config.json" \
		>"$work/process.json"
	expect 0 terminal "$work/console" 'end 0' 'size 24x81' 'send stty size\n' 'expect 24 81' \
		'send test -t 0 && test -t 1 && test -t 2 && echo on a ter""minal\n' \
		'expect on a terminal' 'size 25x82' 'send stty size\n' 'expect 25 82' \
		'send exit\n' 'eof' -- "${command[@]}" exec --detach --process "$work/process.json" \
		--console-socket "$work/console" main
}

@test "exec --tty in the foreground is on the user's terminal and passes on the exit code" {
	expect 0 terminal - 'size 20x60' 'send stty size\n' 'expect 20 60' 'size 21x61' \
		'send sleep 1; stty size\n' 'expect 21 61' 'send exit 9\n' 'end 9' -- \
		"${command[@]}" exec --tty main sh
}

@test "a terminal that hangs up sends SIGHUP to the process" {
	jq '.process | .terminal = true
		| .args = ["sh", "-c", "trap \"touch /tmp/hung-up; exit\" HUP; echo ready; while :; do sleep 0.2; done"]' \
		"$work/main/config.json" >"$work/process.json"
	expect 0 terminal "$work/console" 'end 0' 'expect ready' 'hangup' -- "${command[@]}" exec \
		--detach --process "$work/process.json" --console-socket "$work/console" main
	eventually 20 inside '[ -e /tmp/hung-up ]' </dev/null
	inside 'rm /tmp/hung-up' </dev/null
}

@test "a terminal without a console socket and the other way round are refused" {
	bundle none true
	edit none '.process.terminal = true'
	expect 1 runtime create --bundle "$work/none" none </dev/null
	has "$stderr" console
	edit none '.process.terminal = false'
	expect 1 runtime create --bundle "$work/none" --console-socket "$work/nowhere" none </dev/null
	has "$stderr" console
}
