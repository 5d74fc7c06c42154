# Files through docker: volumes of every kind, tmpfs, read-only roots, copies both ways, what has
# changed, and images made of it. With runc too.

load lib.bash
load docker.bash

setup_file() {
	docker_file_begin
	mkdir "$work/dir" "$work/dir/below"
	echo 'of the host' >"$work/dir/file"
	echo 'single file' >"$work/file"
	chmod 0666 "$work/file"
	in_vm -d --name main -v "$work/dir:/dir" -v "$work/file:/etc/file" -v named:/named \
		-v "$work/dir:/ro:ro" -v "$work/file:/etc/file-ro:ro" -v /anonymous -v named-bin:/bin \
		--mount "type=bind,src=$work/dir/below,dst=/nested/a" -v "$work/dir:/nested/a/b" \
		--tmpfs /tmpfs:size=2m,mode=0711 --mount type=tmpfs,dst=/other,tmpfs-size=1m \
		img sleep 1000 >"$work/id"
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
	timeout -k 5 60 docker exec main sh -c "$1" 3>&-
}

# --- volumes --------------------------------------------------------------------------------

@test "a directory of the host is shared both ways" {
	expect 0 inside 'cat /dir/file; echo new >/dir/new; mkdir /dir/sub; mv /dir/new /dir/sub/moved'
	same "$output" 'of the host'
	same "$(<"$work/dir/sub/moved")" new
	echo later >"$work/dir/later"
	eventually 5 inside 'grep -q later /dir/later'
	rm -r "$work/dir/sub" "$work/dir/later"
	eventually 5 inside '! test -e /dir/sub && ! test -e /dir/later'
}

@test "a single file is shared both ways" {
	expect 0 inside 'cat /etc/file; echo from inside >>/etc/file'
	same "$output" 'single file'
	same "$(<"$work/file")" $'single file\nfrom inside'
	echo 'from outside' >"$work/file"
	eventually 5 inside 'grep -q outside /etc/file'
}

@test "what is mounted read-only cannot be changed, and is as new as the other" {
	expect 0 inside 'echo seen >/dir/seen; cat /ro/seen; rm /dir/seen'
	same "$output" seen
	expect 1 inside 'touch /ro/new'
	has "$stderr" 'Read-only file system'
	expect 1 inside 'rm -r /ro/below'
	expect 1 inside 'echo x >/etc/file-ro'
	has "$stderr" 'Read-only file system'
	expect 1 inside 'mount -o remount,rw /ro'
}

@test "a directory over a file, and the other way round, gets docker's hint" {
	expect 125 docker run --rm "${with_runtime[@]}" -v "$work/dir:/bin/not-executable" img true
	has "$stderr" 'not a directory' 'mount a directory onto a file (or vice-versa)'
	expect 125 docker run --rm "${with_runtime[@]}" -v "$work/file:/bin" img true
	has "$stderr" 'not a directory' 'mount a directory onto a file (or vice-versa)'
}

@test "a named volume outlives its container; it begins with what the image has there" {
	expect 0 inside 'echo kept >/named/file; ls /bin/sh'
	expect 1 in_vm --rm -v named:/elsewhere:ro img sh -c 'cat /elsewhere/file; touch /elsewhere/x'
	same "$output" kept
}

@test "an anonymous volume and one below another" {
	expect 0 inside 'echo x >/anonymous/x; cat /nested/a/b/file; touch /nested/a/here'
	same "$output" 'of the host'
	[[ -e $work/dir/below/here ]]
	rm "$work/dir/below/here"
}

@test "tmpfs has size, mode and options" {
	expect 0 inside 'df -k /tmpfs /other | awk "{ print \$2 }" | tail -n 2; stat -c %a /tmpfs'
	same "$output" $'2048\n1024\n711'
	expect 0 inside 'grep -c " /\(tmpfs\|other\) tmpfs rw,nosuid,nodev,noexec,relatime" /proc/mounts'
	same "$output" 2
	expect 1 inside 'head -c 3000000 /dev/zero >/tmpfs/big'
	expect 0 inside 'stat -c %s /tmpfs/big; rm /tmpfs/big'
	same "$output" 2097152
}

@test "--read-only: only volumes, tmpfs and the usual places can be written" {
	expect 0 in_vm --rm --read-only --tmpfs /run -v named:/named img sh -c \
		'touch /x; touch /bin/x; touch /run/x /named/x /dev/shm/x && echo these; rm /named/x'
	same "$output" these
	same "$(grep -c 'Read-only file system' <<<"$stderr")" 2
}

@test "owners, modes, links, times and attributes arrive on both sides" {
	expect 0 inside 'cd /dir && echo x >a && chown 1234:567 a && chmod 4750 a && ln -s a l && ln a h &&
		touch -d "2001-02-03 04:05:06" a && mkfifo p && stat -c "%a %u %g %h %Y" a && readlink l'
	same "$(stat -c '%a %u %g %h %Y' "$work/dir/a")" '4750 1234 567 2 981173106'
	same "$output" $'4750 1234 567 2 981173106\na'
	[[ -p $work/dir/p && -L $work/dir/l ]]
	expect 0 inside 'cd /dir && rm a l h p'
}

# --- copies ---------------------------------------------------------------------------------

@test "docker cp into a running container and out of it, files and directories" {
	mkdir -p "$work/in/sub"
	echo one >"$work/in/file"
	ln -s file "$work/in/link"
	expect 0 docker cp "$work/in" main:/tmp/
	expect 0 inside 'cat /tmp/in/file; readlink /tmp/in/link; ls -d /tmp/in/sub; echo two >/tmp/in/sub/two'
	same "$output" $'one\nfile\n/tmp/in/sub'
	expect 0 docker cp main:/tmp/in "$work/out"
	same "$(<"$work/out/sub/two")" two
	same "$(readlink "$work/out/link")" file
	echo 'one more' >"$work/in/file"
	expect 0 docker cp "$work/in/file" main:/tmp/in/file
	eventually 5 inside 'grep -q more /tmp/in/file'
	tar -C "$work/in" -c file | docker cp - main:/tmp/in/sub
	expect 0 inside 'cat /tmp/in/sub/file'
	same "$output" 'one more'
	docker cp main:/tmp/in/sub - | tar -tf - | sort >"$work/names"
	same "$(<"$work/names")" $'sub/\nsub/file\nsub/two'
	run docker cp main:/no/such "$work/nothing"
	((status != 0))
}

@test "docker cp with volumes: what is in them is read and written" {
	expect 0 docker cp main:/dir/file "$work/from-volume"
	same "$(<"$work/from-volume")" 'of the host'
	expect 0 docker cp "$work/from-volume" main:/dir/by-cp
	same "$(<"$work/dir/by-cp")" 'of the host'
	run docker cp "$work/from-volume" main:/ro/by-cp
	((status != 0))
	rm "$work/dir/by-cp"
}

@test "docker cp and start of a container that has stopped" {
	expect 0 in_vm --name stopped img sh -c 'cat /input 2>/dev/null; echo output >/output'
	docker cp stopped:/output - | tar -xO >"$work/output"
	same "$(<"$work/output")" output
	echo input >"$work/input"
	expect 0 docker cp "$work/input" stopped:/
	expect 0 docker start -a stopped
	same "$output" input
	docker rm stopped
}

# --- images ---------------------------------------------------------------------------------

@test "docker diff tells what was added, changed and deleted" {
	expect 0 in_vm --name changes img sh -c 'mkdir -p /new/sub; echo x >/new/sub/file
		rm /etc/passwd; chmod 700 /var; ln -s x /link; echo y >>/etc/group'
	expect 0 docker diff changes
	same "$(grep -E ' /(new|etc|var|link)' <<<"$output" | sort | tr '\n' ' ')" \
		'A /link A /new A /new/sub A /new/sub/file C /etc C /etc/group C /var D /etc/passwd '
}

@test "docker commit and export hold what the container wrote, and settings" {
	expect 0 docker commit -c 'CMD ["cat", "/new/sub/file"]' -c 'ENV A=b' changes committed
	expect 0 in_vm --rm committed
	same "$output" x
	expect 1 in_vm --rm committed sh -c 'echo $A; stat -c %a /var; test -e /etc/passwd'
	same "$output" $'b\n700'
	expect 0 bash -c 'docker export changes | tar -xO new/sub/file'
	same "$output" x
	docker rm changes
	expect 0 inside 'echo live >/written; sync'
	expect 0 docker commit main live
	expect 0 in_vm --rm live cat /written
	same "$output" live
	container_running main
}
