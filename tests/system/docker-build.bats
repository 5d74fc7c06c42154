# The classic builder with our runtime as the daemon's default: every RUN is a container of ours.
# With runc too.

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
	mkdir -p "$work/context"
	leaks_begin
}

teardown() {
	rm -r "$work/context"
	leaks_end
}

# build OPTION... <Dockerfile
build() {
	DOCKER_BUILDKIT=0 timeout -k 5 300 docker build --network none --force-rm -f - "$@" \
		"$work/context" 3>&-
}

@test "RUN, COPY, ARG, ENV, USER, WORKDIR, SHELL, VOLUME and a second stage" {
	echo 'of the context' >"$work/context/file"
	cat >"$work/Dockerfile" <<'END'
FROM img AS first
ARG NAME=default
ENV KERNEL=none
WORKDIR /made/here
COPY file .
RUN echo "$NAME $(pwd) $(cat file)" >built; uname -r >kernel
USER 1000:1000
RUN id -u >/tmp/user; id -g >>/tmp/user
SHELL ["/bin/sh", "-e", "-c"]
RUN if false; then :; fi; echo "$-" >/tmp/flags
FROM img
COPY --from=first /made/here /tmp/user /tmp/flags /result/
RUN ["chmod", "0711", "/result"]
VOLUME /data
ENTRYPOINT ["/bin/sh", "-c", "cd /result; cat built user flags; stat -c %a .; echo $0"]
CMD ["word"]
END
	expect 0 build -t built --build-arg NAME=given <"$work/Dockerfile"
	expect 0 timeout -k 5 60 docker run --rm --network none built
	same "$(grep -v e <<<"$output")" $'1000\n1000\n711\nword'
	has "$output" 'given /made/here of the context'
	if has_vm; then
		expect 0 timeout -k 5 60 docker run --rm --network none --entrypoint cat built /result/kernel
		[[ $output != "$(uname -r)" && -e /boot/vmlinuz-$output ]]
	fi
	same "$(docker ps -aq)" ''
}

@test "a RUN that fails ends the build with its code and leaves no container" {
	expect 7 build -t failed <<<$'FROM img\nRUN echo last words; exit 7\nRUN echo not reached'
	has "$output$stderr" 'last words' 'returned a non-zero code: 7'
	has_not "$output" 'not reached'
	run build -t failed <<<$'FROM img\nRUN ["no-such-program"]'
	((status != 0))
	has "$output" 'exec: "no-such-program": executable file not found in $PATH'
	same "$(docker ps -aq) $(docker images -q failed)" ' '
}
