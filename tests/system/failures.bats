# What an operator sees when something is broken: eight things, broken one at a time. The caller's
# one line names what was wrong, the right component's log has the rest, and nothing is left.

load lib.bash

setup_file() {
	prepare_directory "$BATS_FILE_TMPDIR"
	bundle plain sleep 1000
	share=$(dirname "$(dirname "$RUNTIME")")/share/kata-containers
	echo "$share" >"$work/share"
	leaks_begin
}

teardown_file() {
	use_directory "$BATS_FILE_TMPDIR"
	file_end
}

setup() {
	vm_only
	use_directory "$BATS_FILE_TMPDIR"
	share=$(<"$work/share")
	rm -rf "$logs"
	mkdir "$logs"
	prepare_config '{}'
}

teardown() {
	if has_vm; then
		remove_containers ''
		leaks_end
	fi
}

# prepare_config JQ: the test's configuration with more in it.
prepare_config() {
	jq -n --arg logs "$logs" --arg work "$work" \
		"{ runtime: { log_target: \"file\", log_dir: \$logs } } * $1" >"$config"
}

# refused PART...: create fails, and one line says why, with all parts.
refused() {
	local lines

	rm -f "$work/log.json"
	runtime_command
	expect 1 timeout -k 5 60 "${command[@]}" --log "$work/log.json" --log-format json create \
		--bundle "$work/plain" plain 3>&-
	lines=$(wc -l <"$work/log.json")
	same "$lines" 1
	same "$(jq -r .level "$work/log.json")" error
	has "$(jq -r .msg "$work/log.json")" "$@"
	has "$stderr" "$@"
	# Words that would make docker blame the container's command, or think it gone.
	has_not "${stderr,,}" 'no such file' 'permission denied' 'not a directory' 'does not exist'
}

# logged COMPONENT PART...: in that component's log of the sandbox.
logged() {
	has "$(cat "$logs"/*/"$1.log")" "${@:2}"
}

# logged_by_default PART...: in a runtime log where it is when no configuration says where: what was
# written by this test.
logged_by_default() {
	local records

	if [[ -S /run/systemd/journal/socket ]]; then
		records=$(journalctl --since=-2min -o verbose SYSLOG_IDENTIFIER=kata-runtime)
	else
		records=$(grep -hF "$config" /var/log/kata-containers/*/runtime.log)
	fi
	has "$records" "$@"
}

# cpio_of DIR: an initrd image of it at $work/initrd.
cpio_of() {
	(cd "$1" && find . | cpio --quiet -o -H newc) >"$work/initrd"
	chmod 0644 "$work/initrd"
}

@test "no kernel: the key and the path are named" {
	prepare_config '{ hypervisor: { kernel: "/nowhere/vmlinuz" } }'
	refused hypervisor.kernel /nowhere/vmlinuz 'not found'
	logged runtime 'level=error' /nowhere/vmlinuz
}

@test "no QEMU: the key and the path are named" {
	prepare_config '{ hypervisor: { path: "/nowhere/qemu" } }'
	refused hypervisor.path /nowhere/qemu 'not found'
	logged runtime 'level=error' /nowhere/qemu
}

@test "a wrong initrd: the guest's panic is told" {
	mkdir -p "$work/broken"
	printf '#!/nowhere/shell\n' >"$work/broken/init"
	chmod 0755 "$work/broken/init"
	cpio_of "$work/broken"
	prepare_config '{ hypervisor: { initrd: ($work + "/initrd") } }'
	refused 'the VM ended' 'Kernel panic'
	logged console 'Kernel panic'
}

@test "a file that is no kernel: QEMU's words are told" {
	echo 'not a kernel' >"$work/no-kernel"
	chmod 0644 "$work/no-kernel"
	prepare_config '{ hypervisor: { kernel: ($work + "/no-kernel") } }'
	refused 'the VM ended' qemu
	logged qemu ''
}

@test "a virtiofsd that exits: its words are told" {
	not_valgrind 'it starts programs by name, which this one has not in the machine'\''s root'
	# A program, not a script: it is started by its descriptor, where no interpreter is found.
	cc -x c -o "$work/virtiofsd" - <<-'END'
		#include <stdio.h>
		#include <string.h>
		int main(int argc, char **argv)
		{
			if (argc > 1 && strcmp(argv[1], "--version") == 0)
				return puts("virtiofsd version 7.2.22") < 0;
			fputs("virtiofsd cannot work today\n", stderr);
			return 3;
		}
	END
	prepare_config '{ hypervisor: { virtio_fs_daemon: ($work + "/virtiofsd") } }'
	refused virtiofsd
	logged virtiofsd 'virtiofsd cannot work today'
	logged proxy virtiofsd
}

@test "an agent that never says hello: create ends at its time limit" {
	mkdir -p "$work/silent/bin"
	cp /bin/busybox "$work/silent/bin/busybox"
	printf '#!/bin/busybox sh\nwhile :; do /bin/busybox sleep 1; done\n' >"$work/silent/init"
	chmod 0755 "$work/silent/init"
	cpio_of "$work/silent"
	prepare_config '{ hypervisor: { initrd: ($work + "/initrd") },
		runtime: { create_container_timeout: 8 } }'
	SECONDS=0
	refused 'did not say hello'
	((SECONDS >= 8 && SECONDS < 30))
	logged runtime 'did not say hello'
}

@test "a rootfs that is not there, or no directory: it is named" {
	edit plain '.root.path = "/nowhere/rootfs"'
	refused root.path /nowhere/rootfs
	logged runtime 'level=error' 'container=plain' root.path /nowhere/rootfs
	edit plain '.root.path = "/etc/passwd"'
	refused root.path /etc/passwd
	logged runtime /etc/passwd
	edit plain --arg rootfs "$base/rootfs" '.root.path = $rootfs'
}

@test "a configuration with an unknown key: file and key are named" {
	prepare_config '{ hypervisor: { colour: "green" } }'
	refused "$config" hypervisor.colour
	logged_by_default "$config" plain hypervisor.colour
}

@test "a configuration with a wrong type: file, key and type are named" {
	prepare_config '{ hypervisor: { default_memory: "much" } }'
	refused "$config" hypervisor.default_memory number
	logged_by_default "$config" hypervisor.default_memory number
}

@test "a configuration that is no JSON: file and line are named" {
	printf '{\n\t"hypervisor": {\n}\n' >"$config"
	refused "$config" line
}

@test "a configuration that others may write is not read" {
	chmod 0666 "$config"
	refused "$config"
	chmod 0644 "$config"
}

@test "a configuration that is not there is named" {
	mv "$config" "$config.away"
	refused "$config"
	mv "$config.away" "$config"
}

@test "the proxy's worker killed: its log says so and another one goes on" {
	start plain
	kill -KILL "$(process plain worker)"
	eventually 5 logged proxy 'the worker crashed' 'signal 9'
	expect 0 runtime exec plain true </dev/null
	expect 0 runtime kill plain KILL
	eventually 3 has_status plain stopped
	expect 0 runtime delete plain
}

@test "the proxy killed: the shim's log says so, the container has stopped and can be deleted" {
	start plain
	kill -KILL "$(monitor plain)"
	eventually 3 has_status plain stopped
	[[ $(exit_code plain) =~ ^(137|255)$ ]]
	logged shim 'level=error' 'connection to the process lost'
	expect 0 runtime delete plain
}
