# The guest image builder: what it puts into an initrd, in which order, and that it says what is
# missing. The made-up kernel "1.2-test" stands for every kernel; the last test boots a real one.

setup() {
	top=$BATS_TEST_DIRNAME/../..
	builder=$top/guest/kata-guest-image
	modules=$BATS_TEST_TMPDIR/modules
	out=$BATS_TEST_TMPDIR/out
	list=$BATS_TEST_TMPDIR/modules.list
	mkdir -p "$modules"
	printf 'int main(void) { return 0; }\n' >"$BATS_TEST_TMPDIR/agent.c"
	printf 'a kernel\n' >"$BATS_TEST_TMPDIR/kernel"
}

# module PATH [DEPENDENCY...]: a module file and its line in modules.dep.
module() {
	mkdir -p "$(dirname "$modules/$1")"
	case $1 in
	*.xz) printf 'body of %s' "$(basename "$1" .xz)" | xz -c >"$modules/$1" ;;
	*.zst) printf 'body of %s' "$(basename "$1" .zst)" | zstd -qc >"$modules/$1" ;;
	*.gz) printf 'body of %s' "$(basename "$1" .gz)" | gzip -nc >"$modules/$1" ;;
	*) printf 'body of %s' "$(basename "$1")" >"$modules/$1" ;;
	esac
	printf '%s:%s\n' "$1" "${2:+ ${*:2}}" >>"$modules/modules.dep"
}

agent() {
	cc -static -o "$BATS_TEST_TMPDIR/agent" "$BATS_TEST_TMPDIR/agent.c"
}

build() {
	"$builder" --agent "$BATS_TEST_TMPDIR/agent" --kernel-version 1.2-test \
		--kernel "$BATS_TEST_TMPDIR/kernel" --modules-dir "$modules" --modules-list "$list" \
		--output-dir "$out" "$@"
}

load_order() {
	"$builder" --list --kernel-version 1.2-test --modules-dir "$modules" --modules-list "$list"
}

@test "modules are loaded after what they depend on, each once" {
	module kernel/ring.ko
	module kernel/virtio.ko kernel/ring.ko
	module kernel/modern.ko
	module kernel/a-pci.ko kernel/modern.ko kernel/virtio.ko kernel/ring.ko
	module kernel/console.ko kernel/virtio.ko kernel/ring.ko
	printf 'required a_pci CONFIG_A\nrequired console CONFIG_B # link\n' >"$list"
	run load_order
	[ "$status" -eq 0 ]
	names=$(printf '%s\n' "${lines[@]}" | sed 's,.*/,,' | tr '\n' ' ')
	[ "$names" = "ring.ko virtio.ko modern.ko a-pci.ko console.ko " ]
}

@test "a module that is built in is not loaded" {
	module kernel/console.ko
	printf 'kernel/fuse.ko\n' >"$modules/modules.builtin"
	printf 'required fuse CONFIG_FUSE_FS\nrequired console CONFIG_B\n' >"$list"
	run load_order
	[ "$status" -eq 0 ]
	[ "$output" = "/lib/modules/1.2-test/kernel/console.ko" ]
}

@test "a required module that is missing is named with its option and package" {
	agent
	module kernel/console.ko
	printf 'required console CONFIG_B\nrequired virtiofs CONFIG_VIRTIO_FS\n' >"$list"
	run build
	[ "$status" -eq 1 ]
	[[ $output == *virtiofs*CONFIG_VIRTIO_FS*1.2-test*linux-image-cloud* ]]
	[ ! -e "$out" ]
}

@test "an optional module that is missing is a warning" {
	module kernel/console.ko
	printf 'required console CONFIG_B\noptional pvpanic CONFIG_PVPANIC\n' >"$list"
	run load_order
	[ "$status" -eq 0 ]
	[[ $output == *"warning: module pvpanic (CONFIG_PVPANIC)"* ]]
	[[ $output == *kernel/console.ko ]]
}

@test "a name that only resembles a listed one is not taken for it" {
	module kernel/xfuse.ko
	module kernel/fuse2.ko
	printf 'required fuse CONFIG_FUSE_FS\n' >"$list"
	run load_order
	[ "$status" -eq 1 ]
	[[ $output == *"module fuse (CONFIG_FUSE_FS)"* ]]
}

# compressed_kernel NOTE TOOL [ARGUMENT...]: a bzImage around an ELF file with one note of that number.
compressed_kernel() {
	python3 - "$BATS_TEST_TMPDIR" "$@" <<'END'
import struct, subprocess, sys
directory, note, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
notes = struct.pack("<III4s4s", 4, 2, 6, b"Xen", b"no") + struct.pack("<III4s8s", 4, 8, note, b"Xen", b"")
elf = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
elf += struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(notes), len(notes), 4) + notes + b"kernel" * 1000
payload = subprocess.run(command, input=elf, stdout=subprocess.PIPE, check=True).stdout
if command[0] != "gzip":
    payload += struct.pack("<I", len(elf))
setup = bytearray(1024)
setup[0x1f1] = 1
setup[0x202:0x208] = b"HdrS" + struct.pack("<H", 0x20f)
setup[0x248:0x250] = struct.pack("<II", 16, len(payload))
open(directory + "/kernel", "wb").write(setup + b"decompressor..." + b"." + payload + b"after it")
open(directory + "/elf", "wb").write(elf)
END
}

@test "a compressed kernel that QEMU can boot without its wrapping is unpacked" {
	agent
	module kernel/a.ko
	printf 'required a CONFIG_A\n' >"$list"
	for tool in 'gzip -c' 'xz -c --check=crc32' 'zstd -c' 'lz4 -lc'; do
		# shellcheck disable=SC2086 # words
		compressed_kernel 18 $tool
		run --separate-stderr build
		[ "$status" -eq 0 ] && [ -z "$stderr" ]
		cmp "$BATS_TEST_TMPDIR/elf" "$out/vmlinux.container"
	done
	# without the note that tells QEMU where to begin
	compressed_kernel 17 gzip -c
	build
	cmp "$BATS_TEST_TMPDIR/kernel" "$out/vmlinux.container"
	# damaged, and of a kind that is not known
	compressed_kernel 18 gzip -c
	dd if=/dev/zero of="$BATS_TEST_TMPDIR/kernel" bs=1 seek=1100 count=4 conv=notrunc status=none
	run build
	[ "$status" -eq 0 ] && [[ $output == *warning*"cannot be unpacked by gzip"* ]]
	cmp "$BATS_TEST_TMPDIR/kernel" "$out/vmlinux.container"
	compressed_kernel 18 cat
	run build
	[ "$status" -eq 0 ] && [[ $output == *warning*compression*unknown* ]]
	cmp "$BATS_TEST_TMPDIR/kernel" "$out/vmlinux.container"
}

@test "the initrd holds agent, list, directories and decompressed modules" {
	agent
	module kernel/a.ko.xz
	module kernel/b.ko.zst kernel/a.ko.xz
	module kernel/c.ko.gz
	printf 'required b CONFIG_B\nrequired c CONFIG_C\n' >"$list"
	build
	cmp "$BATS_TEST_TMPDIR/kernel" "$out/vmlinux.container"
	[ "$(stat -c %a "$out/vmlinux.container" "$out/kata-containers-initrd.img" | uniq)" = 644 ]
	mkdir "$BATS_TEST_TMPDIR/tree"
	cd "$BATS_TEST_TMPDIR/tree"
	cpio -idm --quiet <"$out/kata-containers-initrd.img"
	cmp "$BATS_TEST_TMPDIR/agent" init
	[ -x init ]
	for directory in dev proc sys run tmp; do [ -d "$directory" ]; done
	[ "$(tr '\n' ' ' <etc/modules.list)" = \
		"/lib/modules/1.2-test/kernel/a.ko /lib/modules/1.2-test/kernel/b.ko /lib/modules/1.2-test/kernel/c.ko " ]
	[ "$(cat lib/modules/1.2-test/kernel/b.ko)" = "body of b.ko" ]
	[ "$(cat lib/modules/1.2-test/kernel/a.ko)" = "body of a.ko" ]
	[ "$(cat lib/modules/1.2-test/kernel/c.ko)" = "body of c.ko" ]
}

@test "the same input gives the same bytes, whenever and wherever it is built" {
	agent
	module kernel/console.ko
	printf 'required console CONFIG_B\n' >"$list"
	build
	touch "$BATS_TEST_TMPDIR/agent" "$modules/kernel/console.ko"
	(umask 077 && TMPDIR=/dev/shm TZ=Asia/Tokyo build --output-dir "$out.2")
	cmp "$out/kata-containers-initrd.img" "$out.2/kata-containers-initrd.img"
	SOURCE_DATE_EPOCH=1700000000 build --output-dir "$out.3"
	run cmp -s "$out/kata-containers-initrd.img" "$out.3/kata-containers-initrd.img"
	[ "$status" -eq 1 ]
}

@test "a failure leaves the former files alone and no temporary file" {
	agent
	module kernel/console.ko.xz
	printf 'required console CONFIG_B\n' >"$list"
	build
	before=$(sha256sum "$out"/*)
	printf 'not xz' >"$modules/kernel/console.ko.xz"
	run build
	[ "$status" -ne 0 ]
	[ "$(sha256sum "$out"/*)" = "$before" ]
	[ "$(find "$out" -name '.*' -type f | wc -l)" -eq 0 ]
}

@test "a dynamically linked agent is refused" {
	cc -o "$BATS_TEST_TMPDIR/agent" "$BATS_TEST_TMPDIR/agent.c"
	module kernel/console.ko
	printf 'required console CONFIG_B\n' >"$list"
	run build
	[ "$status" -eq 1 ]
	[[ $output == *"dynamically linked"* ]]
	[ ! -e "$out" ]
}

@test "a kernel that is not installed is named" {
	run "$builder" --agent /bin/true --kernel-version 9.9-none --output-dir "$out"
	[ "$status" -eq 1 ]
	[[ $output == *"/lib/modules/9.9-none/modules.dep"*linux-image-cloud* ]]
}

@test "Debian's kernel boots with the initrd and takes all modules in order" {
	cat >"$BATS_TEST_TMPDIR/agent.c" <<'END'
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	FILE *list = fopen("/etc/modules.list", "r");
	char line[300];

	while (list != NULL && fgets(line, sizeof(line), list) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		int fd = open(line, O_RDONLY);
		int r = fd < 0 ? -1 : (int)syscall(SYS_finit_module, fd, "", 0);
		printf("module %s: %s\n", line, r == 0 ? "loaded" : strerror(errno));
	}
	printf("end of list\n");
	fflush(stdout);
	sleep(1);
	reboot(RB_AUTOBOOT);
	return 0;
}
END
	agent
	version=$(cd /lib/modules && printf '%s\n' *-cloud-* | sort -V | tail -n 1)
	"$builder" --agent "$BATS_TEST_TMPDIR/agent" --kernel-version "$version" --output-dir "$out"
	run timeout 120 qemu-system-x86_64 -accel tcg -cpu max -m 256 -machine q35 -nodefaults \
		-display none -serial stdio -no-reboot -kernel "$out/vmlinux.container" \
		-initrd "$out/kata-containers-initrd.img" \
		-append 'console=ttyS0 quiet panic=-1' </dev/null
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"end of list"* ]]
	[ "$(grep -c '^module .*: loaded' <<<"$output")" -ge 7 ]
	[ "$(grep '^module ' <<<"$output" | grep -vc ': loaded')" -eq 0 ]
}
