# Many containers, one after the other and at once; nothing of them is left. With runc too.

load lib.bash
load docker.bash

setup_file() {
	docker_file_begin
}

teardown_file() {
	docker_file_end
}

setup() {
	docker_file_use
	leaks_begin
}

teardown() {
	leaks_end
}

@test "20 starts in a row" {
	local number

	for number in {1..20}; do
		expect "$number" in_vm --rm img sh -c "echo start $number; exit $number"
		same "$output" "start $number"
	done
	same "$(docker ps -aq)" ''
}

@test "5 starts at once" {
	local number

	for number in 1 2 3 4 5; do
		in_vm --rm img sh -c "echo parallel $number; exit $number" >"$work/p$number" 2>&1 &
		pids[number]=$!
	done
	for number in 1 2 3 4 5; do
		wait "${pids[number]}" && status=0 || status=$?
		same "$status $(<"$work/p$number")" "$number parallel $number"
	done
	same "$(docker ps -aq)" ''
}
