"""What the benchmark measures. A row of the table is a line of ROWS; a value for it is what a
function marked @measurement yields: the row's key and a number. Each function is called for one
runtime after the other, again and again, and the table shows the medians."""
import functools
import os
import re
import statistics
import subprocess
import threading
import time

import network
from host import Failed, cpu_seconds, memory

SECOND, MEMORY, SIZE, RATE = "s", "memory", "size", "B/s"


# The processes that could have to do with a packet.
NET_PROCESSES = ("qemu", "virtiofsd", "worker", "shim", "netmon")


class Row:
    """target: the most that it should be; of a rate, the least."""

    def __init__(self, key, text, unit, target=None):
        self.key, self.text, self.unit, self.target = key, text, unit, target

    def met(self, value):
        return value >= self.target if self.unit == RATE else value <= self.target


ROWS = [
    Row("run", "run /bin/true, from start to deleted", SECOND),
    Row("run.processes", "  checks, cgroups, network, our processes", SECOND),
    Row("run.hello", "  from QEMU's start to the agent's hello", SECOND),
    Row("run.machine", "  QEMU, firmware, kernel unpacked", SECOND),
    Row("run.guest", "  guest kernel and agent", SECOND),
    Row("run.create", "  rootfs and process made in the guest", SECOND),
    Row("run.start", "  start, /bin/true, its exit code", SECOND),
    Row("run.delete", "  delete", SECOND),
    Row("cpu", "CPU of our host processes for it", SECOND, 0.025),
    Row("cpu.runtime", "  kata-runtime, its children, kata-shim", SECOND),
    Row("cpu.monitor", "  kata-proxy monitor", SECOND),
    Row("cpu.worker", "  kata-proxy worker", SECOND),
    Row("cpu.virtiofsd", "CPU of virtiofsd", SECOND),
    Row("cpu.qemu", "CPU of QEMU", SECOND),
    Row("version", "--version, CPU", SECOND, 0.005),
    Row("state", "state, CPU", SECOND, 0.005),
    Row("exec", "exec /bin/true", SECOND, 0.3),
    Row("exec.cpu", "  CPU of our host processes started for it", SECOND),
    Row("stdout", "stdout of an exec", RATE, 20e6),
    Row("stdout.worker", "  CPU of the worker for a MB of it", SECOND),
    Row("stdout.qemu", "  CPU of QEMU for a MB of it", SECOND),
    Row("stdin", "stdin of an exec", RATE),
    Row("stdin.worker", "  CPU of the worker for a MB of it", SECOND),
    Row("stdin.qemu", "  CPU of QEMU for a MB of it", SECOND),
    Row("pipe", "a pipe between two processes, without any link", RATE),
    Row("pipe.qemu", "  CPU of QEMU for a MB of it", SECOND),
    Row("ping", "round trip through an exec", SECOND),
    Row("ping.loaded", "  beside stdin of another one", SECOND, 0.002),
    Row("net.in", "TCP into the container", RATE),
    *(Row(f"net.in.{name}", f"  CPU of {name} for a MB of it", SECOND) for name in NET_PROCESSES),
    Row("net.out", "TCP out of the container", RATE),
    *(Row(f"net.out.{name}", f"  CPU of {name} for a MB of it", SECOND) for name in NET_PROCESSES),
    Row("pss", "PSS of all proxy and shim processes", MEMORY, 3 << 20),
    Row("pss.monitor", "  PSS of the monitor", MEMORY),
    Row("pss.worker", "  PSS of the worker", MEMORY),
    Row("pss.shim", "  PSS of the shim", MEMORY),
    Row("pss.virtiofsd", "PSS of virtiofsd, two processes", MEMORY),
    Row("pss.qemu", "PSS of QEMU, the guest's memory in it", MEMORY),
    Row("rss.monitor", "RSS of the monitor", MEMORY),
    Row("rss.worker", "RSS of the worker", MEMORY),
    Row("rss.shim", "RSS of the shim", MEMORY),
    Row("rss.virtiofsd", "RSS of virtiofsd, two processes", MEMORY),
    Row("rss.qemu", "RSS of QEMU", MEMORY),
    Row("confine.monitor", "confinement of kata-proxy's monitor", SECOND, 0.0015),
    Row("confine.worker", "confinement of kata-proxy's worker", SECOND, 0.0015),
    Row("confine.shim", "confinement of kata-shim", SECOND, 0.0015),
    Row("confine.decoder", "confinement of the decoder", SECOND, 0.0015),
    Row("size.runtime", "size of the runtime", SIZE),
    Row("size.proxy", "size of kata-proxy", SIZE),
    Row("size.shim", "size of kata-shim", SIZE),
    Row("size.agent", "size of kata-agent", SIZE, 2e6),
    Row("size.initrd", "size of the guest's initrd", SIZE),
]

measurements = []


def measurement(function):
    measurements.append(function)
    return function


def containers_only(function):
    """A measurement that a plain virtual machine has nothing to do with."""
    @functools.wraps(function)
    def checked(runtime, options):
        if not runtime.is_plain:
            yield from function(runtime, options)
    return checked


def is_kata(runtime):
    return runtime.is_kata


# --- a whole life -------------------------------------------------------------------------------

@measurement
@containers_only
def whole_life(runtime, _):
    """Kept after its end, so that its processes can be asked what they used, then deleted."""
    bundle = runtime.bundle("/bin/true")
    if not is_kata(runtime):
        took, cpu = runtime.run("life", bundle)
        runtime.containers.discard("life")
        yield "run", took
        yield "cpu", cpu
        return
    began = time.time()
    run_took, run_cpu = runtime.run("life", bundle, "--keep")
    yield from phases(runtime, began, run_took)
    used = {name: sum(map(cpu_seconds, pids)) for name, pids in runtime.processes("life").items()
            if name != "shim"}
    delete_took, delete_cpu = runtime.delete("life")
    used["runtime"] = run_cpu + delete_cpu
    yield "run", run_took + delete_took
    yield "run.delete", delete_took
    yield "cpu", used["runtime"] + used["monitor"] + used["worker"]
    for name, seconds in used.items():
        yield "cpu." + name, seconds


def phases(runtime, began, took):
    """The parts of a run, from the times of its log records."""
    launched, _ = runtime.log("life", "proxy", "the VM's processes run")
    link, _ = runtime.log("life", "proxy", "the agent answers")
    created, _ = runtime.log("life", "runtime", "container created")
    uptime = int(re.search(r"\buptime_ms=(\d+)", runtime.log("life", "agent", "link is up")[1])[1])
    yield "run.processes", launched - began
    yield "run.hello", link - launched
    yield "run.machine", link - launched - uptime / 1000
    yield "run.guest", uptime / 1000
    yield "run.create", created - link
    yield "run.start", began + took - created


# --- commands -----------------------------------------------------------------------------------

@measurement
@containers_only
def version(runtime, _):
    yield "version", min(runtime.do("--version")[1] for _ in range(5))


@measurement
@containers_only
def living(runtime, options):
    """All that needs a container which runs."""
    with network.Namespaces(f"kata-bench-{os.getpid()}") as net:
        netns = net.container if runtime.has_network else None
        runtime.run("live", runtime.bundle("sleep", "3600", netns=netns), "--detach")
        if is_kata(runtime):
            runtime.note_qemu("live")
        yield from commands_and_streams(runtime, options)
        if netns is not None:
            yield from network_rows(runtime, options.bytes, net)
        if is_kata(runtime):
            yield from memory_rows(runtime)
        runtime.delete("live", "--force")


def commands_and_streams(runtime, options):
    yield "state", min(runtime.do("state", "live")[1] for _ in range(5))
    for _ in range(3):
        took, cpu = runtime.do("exec", "live", "/bin/true")
        yield "exec", took
        yield "exec.cpu", cpu
    for name, rate in (("stdout", read_rate), ("stdin", write_rate), ("pipe", pipe_rate)):
        before = link_cpu(runtime)
        yield name, rate(runtime, options.bytes)
        for process, seconds in link_cpu(runtime).items():
            if name != "pipe" or process == "qemu":
                yield f"{name}.{process}", (seconds - before[process]) / (options.bytes / 1e6)
    yield "ping", round_trip(runtime)
    yield "ping.loaded", loaded_round_trip(runtime, options.bytes)


def network_rows(runtime, total, net):
    """One connection that is filled, from a namespace beside the container's and to it."""
    blocks = total // BLOCK
    for key, program, exchange in (("net.in", network.INTO, network.write),
                                   ("net.out", f"{network.OUT}{blocks}", network.read)):
        process = runtime.start("exec", "live", "sh", "-c", f"exec nc -l -p 9000 {program}")
        connection = net.connect(9000)
        before = network_cpu(runtime)
        yield key, exchange(connection, blocks * BLOCK)
        for name, seconds in network_cpu(runtime).items():
            yield f"{key}.{name}", (seconds - before[name]) / (blocks * BLOCK / 1e6)
        process.wait(SECONDS)


def network_cpu(runtime):
    if not is_kata(runtime):
        return {}
    processes = runtime.processes("live")
    processes["netmon"] = [runtime.netmon("live")]
    return {name: sum(map(cpu_seconds, processes[name])) for name in NET_PROCESSES}


@measurement
def user_network(runtime, options):
    """The same with QEMU's user networking and nothing of ours."""
    if not runtime.is_plain:
        return
    blocks = options.bytes // BLOCK
    with runtime.machine(network.INTO, f"{network.OUT}{blocks}") as machine:
        for number, key, exchange in ((0, "net.in", network.write), (1, "net.out", network.read)):
            connection = machine.connect(number)
            before = cpu_seconds(machine.process.pid)
            yield key, exchange(connection, blocks * BLOCK)
            used = cpu_seconds(machine.process.pid) - before
            yield key + ".qemu", used / (blocks * BLOCK / 1e6)


def memory_rows(runtime):
    total = 0
    for name, pids in runtime.processes("live").items():
        rss, pss = map(sum, zip(*map(memory, pids)))
        yield "rss." + name, rss
        yield "pss." + name, pss
        if name in ("monitor", "worker", "shim"):
            total += pss
    yield "pss", total


@measurement
def confinement(runtime, _):
    """Namespaces, root, drop and filter; by a program that "make bench" builds and names."""
    program = os.environ.get("KATA_CONFINE")
    if program is None or not is_kata(runtime):
        return
    told = subprocess.run([program], capture_output=True, check=True, text=True, timeout=60)
    for line in told.stdout.splitlines():
        name, seconds = line.split()
        yield "confine." + name, float(seconds)


def link_cpu(runtime):
    """What the two processes at the link to the agent have used so far."""
    if not is_kata(runtime):
        return {}
    processes = runtime.processes("live")
    return {name: sum(map(cpu_seconds, processes[name])) for name in ("worker", "qemu")}


# --- streams ------------------------------------------------------------------------------------

BLOCK = 65536
SECONDS = 300


def read_rate(runtime, total):
    """Bytes in a second from the first to the last."""
    ours, theirs = os.pipe()
    process = runtime.start("exec", "live", "dd", "if=/dev/zero", f"bs={BLOCK}",
                            f"count={total // BLOCK}", stdout=theirs)
    os.close(theirs)
    block = bytearray(1 << 20)
    count = first = os.readv(ours, [block])
    began = ended = time.time()
    while (n := os.readv(ours, [block])) > 0:
        count += n
        ended = time.time()
    os.close(ours)
    process.wait(SECONDS)
    if count != total:
        raise Failed(f"{count} bytes of {total} came from stdout")
    return (count - first) / max(ended - began, 1e-6)


def write_rate(runtime, total):
    """Bytes in a second, from when the process is there until it has read all."""
    (input_theirs, input_ours), (output_ours, output_theirs) = os.pipe(), os.pipe()
    process = runtime.start("exec", "live", "sh", "-c", f"echo; dd of=/dev/null bs={BLOCK}; echo",
                            stdin=input_theirs, stdout=output_theirs)
    os.close(input_theirs)
    os.close(output_theirs)
    os.read(output_ours, 1)
    began = time.time()
    writer = threading.Thread(target=write_all, args=(input_ours, total))
    writer.start()
    arrived = os.read(output_ours, 1) == b"\n"
    took = time.time() - began
    writer.join()
    os.close(output_ours)
    process.wait(SECONDS)
    if not arrived:
        raise Failed("the process ended before it had read all of stdin")
    return total / took


def pipe_rate(runtime, total):
    """The same bytes from one process of the container to another: what streams cost in there."""
    output_ours, output_theirs = os.pipe()
    process = runtime.start("exec", "live", "sh", "-c", f"echo; dd if=/dev/zero bs={BLOCK} "
                            f"count={total // BLOCK} | dd of=/dev/null bs={BLOCK}; echo",
                            stdout=output_theirs)
    os.close(output_theirs)
    os.read(output_ours, 1)
    began = time.time()
    ended = os.read(output_ours, 1) == b"\n"
    took = time.time() - began
    os.close(output_ours)
    process.wait(SECONDS)
    if not ended:
        raise Failed("the process ended too early")
    return total / took


PINGS = 200


def round_trip(runtime, wanted=lambda: True):
    """The median of small writes to cat in an exec and back, as long as wanted() says, at most."""
    (input_theirs, input_ours), (output_ours, output_theirs) = os.pipe(), os.pipe()
    process = runtime.start("exec", "live", "cat", stdin=input_theirs, stdout=output_theirs)
    os.close(input_theirs)
    os.close(output_theirs)
    times = []
    for _ in range(PINGS):
        began = time.perf_counter()
        os.write(input_ours, bytes(32))
        if len(os.read(output_ours, 32)) != 32:
            raise Failed("the process did not echo 32 bytes")
        times.append(time.perf_counter() - began)
        if not wanted():
            break
    os.close(input_ours)
    process.wait(SECONDS)
    os.close(output_ours)
    return statistics.median(times[1:] or times)  # the first one waits for the process


def loaded_round_trip(runtime, total):
    """The same while another exec's stdin is filled: a few bytes must not wait behind many."""
    rates = []
    bulk = threading.Thread(target=lambda: rates.append(write_rate(runtime, total)))
    bulk.start()
    try:
        return round_trip(runtime, bulk.is_alive)
    finally:
        bulk.join()
        if not rates:
            raise Failed("the bulk beside it failed")


def write_all(fd, total):
    block = bytes(BLOCK)
    try:
        for _ in range(total // BLOCK):
            os.write(fd, block)
    except BrokenPipeError:
        pass  # the reader tells
    finally:
        os.close(fd)


# --- sizes --------------------------------------------------------------------------------------

@measurement
@containers_only
def sizes(runtime, _):
    yield "size.runtime", os.path.getsize(runtime.program)
    if not is_kata(runtime):
        return
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(runtime.program)))
    for name in ("proxy", "shim", "agent"):
        yield "size." + name, os.path.getsize(f"{prefix}/libexec/kata-containers/kata-{name}")
    yield "size.initrd", os.path.getsize(f"{prefix}/share/kata-containers/kata-containers-initrd.img")
