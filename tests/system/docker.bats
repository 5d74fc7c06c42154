# docker run without a network: exit codes, streams, terminals, and one container from its start to
# its removal. With runc too.

load lib.bash
load docker.bash

setup_file() {
	docker_file_begin
	in_vm -d --name main img sh -c 'trap "echo stopping; exit 3" TERM
		i=0; while :; do i=$((i + 1)); echo "line $i"; sleep 0.2; done' >"$work/id"
}

teardown_file() {
	docker_file_end
}

setup() {
	docker_file_use
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
	run in_vm --rm -i img cat <<<hi
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
	# A second before each, as the client follows the size only once it has told the first.
	expect 0 timeout 90 "$here/terminal" - 'size 31x71' 'expect # ' 'send sleep 1; stty size\n' \
		'expect 31 71' 'size 33x77' 'send sleep 1; stty size\n' 'expect 33 77' \
		'send exit 4\n' 'end 4' \
		-- docker run --rm -it "${with_runtime[@]}" img sh 3>&-
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
