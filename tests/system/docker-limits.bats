# Limits as docker gives them: its options, pause, commit and update. With runc too.

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
	docker ps -aq | xargs -r docker rm -f >/dev/null
	leaks_end
}

# show FILE...: of the cgroup, as words in one line.
show() {
	printf 'cd /sys/fs/cgroup && cat %s | tr "\\n" ";"' "$*"
}

@test "docker's options arrive in the guest" {
	vm_only
	expect 0 in_vm --rm -m 64m --cpus 0.5 --pids-limit 20 --cpu-shares 512 img sh -c \
		"$(show memory.max memory.swap.max cpu.max pids.max cpu.weight)"
	same "$output" '67108864;67108864;50000 100000;20;20;'
}

@test "--ulimit, --oom-score-adj and --sysctl" {
	expect 0 in_vm --rm --ulimit nofile=77:88 --oom-score-adj 7 \
		--sysctl net.ipv4.ip_unprivileged_port_start=7 img sh -c \
		'ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unprivileged_port_start'
	same "$output" $'77\n88\n7\n7'
}

@test "an OOM kill is exit code 137" {
	expect 137 in_vm --rm -m 32m img tail /dev/zero
}

# Where the guest has vsock there is one filter more, which keeps every container from it.
@test "the default seccomp profile, and none" {
	local filters

	expect 0 in_vm --rm img sh -c 'unshare -U true 2>&1; grep ^Seccomp: /proc/self/status'
	has "$output" 'Operation not permitted' $'Seccomp:\t2'
	expect 0 in_vm --rm img sed -n 's/^Seccomp_filters:\t//p' /proc/self/status
	filters=$output
	expect 0 in_vm --rm --security-opt seccomp=unconfined img sed -n 's/^Seccomp_filters:\t//p' \
		/proc/self/status
	same "$output" "$((filters - 1))"
	expect 0 in_vm --rm --security-opt no-new-privileges img grep -E '^(Seccomp|NoNew)' \
		/proc/self/status
	has "$output" $'NoNewPrivs:\t1' $'Seccomp:\t2'
}

@test "pause, unpause, commit" {
	expect 0 in_vm -d --name waits img sh -c 'echo made >/file; while :; do sleep 0.1; done'
	expect 0 docker pause waits
	same "$(docker inspect -f '{{.State.Status}}' waits)" paused
	run docker exec waits true
	((status != 0))
	expect 0 docker unpause waits
	expect 0 docker exec waits true
	expect 0 docker commit waits committed
	same "$(docker inspect -f '{{.State.Status}}' waits)" running
	expect 0 in_vm --rm committed cat /file
	same "$output" made
	expect 0 docker pause waits
	expect 0 docker rm -f waits
}

@test "update" {
	vm_only
	expect 0 in_vm -d --name grows -m 64m img sleep 1000
	expect 0 docker update -m 128m --memory-swap 256m --cpus 0.25 grows
	expect 0 docker exec grows sh -c "$(show memory.max memory.swap.max cpu.max)"
	same "$output" '134217728;134217728;25000 100000;'
	# More than the machine was made with.
	expect 0 docker update -m 600m --memory-swap 600m --cpus "$(nproc)" grows
	expect 0 docker exec grows dd if=/dev/zero of=/dev/null bs=450M count=1
	expect 0 docker exec grows nproc
	same "$output" "$(vcpus "$(nproc)" docker exec grows)"
}
