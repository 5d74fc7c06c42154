"""Two network namespaces that a veth pair joins: one for a container, the other one for who talks to
it. For the benchmark."""
import ctypes
import socket
import subprocess
import threading
import time

from host import Failed

BLOCK = bytes(65536)
CLONE_NEWNET = 0x40000000
SECONDS = 120
ADDRESS = "198.51.100.2"


# What the other side of write() and read() runs, with the connection for its streams: whole blocks,
# since what nc copies itself are small pieces, of which each would be a packet.
INTO = f"-e dd of=/dev/null bs={len(BLOCK)}"
OUT = f"-e dd if=/dev/zero bs={len(BLOCK)} count="


def write(connection, total):
    """Bytes in a second until the other side has read all, which it tells by its end."""
    connection.settimeout(SECONDS)
    with connection:
        began = time.time()
        for _ in range(total // len(BLOCK)):
            connection.sendall(BLOCK)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1):
            pass
        return total / (time.time() - began)


def read(connection, total):
    """Bytes in a second from the connection on; all of them must come."""
    connection.settimeout(SECONDS)
    with connection:
        began = time.time()
        count, room = 0, bytearray(1 << 20)
        while n := connection.recv_into(room):
            count += n
        if count != total:
            raise Failed(f"{count} bytes of {total} came over TCP")
        return total / (time.time() - began)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Namespaces:
    """Made by "with", and gone at its end."""

    def __init__(self, name):
        self.names = [name, name + "-peer"]
        self.container, self.peer = (f"/run/netns/{each}" for each in self.names)

    def __enter__(self):
        inner, outer = self.names
        ip("netns", "add", inner)
        ip("netns", "add", outer)
        ip("-n", inner, "link", "add", "eth0", "type", "veth", "peer", "name", "peer0",
           "netns", outer)
        ip("-n", inner, "addr", "add", ADDRESS + "/24", "dev", "eth0")
        ip("-n", outer, "addr", "add", "198.51.100.1/24", "dev", "peer0")
        ip("-n", inner, "link", "set", "eth0", "up")
        ip("-n", outer, "link", "set", "peer0", "up")
        return self

    def __exit__(self, *_):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def socket(self):
        """A socket of the peer's: a thread enters its namespace for that, and ends."""
        found = []

        def make():
            with open(self.peer, "rb") as file:
                if ctypes.CDLL(None).setns(file.fileno(), CLONE_NEWNET) == 0:
                    found.append(socket.socket())

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not found:
            raise Failed("a network namespace cannot be entered")
        found[0].settimeout(SECONDS)
        return found[0]

    def connect(self, port):
        """As soon as somebody listens there."""
        end = time.time() + SECONDS
        while True:
            connection = self.socket()
            try:
                connection.connect((ADDRESS, port))
                return connection
            except OSError as error:
                connection.close()
                if time.time() > end:
                    raise Failed(f"nobody listens in the container: {error}") from error
                time.sleep(0.05)

