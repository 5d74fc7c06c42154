# What dockerd does with containers as a whole: it restarts under running ones, schedules services as a
# swarm of one node, maps users, does what docker compose wants. A dockerd for each test, since these
# modes exclude each other. With runc too.

load lib.bash
load docker.bash

setup() {
	work=$(mktemp -d /var/tmp/kata-docker.XXXXXX)
	leaks_begin
}

teardown() {
	docker_end
	[[ ! -e /run/netns/kt-test-$$ ]] || ip netns del "kt-test-$$"
	leaks_end
	rm -rf "$work"
}

daemon_gone() {
	not kill -0 "$1" && [[ ! -e $docker_dir/exec/containerd/containerd.pid ]]
}

@test "live-restore: dockerd restarts under running containers, and sees who ended meanwhile" {
	local pid

	docker_begin "$work/d" '' --live-restore
	in_vm --detach --name stays img sh -c 'trap "echo bye; exit 4" TERM; echo up; while :; do sleep 0.2; done'
	in_vm --detach --name ends --volume "$work:/w" img \
		sh -c 'until [ -e /w/end ]; do sleep 0.1; done; exit 6'
	pid=$(of stays .State.Pid)
	kill "$(<"$docker_dir/pid")"
	eventually 30 daemon_gone "$(<"$docker_dir/pid")"
	kill -0 "$pid" # by this the container is known to live
	touch "$work/end"
	docker_start '' --live-restore
	eventually 20 not container_running ends
	# Docker 26 loses the code of who ended while it was away, runc's too.
	[[ $(docker version --format '{{.Server.Version}}') != 20.* ]] || container_exited ends 6
	is stays .State.Pid "$pid"
	expect 0 docker exec stays cat /proc/1/comm
	same "$output" sh
	expect 0 docker stop --time 20 stays
	container_exited stays 4
	same "$(docker logs stays)" $'up\nbye'
	expect 0 docker start stays
	expect 0 docker rm --force stays ends
}

service_has() {
	[[ $(docker service ps --filter desired-state=running --format '{{.CurrentState}}' web |
		grep -c '^Running') == "$1" ]]
}

no_container() {
	[[ -z $(docker ps --all --quiet) ]]
}

@test "a service of a swarm is created, scaled, healed and removed" {
	local id

	# In a namespace of its own: what a swarm leaves of its bridges and ports is not the host's.
	ip netns add "kt-test-$$"
	ip -n "kt-test-$$" link set lo up
	docker_begin "$work/d" "kt-test-$$" --bridge none --iptables=false --ip-forward=false
	docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377 >/dev/null
	docker service create --quiet --detach --name web --no-resolve-image --env GREETING=hello \
		--hostname '{{.Task.Slot}}' --restart-delay 0s img \
		sh -c 'trap "exit 0" TERM; echo "$GREETING from $(hostname)"; while :; do sleep 0.2; done'
	eventually 60 service_has 1
	id=$(docker ps --quiet)
	expect 0 docker service scale --detach web=2
	eventually 60 service_has 2
	expect 0 docker kill "$id"
	eventually 60 not docker top "$id"
	eventually 60 service_has 2
	same "$(docker service logs --raw web 2>&1 | sort -u)" $'hello from 1\nhello from 2'
	expect 0 docker service rm web
	eventually 30 no_container
	docker swarm leave --force >/dev/null
}

# The files that say which ids are whose are others in the daemon's mount namespace only.
@test "--userns-remap: root in the container is nobody's id on the host" {
	local file

	for file in subuid subgid; do
		{ grep ^kata: "/etc/$file" && echo 'nobody:2013265920:65536'; } >"$work/$file"
	done
	printf '#!/bin/sh\nset -e\nmount --bind "%s" /etc/subuid\nmount --bind "%s" /etc/subgid\n%s\n' \
		"$work/subuid" "$work/subgid" 'exec "$@"' >"$work/mapped"
	chmod 0755 "$work" "$work/mapped"
	docker_inside=(unshare --mount "$work/mapped")
	docker_begin "$work/d" '' --userns-remap nobody:nogroup
	docker_inside=()
	mkdir -m 0777 "$work/out"
	expect 0 in_vm --rm --volume "$work/out:/out" img sh -c \
		'id -u; awk "{ print \$1, \$3 }" /proc/self/uid_map; echo >/out/made; chown 7:8 /out/made'
	same "$output" $'0\n0 65536'
	same "$(stat -c '%u %g' "$work/out/made")" '2013265927 2013265928'
}

# A program of its own, or with docker-ce a plugin.
compose() {
	local -a program=(docker-compose)

	type -P docker-compose >/dev/null || program=(docker compose)
	timeout -k 5 120 "${program[@]}" --project-name demo --file "$work/compose.yaml" "$@" 3>&-
}

@test "docker compose: two services find each other by name, and end in order" {
	cat >"$work/compose.yaml" <<-END
		version: "3"
		services:
		  server:
		    image: img
		    container_name: server
		    command: sh -c "trap 'exit 3' TERM; httpd -p 80 -h /www; while :; do sleep 0.2; done"
		    volumes: ["$work/page:/www/page:ro"]
		  client:
		    image: img
		    container_name: client
		    depends_on: [server]
		    environment: { CODE: "5" }
		    command: sh -c 'until wget -q -O - http://server/page; do sleep 0.3; done; exit \$\$CODE'
	END
	echo 'the page' >"$work/page"
	ip netns add "kt-test-$$"
	ip -n "kt-test-$$" link set lo up
	docker_begin "$work/d" "kt-test-$$"
	expect 0 compose up --detach
	eventually 60 container_exited client 5
	same "$(docker logs client)" 'the page'
	expect 0 compose exec -T server cat /www/page
	same "$output" 'the page'
	expect 0 compose stop --timeout 20
	container_exited server 3
	expect 0 compose down
	same "$(docker ps --all --quiet)" ''
}
