#!/usr/bin/env bats
# kata-shim between a fake runtime, a fake agent and every kind of stdio. The cases are in
# test-shim.c; each is one call of that program.

setup() {
	[[ $(id -u) == 0 ]] || skip 'needs root: the shim makes namespaces and gives up rights'
}

shim() {
	run timeout 110 "$KATA_BUILD/tests/component/test-shim" "$1"
	printf '%s\n' "$output"
	[[ $status != 77 ]] || skip 'namespaces cannot be made here'
	[[ $status == 0 ]]
}

@test "the shim is told all cases of its test program" {
	local name

	for name in $("$KATA_BUILD/tests/component/test-shim"); do
		grep -q "shim $name\$" "$BATS_TEST_FILENAME" || { echo "$name is not called" && false; }
	done
}

@test "shim: 64 MiB through stdin and through stdout, shared flags untouched" {
	shim pipes
}

@test "shim: a reader that stops for 10 s loses nothing and stops nothing else" {
	shim slow_reader
}

@test "shim: stdin a file, stdout and stderr one file with one position" {
	shim files
}

@test "shim: /dev/null for all three" {
	shim null
}

@test "shim: no stdio at all" {
	shim closed
}

@test "shim: sockets, one of them for both directions" {
	shim sockets
}

@test "shim: output without a reader is dropped and the exit code kept" {
	shim reader_gone
}

@test "shim: a process that never reads stdin holds nothing up" {
	shim stdin_not_read
}

@test "shim: a background child does not hold the exit code back" {
	shim background_child
}

@test "shim: a closed stdout is closed for its reader too" {
	shim stdout_closed
}

@test "shim: a terminal: raw, sized before the start, resized" {
	shim terminal
}

@test "shim: a terminal that gets its size later" {
	shim terminal_without_size
}

@test "shim: a terminal hung up: SIGHUP, end of stdin, and life goes on" {
	shim hangup
}

@test "shim: a terminal of another session hung up" {
	shim foreign_terminal
}

@test "shim: every signal is forwarded once, also early ones" {
	shim signals
}

@test "shim: a request without an answer holds nothing up" {
	shim request_unanswered
}

@test "shim: SIGTERM limits the wait for a stopped reader" {
	shim term_while_draining
}

@test "shim: the VM ends: what is here is written, 137, and the reason logged" {
	shim vm_ended
}

@test "shim: the VM ends and nobody reads" {
	shim vm_ended_reader_stopped
}

@test "shim: the VM ends after the exit: its code counts" {
	shim vm_ended_after_exit
}

@test "shim: the VM ends before all output came: not the code 0" {
	shim vm_ended_output_missing
}

@test "shim: the proxy goes without a word: 255" {
	shim connection_lost
}

@test "shim: a connection that is lost under streams is made again, nothing lost or doubled" {
	shim connection_made_again
}

@test "shim: the same before it is attached and with a signal under way" {
	shim connection_made_again_early
}

@test "shim: a hostile agent never makes it a success" {
	shim hostile
}

@test "shim: the exit of another process is ignored, a ping answered" {
	shim not_ours
}

@test "shim: the agent refuses: the runtime is told why" {
	shim refused
}

@test "shim: it does not run with rights that it cannot give up" {
	shim rights_that_stay
}

@test "shim: no proxy: the runtime is told" {
	shim no_proxy
}

@test "shim: the VM ends before the agent speaks: the runtime is told why" {
	shim vm_ended_before_hello
}

@test "shim: the runtime takes its work back before ATTACH" {
	shim undone
}

@test "shim: the process ends before it was started" {
	shim exit_at_once
}

@test "shim: a killed shim says no goodbye" {
	shim killed
}

@test "shim: uid, capabilities, descriptors and root directory" {
	shim rights
}

@test "shim: at most 1.5 MiB with all buffers full" {
	shim memory
}
