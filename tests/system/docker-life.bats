# The life of a container through docker: its end, signals, restarts, who attaches to it, its health
# and its processes. With runc too.

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

# Every container goes with its test, so that only its own is to be seen.
teardown() {
	docker ps -aq | xargs -r docker rm -f >/dev/null
	leaks_end
}

# --- the end --------------------------------------------------------------------------------

# Longer than the 10 s of docker's own default: nobody else may have a timer of his own.
@test "docker stop sends --stop-signal and waits as long as -t says; wait and logs -f end with it" {
	local began

	in_vm -d --name slow --stop-signal USR1 img sh -c 'trap "echo wrong; exit 9" TERM
		trap "echo stopping; sleep 12; echo stopped; exit 3" USR1
		echo ready; while :; do sleep 0.1; done'
	eventually 10 logs_have slow ready
	timeout -k 5 60 docker logs -f slow >"$work/followed" 3>&- &
	followed=$!
	timeout -k 5 60 docker wait slow >"$work/waited" 3>&- &
	waited=$!
	began=$SECONDS
	expect 0 timeout -k 5 60 docker stop -t 40 slow
	((SECONDS - began >= 11))
	container_exited slow 3
	wait "$followed" "$waited"
	same "$(<"$work/followed")" $'ready\nstopping\nstopped'
	same "$(<"$work/waited")" 3
}

@test "docker stop kills what is still there when its time is over" {
	local began

	in_vm -d --name stubborn --stop-timeout 3 img sh -c 'trap "echo told" TERM; echo ready
		while :; do sleep 0.1; done'
	eventually 10 logs_have stubborn ready
	began=$SECONDS
	expect 0 timeout -k 5 60 docker stop stubborn
	((SECONDS - began >= 2 && SECONDS - began < 10))
	container_exited stubborn 137
	logs_have stubborn told
}

# --- signals --------------------------------------------------------------------------------

# Waits in read, which a signal interrupts and which makes no children that end.
catcher='for n in $(seq 64); do case $n in 9 | 19 | 32 | 33) ;; *) trap "echo got-$n-" $n ;; esac; done
	echo ready; while :; do read -r line; done'
# What docker does not refuse by itself and a program can catch.
catchable=$(seq 64 | grep -vxE '9|19|32|33')

# has_caught NAME [BUT]: all of them, or all but that one.
has_caught() {
	[[ $(docker logs "$1" | grep -o '[0-9]*' | sort -n | uniq) == "$(grep -vx "${2:-0}" <<<"$catchable")" ]]
}

@test "docker kill sends every signal, also real-time ones" {
	local number

	in_vm -di --name catcher img sh -c "$catcher"
	eventually 10 logs_have catcher ready
	for number in $catchable; do
		docker kill -s "$number" catcher >/dev/null
	done
	eventually 20 has_caught catcher
	expect 0 docker kill -s RTMIN+3 catcher
	expect 0 docker exec catcher kill -37 1
	eventually 10 eval '(($(docker logs catcher | grep -c "got-37-") == 3))'
}

@test "a signal to the pid that docker inspect tells reaches the container's process" {
	local number pid

	not_valgrind 'it ends by the signal that Valgrind keeps for itself'
	in_vm -di --name catcher img sh -c "$catcher"
	eventually 10 logs_have catcher ready
	pid=$(of catcher .State.Pid)
	# Of SIGCONT and the stop signals, one that comes ends another that waits (POSIX, 2.4.1).
	for number in $catchable; do
		((number == 18)) || /bin/kill "-$number" "$pid"
	done
	eventually 20 has_caught catcher 18
	/bin/kill -18 "$pid"
	eventually 20 has_caught catcher
}

@test "SIGSTOP and SIGCONT stop the process and let it go on" {
	in_vm -d --name halts img sh -c 'while :; do echo on; sleep 0.1; done'
	expect 0 docker kill -s STOP halts
	eventually 10 eval '[[ $(docker exec halts cut -d " " -f 3 /proc/1/stat) == T ]]'
	expect 0 docker kill -s CONT halts
	eventually 10 eval '[[ $(docker exec halts cut -d " " -f 3 /proc/1/stat) == S ]]'
	expect 0 timeout -k 5 20 docker rm -f halts
}

@test "docker run passes on the signals that it gets" {
	timeout -s INT -k 5 60 docker run --name proxied "${with_runtime[@]}" img sh -c \
		'trap "echo interrupted; exit 44" INT; echo ready; while :; do sleep 0.1; done' \
		>"$work/out" 3>&- &
	eventually 60 logs_have proxied ready
	kill -INT $!
	wait $! && status=0 || status=$?
	same "$status $(tr '\n' ' ' <"$work/out")" '44 ready interrupted '
}

@test "--init: docker-init is process 1, reaps, and passes signals and codes on" {
	in_vm -d --name inits --init img sh -c '(sleep 0.1 & exec sleep 0) & trap "exit 7" USR2
		while :; do sleep 0.1; done'
	expect 0 docker exec inits cat /proc/1/comm
	same "$output" docker-init
	expect 0 docker exec inits sh -c 'sleep 1; cat /proc/[0-9]*/stat | cut -d " " -f 3,4 | grep -c "Z 1$" || :'
	same "$output" 0
	expect 0 docker kill -s USR2 inits
	eventually 10 container_exited inits 7
	expect 0 in_vm -d --name realtime --init img sleep 1000
	# Until it has blocked them, which it does before it starts its child, signals are dropped.
	eventually 10 docker exec realtime sh -c 'grep -qx sleep /proc/[0-9]*/comm'
	expect 0 docker kill -s 40 realtime
	eventually 10 container_exited realtime 168
}

# --- again ----------------------------------------------------------------------------------

@test "--restart on-failure starts the same id again at once, until it succeeds" {
	in_vm -d --name again --restart on-failure:5 img sh -c \
		'echo x >>/n; echo "start $(wc -l </n)"; [ "$(wc -l </n)" = 3 ]'
	eventually 60 container_exited again 0
	is again .RestartCount 2
	same "$(docker logs again)" $'start 1\nstart 2\nstart 3'
}

@test "--restart always: a killed stand-in or machine is seen, and the container comes back" {
	local pid

	in_vm -d --name always --restart always img sleep 1000
	pid=$(of always .State.Pid)
	kill -KILL "$pid"
	eventually 60 is always .RestartCount 1
	eventually 60 docker exec always true
	[[ $(of always .State.Pid) != "$pid" ]]
	if has_vm; then
		kill -KILL "$(process_of always qemu)"
		eventually 60 is always .RestartCount 2
		eventually 60 docker exec always true
	fi
	expect 0 docker stop -t 0 always
	container_exited always 137
	expect 0 docker restart -t 0 always
	container_running always
}

@test "whichever of the container's processes on the host is killed, docker sees it and rm works" {
	vm_only
	local what

	# manager: containerd's own shim, which only delete --force follows.
	for what in shim manager qemu virtiofsd monitor; do
		in_vm -d --name victim img sleep 1000
		case $what in
		shim) of victim .State.Pid ;;
		manager) ps -o ppid= -p "$(of victim .State.Pid)" ;;
		*) process_of victim "$what" ;;
		esac | head -n 1 >"$work/pid"
		[[ $what != manager ]] || grep -q containerd-shim "/proc/$(xargs <"$work/pid")/cmdline"
		kill -KILL "$(xargs <"$work/pid")"
		eventually 15 is victim .State.Status exited
		[[ $(of victim .State.ExitCode) =~ ^(137|255)$ ]]
		expect 0 timeout -k 5 20 docker rm victim
		leaks_end
	done
}

# --- attach ---------------------------------------------------------------------------------

@test "attach and detach keys leave the container running; its end is attach's" {
	local type=(timeout -k 5 90 "$here/terminal" - 'size 40x132')

	# the user's terminal shows what is typed before docker takes it over
	expect 0 "${type[@]}" 'expect # ' 'send echo $((40 + 2))\n' 'expect 42' 'send \x10\x11' \
		'end 0' -- docker run -it --name shell "${with_runtime[@]}" img sh 3>&-
	container_running shell
	expect 0 docker exec shell true
	expect 0 "${type[@]}" 'send \n' 'expect # ' 'send echo $((50 + 1))\n' 'expect 51' \
		'send \x01x' "end $(detached)" -- docker attach --detach-keys ctrl-a,x shell 3>&-
	container_running shell
	expect 0 "${type[@]}" 'send \n' 'expect # ' 'send exit 5\n' 'end 5' -- docker attach shell 3>&-
	container_exited shell 5
	expect 0 "${type[@]}" 'send \n' 'expect # ' 'send exit 6\n' 'end 6' -- \
		docker start -ai shell 3>&-
}

# What the client of this version ends with: "read escape sequence".
detached() {
	echo 1
}

@test "attach without a terminal: output, input and its end" {
	in_vm -di --name reads img sh -c 'read -r a; read -r b; echo "$b, $a" >&2; exit 8'
	# docker attach may leave out what comes after the end of its own input
	mkfifo "$work/input"
	exec 7<>"$work/input"
	printf 'one\ntwo\n' >&7
	expect 8 timeout -k 5 60 docker attach reads <&7
	exec 7>&-
	same "$output|$stderr" '|two, one'
	container_exited reads 8
}

# --- health ---------------------------------------------------------------------------------

@test "healthchecks tell unhealthy and healthy" {
	in_vm -d --name patient --health-cmd 'echo "is there: $(ls /ok)"; test -e /ok' \
		--health-interval 1s --health-retries 1 --health-timeout 30s img sleep 1000
	eventually 60 is patient .State.Health.Status unhealthy
	expect 0 docker exec patient touch /ok
	eventually 60 is patient .State.Health.Status healthy
	has "$(of patient 'json .State.Health.Log')" 'is there: /ok'
}

# --- processes ------------------------------------------------------------------------------

@test "docker top has host pids that look like the container's commands" {
	not_valgrind 'they look like Valgrind then'
	in_vm -d --name tops img sleep 1234
	expect 0 docker exec -d tops sleep 5678
	expect 0 docker top tops -o pid,args
	grep -qE "^$(of tops .State.Pid) +sleep 1234\$" <<<"$output"
	pid=$(grep -E '^[0-9]+ +sleep 5678$' <<<"$output")
	tr '\0' ' ' <"/proc/${pid%% *}/cmdline" | grep -q '^sleep 5678'
	same "$(wc -l <<<"$output")" 3
}

@test "the machine's processes are in the container's cgroup of every controller; stats counts them" {
	local id pids what

	in_vm -d --name counted img sleep 1000
	id=$(of counted .Id)
	pids=$(of counted .State.Pid)
	if has_vm; then
		for what in qemu virtiofsd worker; do
			pids+=" $(process_of counted "$what")"
		done
	fi
	for what in $pids; do
		expect 0 grep "/docker/$id\$" "/proc/$what/cgroup"
		expect 1 grep -vE ":/docker/$id\$|^0::|:name=" "/proc/$what/cgroup"
	done
	expect 0 docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' counted
	if has_vm; then
		[[ $output =~ ^[1-9][0-9.]*(MiB|GiB)\ /.*\ ([0-9]+)$ ]]
		((BASH_REMATCH[2] >= 5))
	fi
}

@test "containers share a machine by --network, --pid and --ipc container:X" {
	docker run -d --name first --runtime kata-runtime --network none --ipc shareable img \
		sh -c 'echo shared >/dev/shm/x; exec sleep 1000' >/dev/null
	expect 0 docker run --rm --runtime kata-runtime --network container:first \
		--pid container:first --ipc container:first img \
		sh -c 'cat /dev/shm/x; ps | grep -c "[s]leep 1000"'
	same "$output" $'shared\n1'
	docker run -d --name second --runtime kata-runtime --network container:first img sh -c \
		'trap "exit 6" TERM; while :; do sleep 0.2; done' >/dev/null
	# The machine of the second one outlives a restart of the first, which gets another.
	expect 0 docker restart -t 0 first
	expect 0 docker exec second true
	expect 0 docker exec first true
	expect 0 docker stop -t 20 second
	container_exited second 6
	expect 0 docker rm -f first second
}

@test "what cannot share a machine is refused by name" {
	vm_only
	docker run -d --name outside --runtime runc --network none img sleep 1000 >/dev/null
	docker run -d --name first --runtime kata-runtime --network none img sleep 1000 >/dev/null
	expect 125 docker run --rm --runtime kata-runtime --network container:outside img true
	has "$stderr" 'which is no running container of kata-runtime'
	expect 125 docker run --rm --runtime kata-runtime --network none --pid container:first img true
	has "$stderr" 'but not its network'
	expect 0 docker rm -f outside first
}
