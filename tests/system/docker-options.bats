# Options of docker run that change what a process sees: one container with many of them under our
# runtime and one under runc have to print the same. And what a machine cannot give is refused.

load lib.bash
load docker.bash

setup_file() {
	docker_file_begin
	mknod "$work/disk" b 7 0
	printf 'FROM_FILE=yes\n' >"$work/env"
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

# What a process can tell about how it runs.
report='id -u; id -g; id -G; hostname; pwd; umask; ulimit -n; echo "$FROM_FILE $GREETING"
df -k /dev/shm | tail -n 1 | tr -s " " | cut -d" " -f2
grep -E "^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):" /proc/self/status
cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unprivileged_port_start
stat -c "%F %t:%T %a" /dev/null /dev/nothing /dev/fd/0 2>/dev/null | head -n 2
ls /dev | grep -vx -e core -e console | sort | tr "\n" " "; echo
touch /root-is-read-only 2>/dev/null || echo read-only; touch /scratch/x && echo written'

# with RUNTIME
with() {
	timeout -k 5 120 docker run --rm --runtime "$1" --network none --user 1000:1001 --group-add 77 \
		--hostname guest --workdir /tmp --env-file "$work/env" --env GREETING='hello there' \
		--ulimit nofile=700:800 --shm-size 3m --cap-drop ALL --cap-add NET_BIND_SERVICE \
		--cap-add CHOWN --security-opt no-new-privileges --oom-score-adj 100 --read-only \
		--tmpfs /scratch:size=1m,mode=1777 --device /dev/null:/dev/nothing:r --entrypoint sh \
		img -c "$report" 3>&-
}

@test "many options at once make of a process what they make of it under runc" {
	vm_only
	expect 0 with runc
	wanted=$output
	expect 0 with kata-runtime
	same "$output" "$wanted"
}

@test "a device of the host is refused by its name, and a privileged container has the machine's" {
	vm_only
	run in_vm --rm --device "$work/disk:/dev/disk" img true
	same "$status" 125
	has "$output" '/dev/disk' '7:0'
	expect 0 in_vm --rm --privileged --device "$work/disk:/dev/disk" img sh -c \
		'ls /dev/disk 2>&1; stat -c %t:%T /dev/kmsg; grep CapEff /proc/self/status'
	has "$output" 'No such file' '1:b'
	has_not "$output" 0000000000000000
}

@test "the network of the host is refused with a sentence" {
	vm_only
	run timeout 60 docker run --rm --runtime kata-runtime --network host img true
	same "$status" 125
	has "$output" 'host networking'
}

@test "the host's pid, ipc and uts are the machine's, which has the host's name" {
	local shared=/dev/shm/kata-test-$$

	vm_only
	echo host >"$shared"
	run in_vm --rm --pid host --ipc host --uts host img sh -c 'hostname; ls /dev/shm; ps -o args'
	rm "$shared"
	same "$status" 0
	has "$output" "$(hostname)" '{ps} sh -c'
	has_not "$output" "${shared##*/}" dockerd
}
