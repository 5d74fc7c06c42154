#!/usr/bin/env bats
# bench.bats: the benchmark measures every row of its table, and tells what it cannot measure.

load lib

setup_file() {
	mkdir -p "$BATS_FILE_TMPDIR/bench"
}

setup() {
	work=$BATS_FILE_TMPDIR/bench
	bench=$top/tests/bench/bench
	export KATA_CONFINE=$KATA_BUILD/tests/bench/confine
}

@test "one short round has a value for each row" {
	vm_only
	expect 0 "$bench" --runtime "$RUNTIME" --rounds 1 --bytes 1048576 --json "$work/values"
	has "$output" 'run /bin/true' 'exec /bin/true' 'stdout of an exec' 'size of kata-agent'
	same "$(jq -r '.values | to_entries[] | select(.value.kata == null) | .key' "$work/values")" ''
	# What other runtimes do as well is beside it, and no number is without sense.
	same "$(jq -c '.values | [.run, .exec, .stdout, .stdin, .state, .["net.in"], .["net.out"]]
		| map(has("runc"))' "$work/values")" '[true,true,true,true,true,true,true]'
	same "$(jq -c '.values | [.["net.in"], .["net.out"], .["net.in.qemu"]]
		| map(has("qemu-user"))' "$work/values")" '[true,true,true]'
	# Of those that have nothing to do with a packet, none is right.
	same "$(jq '[.values | to_entries[]
		| select(.key | test("^net\\.(in|out)\\.(virtiofsd|worker|shim|netmon)$") | not)
		| .value[][] | select(. <= 0)] | length' "$work/values")" 0
	same "$(jq '.values | .run.kata[0] >= .["run.machine"].kata[0] + .["run.guest"].kata[0]' \
		"$work/values")" true
}

@test "what cannot be measured is named" {
	expect 1 "$bench" --runtime /bin/false --rounds 1 --bytes 1048576
	has "$stderr" 'could not be measured: kata whole_life: exit status 1: /bin/false'
	has "$output" 'run /bin/true'
	expect 2 "$bench" --runtime /none
	has "$stderr" '/none cannot be run'
	expect 2 "$bench" --rounds 0
}
