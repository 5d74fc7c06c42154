"""A virtual machine without us: QEMU with the guest's kernel, a minimal initrd and user networking,
to compare the network with. For the benchmark."""
import os
import shutil
import signal
import socket
import time

from host import Failed, Process, read

BOOT_SECONDS = 120
TRAILER = "TRAILER!!!"
# The modules are those of our guest's initrd, before which this one's files come.
INIT = """#!/bin/busybox sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
while read -r module; do insmod "$module"; done </etc/modules.list
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
nc -ll -p 9000 {into} &
nc -ll -p 9001 {out} &
exec sleep 1000000
"""


def member(name, mode, data=b""):
    """A file of a cpio archive as the kernel reads it."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def make_initrd(path, ours, into, out):
    """Ours with another init, which moves to and from the network what the two programs do."""
    with open(shutil.which("busybox"), "rb") as file:
        busybox = file.read()
    with open(ours, "rb") as file:
        first = file.read()
    with open(path, "wb") as file:
        file.write(first + bytes(-len(first) % 512))
        file.write(member("bin", 0o40755) + member("bin/busybox", 0o100755, busybox))
        for name in ("sh", "mount", "insmod", "ip", "nc", "dd", "sleep"):
            file.write(member(f"bin/{name}", 0o120777, b"busybox"))
        file.write(member("init", 0o100755, INIT.format(into=into, out=out).encode()))
        file.write(member(TRAILER, 0))


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class PlainMachine:
    """Runs from "with" to its end. words are another QEMU's, of which it takes what it runs on."""

    def __init__(self, words, kernel, initrd):
        self.ports = free_ports(2)
        self.argv = [shutil.which(os.path.basename(words[0])) or words[0]]
        for option in ("-accel", "-cpu"):
            self.argv += [option, words[words.index(option) + 1]]
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{port}-:{9000 + number}"
                           for number, port in enumerate(self.ports))
        self.argv += ["-machine", "q35", "-m", "256", "-nodefaults", "-no-user-config", "-display",
                      "none", "-kernel", kernel, "-initrd", initrd, "-append",
                      "quiet panic=-1 tsc=reliable no_timer_check", "-netdev",
                      "user,id=net0" + forwards, "-device", "virtio-net-pci,netdev=net0,romfile="]
        self.process = None

    def __enter__(self):
        self.process = Process(self.argv)
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        os.kill(self.process.pid, signal.SIGKILL)
        os.waitpid(self.process.pid, 0)

    def wait(self):
        """Until the guest sends something: QEMU takes connections long before."""
        end = time.time() + BOOT_SECONDS
        while time.time() < end:
            try:
                with self.connect(1) as connection:
                    connection.settimeout(2)
                    if connection.recv(1):
                        return
            except OSError:
                pass
            if read(f"/proc/{self.process.pid}/stat").rsplit(") ", 1)[1][0] == "Z":
                raise Failed("the plain QEMU has ended")
            time.sleep(0.2)
        raise Failed("the plain QEMU's guest does not answer")

    def connect(self, number):
        return socket.create_connection(("127.0.0.1", self.ports[number]), BOOT_SECONDS)
