# docker with our runtime, without a network: docker run, exec, stop, kill, rm, logs, streams and
# terminals. KATA_TEST_RUNTIME=runc runs the same with runc.

load lib.bash
load docker.bash

setup_file() {
	work=$(mktemp -d /var/tmp/kata-docker.XXXXXX)
	echo "$work" >"$BATS_FILE_TMPDIR/work"
	docker_begin "$work/d"
	in_vm -d --name main img sh -c 'trap "echo stopping; exit 3" TERM
		i=0; while :; do i=$((i + 1)); echo "line $i"; sleep 0.2; done' >"$work/id"
}

teardown_file() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	docker_use "$work/d"
	docker_end
	rm -rf "$work"
}

setup() {
	work=$(<"$BATS_FILE_TMPDIR/work")
	docker_use "$work/d"
	if has_vm; then docker_runtime=kata-runtime; else docker_runtime=runc; fi
	leaks_begin
}

teardown() {
	[[ -n ${ends_main:-} ]] || leaks_end
}

@test "docker run prints the guest's kernel, not the host's" {
	vm_only
	expect 0 in_vm --rm img uname -r
	[[ $output != "$(uname -r)" ]]
	[[ -e /boot/vmlinuz-$output ]]
}

@test "docker run passes on the exit code" {
	expect 7 in_vm --rm img sh -c 'exit 7'
}

@test "a missing program is 127 and is named" {
	expect 127 in_vm --rm img no-such-program
	has "$stderr" 'exec: "no-such-program": executable file not found in $PATH'
	expect 127 in_vm --rm img /no/such/program
	has "$stderr" '/no/such/program: no such file or directory'
}

@test "a program that is not executable is 126" {
	expect 126 in_vm --rm img /bin/not-executable
	has "$stderr" 'exec: "/bin/not-executable": permission denied'
}

@test "standard input comes back from docker run -i" {
	run bash -c 'echo hi | timeout 60 docker run --rm -i --runtime '"$docker_runtime"' \
		--network none img cat'
	same "$status $output" '0 hi'
}

@test "standard output and standard error stay apart" {
	in_vm --rm img sh -c 'echo to stdout; echo to stderr >&2' >"$work/out" 2>"$work/err"
	same "$(<"$work/out")" 'to stdout'
	same "$(<"$work/err")" 'to stderr'
}

@test "64 MiB go in and come back unchanged" {
	head -c 67108864 /dev/urandom >"$work/bytes"
	in_vm --rm -i img cat <"$work/bytes" | sha256sum >"$work/sum"
	same "$(<"$work/sum")" "$(sha256sum <"$work/bytes")"
	rm "$work/bytes"
}

@test "a reader that stops for 10 seconds loses nothing" {
	in_vm --rm img sh -c 'yes 0123456789abcdef | head -c 8388608' | {
		head -c 100000
		sleep 10
		cat
	} | sha256sum >"$work/sum"
	same "$(<"$work/sum")" "$(yes 0123456789abcdef | head -c 8388608 | sha256sum)"
}

@test "a terminal has the size of the user's, and follows it" {
	local words=(docker run --rm -it --runtime "$docker_runtime" --network none img)

	expect 0 timeout 90 "$here/terminal" - 'size 31x71' 'send stty size\n' 'expect 31 71' \
		'size 33x77' 'send sleep 1; stty size\n' 'expect 33 77' 'send exit 4\n' 'end 4' \
		-- "${words[@]}" sh 3>&-
}

@test "exec runs in the container, with its streams and exit code" {
	expect 0 docker exec main cat /proc/1/comm
	same "$output" sh
	expect 5 docker exec main sh -c 'exit 5'
	run bash -c 'echo through exec | docker exec -i main cat'
	same "$output" 'through exec'
	expect 126 docker exec main no-such-program
	has "$output$stderr" 'exec: "no-such-program": executable file not found in $PATH'
}

@test "exec -d starts a process and does not wait" {
	expect 0 docker exec -d main sh -c 'sleep 1; touch /tmp/done'
	expect 0 docker exec main sh -c 'for i in $(seq 50); do [ -e /tmp/done ] && exit 0
		sleep 0.2; done; exit 1'
}

@test "exec -it has a terminal" {
	expect 0 timeout 60 "$here/terminal" - 'size 40x90' 'send stty size; tty\n' \
		'expect 40 90' 'expect /dev/pts/' 'send exit 6\n' 'end 6' -- docker exec -it main sh 3>&-
}

@test "docker top lists the container's command" {
	expect 0 docker top main
	has "$output" 'trap "echo stopping'
}

@test "docker stats sees the virtual machine's memory" {
	vm_only
	expect 0 docker stats --no-stream --format '{{.MemUsage}}' main
	[[ $output =~ ^[1-9][0-9.]*MiB ]]
}

@test "logs -f follows the output" {
	run bash -c 'timeout 20 docker logs -f main | sed "/^line 20$/q" | tail -n 1'
	same "$output" 'line 20'
}

@test "docker stop sends SIGTERM, and restart begins again with the same id" {
	ends_main=yes
	expect 0 docker stop -t 20 main
	container_exited main 3
	run docker logs --tail 1 main
	same "$output" stopping
	expect 0 docker start main
	container_running main
	expect 0 docker restart -t 20 main
	container_running main
}

@test "docker kill ends it at once with 137" {
	ends_main=yes
	expect 0 docker kill main
	eventually 10 container_exited main 137
	leaks_end
}

@test "docker ps tells the exit code of what has ended" {
	expect 0 docker ps -a --filter name=main --format '{{.Status}}'
	has "$output" 'Exited (137)'
	expect 0 docker rm main
}

@test "docker rm -f removes a running container" {
	in_vm -d --name forced img sleep 1000
	expect 0 timeout 20 docker rm -f forced
	expect 0 docker ps -aq
	same "$output" ''
}

@test "a process that ignores SIGTERM is killed when the grace time is over" {
	local began=$SECONDS

	in_vm -d --name stubborn img sh -c 'trap "" TERM; while :; do sleep 1; done'
	expect 0 docker stop -t 2 stubborn
	((SECONDS - began < 30))
	container_exited stubborn 137
	docker rm stubborn
}

@test "the end of the virtual machine is seen, and the container can be removed" {
	vm_only
	local qemu

	in_vm -d --name orphan img sleep 1000
	# This one's, and nobody else's: docker keeps the runtime's state below its exec root.
	root=$docker_dir/exec/runtime-runc/moby
	qemu=$(process "$(docker inspect -f '{{.Id}}' orphan)" qemu)
	kill -KILL "$qemu"
	eventually 10 container_exited orphan 137
	expect 0 timeout 20 docker rm orphan
}

@test "10 starts in a row" {
	local number

	for number in {1..10}; do
		expect 0 in_vm --rm img echo "start $number"
		same "$output" "start $number"
	done
}

@test "4 containers in parallel" {
	for number in 1 2 3 4; do
		in_vm --rm img sh -c "echo parallel $number; exit $number" >"$work/p$number" 2>&1 &
		pids[number]=$!
	done
	for number in 1 2 3 4; do
		wait "${pids[number]}" && status=0 || status=$?
		same "$status $(<"$work/p$number")" "$number parallel $number"
	done
}
