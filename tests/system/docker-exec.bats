# docker exec in all its forms, in one container. With runc too.

load lib.bash
load docker.bash

setup_file() {
	docker_file_begin
	in_vm -d --name main -e FROM_RUN=run -w /tmp --user 0:0 --group-add 77 img sleep 1000 \
		>"$work/id"
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

inside() {
	timeout -k 5 60 docker exec "$@" 3>&-
}

@test "exit codes come through, and 128 and the signal that ended it" {
	local code

	for code in 0 1 2 64 125 126 128 137 255; do
		expect "$code" inside main sh -c "exit $code"
	done
	run -127 inside main sh -c 'exit 127'
	expect 143 inside main sh -c 'kill -TERM $$'
	expect 137 inside main sh -c 'kill -KILL $$'
	expect 162 inside main sh -c 'kill -34 $$'
}

@test "arguments keep their spaces, quotes and emptiness" {
	expect 0 inside main sh -c 'for i; do echo "<$i>"; done' sh 'a  b' '' '"c"' $'d\ne' '$(f)' '*'
	same "$output" $'<a  b>\n<>\n<"c">\n<d\ne>\n<$(f)>\n<*>'
}

@test "-i has standard input and its end, without it there is none" {
	run bash -c 'printf "one\ntwo" | timeout -k 5 60 docker exec -i main sh -c "cat; echo .end"'
	same "$status $output" $'0 one\ntwo.end'
	run bash -c 'echo lost | timeout -k 5 60 docker exec main sh -c "cat; echo end"'
	same "$status $output" '0 end'
}

@test "standard output and standard error stay apart" {
	inside main sh -c 'echo out; echo err >&2' >"$work/out" 2>"$work/err"
	same "$(<"$work/out") $(<"$work/err")" 'out err'
}

@test "-t and -it have a terminal, which follows the user's size" {
	expect 0 inside -t main sh -c 'tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all three'
	has "$output" /dev/pts/ 'all three'
	expect 0 timeout -k 5 90 "$here/terminal" - 'size 41x91' 'expect # ' 'send sleep 1; stty size\n' \
		'expect 41 91' 'size 43x93' 'send sleep 1; stty size\n' 'expect 43 93' \
		'send sh -c "echo st""art; exec cat"\n' 'expect start\n' 'send \x03' 'expect # ' \
		'send exit 6\n' 'end 6' \
		-- docker exec -it main sh 3>&-
}

@test "-d does not wait" {
	local began=$SECONDS

	expect 0 inside -d main sh -c 'sleep 3; echo done >/tmp/detached'
	((SECONDS - began < 3)) || [[ ! -e /tmp/detached ]]
	eventually 20 docker exec main test -s /tmp/detached
}

@test "-u takes names and numbers, and the image's groups" {
	expect 0 inside main sh -c 'id -u; id -g; id -G'
	same "$output" $'0\n0\n0 77'
	expect 0 inside -u 1234 main sh -c 'id -u; id -g'
	same "$output" $'1234\n0'
	expect 0 inside -u 1234:567 main sh -c 'id -u; id -g; id -G'
	same "$output" $'1234\n567\n567 77'
	expect 0 inside -u root main id -u
	same "$output" 0
	run inside -u nosuch main true
	same "$status" 126
	has "$output" 'unable to find user nosuch'
}

@test "-w is the directory, and without it the container's" {
	expect 0 inside main pwd
	same "$output" /tmp
	expect 0 inside -w /bin main pwd
	same "$output" /bin
	expect 126 inside -w /no/such/directory main true
	has "$output$stderr" /no/such/directory
}

@test "-e and --env-file add to the container's environment" {
	printf 'FROM_FILE=file\n# comment\nFROM_RUN=changed\n' >"$work/env"
	expect 0 inside -e 'WITH_SPACES= a b ' -e EMPTY= --env-file "$work/env" main sh -c \
		'echo "$FROM_RUN|$FROM_FILE|$WITH_SPACES|${EMPTY-unset}|$HOME"'
	same "$output" 'changed|file| a b ||/root'
	expect 0 inside main sh -c 'echo "$FROM_RUN $HOSTNAME"'
	same "$output" "run $(of main .Config.Hostname)"
}

@test "--privileged has all capabilities, others have the container's" {
	# runc can give away what the host's root has, which is not all in a container
	if has_vm; then
		expect 0 inside --privileged main grep ^CapEff: /proc/self/status
		((16#${output#CapEff:?} >= 16#3fffffff))
	fi
	expect 0 inside main sh -c 'grep ^Cap /proc/self/status; grep ^Seccomp: /proc/self/status'
	same "$output" "$(inside main sh -c 'grep ^Cap /proc/1/status; grep ^Seccomp: /proc/1/status')"
}

@test "a program that is missing or not executable is 126 and is named" {
	expect 126 inside main no-such-program
	has "$output$stderr" 'exec: "no-such-program": executable file not found in $PATH'
	expect 126 inside main /bin/not-executable
	has "$output$stderr" 'exec: "/bin/not-executable": permission denied'
	expect 126 inside main /no/such/program
	has "$output$stderr" '/no/such/program: no such file or directory'
}

@test "30 execs in a row" {
	local number

	for number in {1..30}; do
		expect "$number" inside main sh -c "echo exec $number; exit $number"
		same "$output" "exec $number"
	done
}

@test "8 execs at once" {
	local number

	for number in 1 2 3 4 5 6 7 8; do
		inside main sh -c "sleep 1; echo exec $number; exit $number" >"$work/e$number" 2>&1 &
		pids[number]=$!
	done
	for number in 1 2 3 4 5 6 7 8; do
		wait "${pids[number]}" && status=0 || status=$?
		same "$status $(<"$work/e$number")" "$number exec $number"
	done
	expect 0 docker top main
	same "$(wc -l <<<"$output")" 2
}

# Whatever comes first: docker exec must not wait for ever.
@test "a container that ends while an exec begins takes it along" {
	local delay

	in_vm -d --name short img sleep 1000
	for delay in 0 0.05 0.1 0.15 0.2 0.3; do
		timeout -k 5 60 docker exec short sleep 1000 3>&- &
		sleep "$delay"
		expect 0 docker kill short
		wait $! && status=0 || status=$?
		[[ $status =~ ^(1|126|137)$ ]]
		eventually 10 container_exited short 137
		expect 0 docker start short
	done
	docker rm -f short
}

# It leaves nothing of the execs either.
@test "the end of the container ends its execs with 137" {
	timeout -k 5 60 docker exec main sleep 1000 3>&- &
	eventually 20 eval '(($(docker top main | grep -c "sleep 1000") == 2))'
	expect 0 docker kill main
	wait $! && status=0 || status=$?
	same "$status" 137
	expect 1 docker exec main true
	has "$stderr" 'is not running'
	expect 0 docker rm main
}
