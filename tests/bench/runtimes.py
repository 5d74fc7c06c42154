"""The runtimes that the benchmark compares, each as its command line for one bundle."""
import datetime
import json
import os
import re
import shutil
import subprocess

from host import Failed, Process, descendants, read, reap
from plain import PlainMachine, make_initrd

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SECONDS = 120  # for one command; a virtual machine without KVM on a busy host takes its time
LOG_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class Runtime:
    """An OCI runtime with a root and bundles of its own below a directory."""

    options = []
    is_kata = False
    is_plain = False
    has_network = True

    def __init__(self, name, program, directory):
        self.name, self.program = name, program
        self.directory = os.path.join(directory, name)
        self.root = os.path.join(self.directory, "root")
        self.containers = set()
        os.makedirs(self.root)

    def bundle(self, *command, netns=None):
        """A bundle that runs the command in busybox, in the network namespace of that path."""
        path = os.path.join(self.directory, f"bundle-{'-'.join(command).replace('/', '_')}")
        if not os.path.isdir(path):
            base = os.path.join(self.directory, "base")
            subprocess.run([os.path.join(TOP, "guest/busybox-bundle"), base, "--", *command],
                           check=True)
            with open(os.path.join(base, "config.json"), encoding="utf-8") as file:
                config = json.load(file)
            config["root"]["path"] = os.path.join(base, "rootfs")
            for namespace in config["linux"]["namespaces"]:
                if namespace["type"] == "network" and netns is not None:
                    namespace["path"] = netns
            os.mkdir(path)
            with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as file:
                json.dump(config, file)
        return path

    def start(self, *words, **streams):
        return Process([self.program, *self.global_options(), *words], **streams)

    def do(self, *words):
        """Runs a verb: seconds, and seconds of CPU."""
        return self.start(*words).wait(SECONDS)

    def global_options(self):
        return ["--root", self.root, *self.options]

    def run(self, ident, *words):
        self.containers.add(ident)
        return self.do("run", "--bundle", *words, ident)

    def delete(self, ident, *options):
        result = self.do("delete", *options, ident)
        self.containers.discard(ident)
        reap()
        return result

    def clean_up(self):
        """Takes away what a failure left."""
        for ident in list(self.containers):
            try:
                self.delete(ident, "--force")
            except Failed:
                pass


class Kata(Runtime):
    """kata-runtime, with a log of each component that tells when it did what."""

    is_kata = True
    qemu_words = None  # of its last machine

    def __init__(self, name, program, directory, link="virtio-serial"):
        super().__init__(name, program, directory)
        self.logs = os.path.join(self.directory, "logs")
        self.config = os.path.join(self.directory, "configuration.json")
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({"hypervisor": {"agent_link": link},
                       "runtime": {"log_target": "file", "log_dir": self.logs}}, file)

    def global_options(self):
        return [*super().global_options(), "--kata-config", self.config]

    def sandbox(self, ident):
        return os.path.basename(os.readlink(os.path.join(self.root, ident)))

    def log(self, ident, component, sentence):
        """The last record with that sentence, of this round: its time and its text."""
        text = read(os.path.join(self.logs, self.sandbox(ident), component + ".log"))
        for line in reversed(text.split("\n")):
            if sentence in line:
                when = datetime.datetime.strptime(re.match(r"time=(\S+)", line)[1], LOG_TIME)
                return when.replace(tzinfo=datetime.timezone.utc).timestamp(), line
        raise Failed(f"{component}.log of {ident} does not say: {sentence}")

    def processes(self, ident):
        """Those of the virtual machine by name: monitor, worker, qemu, virtiofsd."""
        line = self.log(ident, "runtime", "container created")[1]
        found = {"shim": [int(re.search(r"\bshim=(\d+)", line)[1])]}
        for pid, words in descendants(int(re.search(r"\bmonitor=(\d+)", line)[1])):
            name = words[1] if words[0] == "kata-proxy" else os.path.basename(words[0])
            found.setdefault(name.split("-")[0], []).append(pid)
        return found


    def netmon(self, ident):
        """The process that follows its network."""
        with open(os.path.join(self.root, ident, "state.json"), encoding="utf-8") as file:
            return json.load(file)["netmon"]["pid"]

    def note_qemu(self, ident):
        """For who wants a QEMU like ours."""
        pid = self.processes(ident)["qemu"][0]
        self.qemu_words = read(f"/proc/{pid}/cmdline").split("\0")


class Plain:
    """QEMU with user networking, as kata's runs; it has no containers."""

    name, is_kata, is_plain = "qemu-user", False, True

    def __init__(self, kata, directory):
        self.kata, self.directory = kata, directory

    def machine(self, into, out):
        share = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(self.kata.program))),
                             "share/kata-containers")
        initrd = os.path.join(self.directory, "plain-initrd")
        if self.kata.qemu_words is None:
            raise Failed("no machine of ours ran before")
        make_initrd(initrd, os.path.join(share, "kata-containers-initrd.img"), into, out)
        return PlainMachine(self.kata.qemu_words, os.path.join(share, "vmlinux.container"), initrd)

    def clean_up(self):
        """Its machine ends with each measurement."""


class Runsc(Runtime):
    has_network = False
    options = ["--network=none"]


def find(kata, directory):
    """Those that this host has, kata-runtime first, with each link to its agent."""
    found = [Kata("kata", kata, directory),
             Kata("kata-vsock", kata, directory, "vhost-user-vsock")]
    for name, kind in (("runc", Runtime), ("runsc", Runsc)):
        program = shutil.which(name)
        if program is not None:
            found.append(kind(name, program, directory))
    found.append(Plain(found[0], directory))
    return found
