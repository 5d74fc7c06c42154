"""Processes of this host, for the benchmark: starting them, their CPU time and their memory."""
import ctypes
import os
import re
import select
import signal
import time

NULL = os.open("/dev/null", os.O_RDWR)
PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """A measurement cannot be made; the text says why."""


def become_subreaper():
    """What the runtimes leave running is ours to reap, as it is a container manager's."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise Failed("prctl(PR_SET_CHILD_SUBREAPER) failed")


def reap():
    """Reaps what has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] > 0:
            pass
    except ChildProcessError:
        pass


class Process:
    """A program that runs; posix_spawn(3) keeps our own pages out of what it costs."""

    def __init__(self, argv, stdin=NULL, stdout=NULL, stderr=NULL):
        self.argv = argv
        actions = [(os.POSIX_SPAWN_DUP2, fd, number)
                   for number, fd in enumerate((stdin, stdout, stderr))]
        self.began = time.time()
        self.pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)

    def wait(self, seconds):
        """Waits for its end, which must be a good one: seconds it took, and CPU seconds of it and
        of the children that it has waited for."""
        fd = os.pidfd_open(self.pid)
        try:
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            if not poller.poll(seconds * 1000):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise Failed(f"not done in {seconds} s: {' '.join(self.argv)}")
            took = time.time() - self.began
        finally:
            os.close(fd)
        _, status, usage = os.wait4(self.pid, 0)
        if status != 0:
            raise Failed(f"exit status {os.waitstatus_to_exitcode(status)}: {' '.join(self.argv)}")
        return took, usage.ru_utime + usage.ru_stime


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def cpu_seconds(pid):
    """What all living threads of a process have used so far."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # the thread has ended
    return total / 1e9


def memory(pid):
    """Bytes of a process: resident, and its share of them."""
    text = read(f"/proc/{pid}/smaps_rollup")
    return [int(re.search(rf"^{key}: +(\d+) kB", text, re.M)[1]) * 1024 for key in ("Rss", "Pss")]


def descendants(pid):
    """pid and all below it that do not end meanwhile: a list of (pid, words of the command line)."""
    try:
        found = [(pid, read(f"/proc/{pid}/cmdline").split("\0"))]
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in read(f"/proc/{pid}/task/{task}/children").split():
                found += descendants(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return []
    return found
