# SPDX-License-Identifier: BSD-3-Clause
"""What the scenarios of this folder share: the libraries to run on, processes that are looked into, and payloads."""
import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

PATIENCE = 30  # seconds until something that should happen is given up; never a measure
EV = re.compile(r"(?:^|/)(?:libev|libtorque_ev)\.so[.0-9]*$")
LOADED = re.compile(r"calling init: (\S+)$", re.M)
BOUND = re.compile(r"binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol `(ev_\w+)'")


class Failure(Exception):
    """Something is not as it must be, whatever the library."""


class Missing(Exception):
    """A program that is not installed: the scenario cannot run."""


def expect(condition, what):
    if not condition:
        raise Failure(what)


def eventually(condition, what):
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        expect(time.monotonic() < end, f"not within {PATIENCE} s: {what}")
        time.sleep(0.01)
    return result


def heed_signals():
    """A shell's background jobs ignore some signals, and so would all programs started here."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class Library:
    """One way for a libev to get into a process."""

    def __init__(self, name, variables, mapped):
        self.name = name
        self.variables = variables
        self.mapped = {os.path.realpath(file) for file in mapped}

    def environment(self, trace):
        """The loader writes down what it loads: some programs end before anybody has looked at their maps."""
        env = {name: value for name, value in os.environ.items()
               if name not in ("LD_PRELOAD", "LD_LIBRARY_PATH", "LIBEV_FLAGS")}
        env |= {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(trace)}
        if len(self.mapped) > 1:  # the genuine one is there too: the loader says which of the two is used
            env |= {"LD_DEBUG": "libs,bindings", "LD_BIND_NOW": "1"}
        return env | self.variables

    def complaint(self, mapped, trace):
        told = "".join(file.read_text(errors="replace") for file in sorted(trace.parent.glob(trace.name + ".*")))
        mapped = mapped | {os.path.realpath(path) for path in LOADED.findall(told) if EV.search(path)}
        if mapped != self.mapped:
            return f"maps {', '.join(sorted(mapped)) or 'no libev'}, not {', '.join(sorted(self.mapped))}"
        if len(self.mapped) == 1:
            return None
        bound = BOUND.findall(told)
        ours = self.variables["LD_PRELOAD"]
        strays = {symbol for user, found, symbol in bound if found != ours and not EV.search(os.path.realpath(user))}
        if strays:
            return f"uses another library's {', '.join(sorted(strays))}"
        return None if bound else "binds no function of libev"


def genuine_library():
    listed = subprocess.run([find("ldconfig"), "-p"], capture_output=True, text=True, check=True).stdout
    found = [line.split("=>")[1].strip() for line in listed.splitlines() if line.strip().startswith("libev.so.4 ")]
    if not found:
        raise Missing("libev.so.4")
    return found[0]


def libraries(genuine, build):
    """The genuine library, and ours by LD_LIBRARY_PATH and LD_PRELOAD of the drop-in, and by LD_PRELOAD of the shim."""
    dropin = os.path.join(build, "compat/libev/torque/libev.so.4")
    shim = os.path.join(build, "compat/libev/libtorque_ev.so.1")
    return [Library("genuine", {}, [genuine]),
            Library("path", {"LD_LIBRARY_PATH": os.path.dirname(dropin)}, [dropin]),
            Library("preload", {"LD_PRELOAD": dropin}, [dropin]),
            Library("shim", {"LD_PRELOAD": shim}, [shim, genuine])]


def mapped_libraries(pid):
    try:
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    except OSError:  # it has just ended
        return set()
    paths = {fields[5] for fields in (line.split(maxsplit=5) for line in maps.splitlines()) if len(fields) == 6}
    return {path for path in paths if EV.search(path)}


def children(pid):
    try:
        found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in found]


class Program:
    """A process on one library, in a process group of its own. It is watched for the libraries it maps while it lives."""

    count, lock = 0, threading.Lock()

    def __init__(self, folder, library, command, variables=None, stdin=None, uses_libev=True):
        with Program.lock:
            Program.count += 1
            number = Program.count
        self.name, self.library, self.uses_libev = os.path.basename(command[0]), library, uses_libev
        self.trace = folder / f"loader-{number}"
        self.files = folder / f"{self.name}-{number}.out", folder / f"{self.name}-{number}.err"
        self.mapped, self.status = set(), None
        env = library.environment(self.trace) | (variables or {})
        command = [find(command[0]), *map(str, command[1:])]
        with open(self.files[0], "wb") as out, open(self.files[1], "wb") as err, open(stdin or os.devnull, "rb") as into:
            self.process = subprocess.Popen(command, env=env, cwd=folder, stdin=into, stdout=out, stderr=err,
                                            start_new_session=True)
        self.pid = self.process.pid
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        """Looks often at first, for programs that end soon."""
        pause = 0.001
        while self.process.returncode is None:
            self.mapped |= mapped_libraries(self.pid)
            time.sleep(pause)
            pause = min(pause * 1.3, 0.2)

    def output(self):
        return self.files[0].read_bytes()

    def errors(self):
        return self.files[1].read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def ready_for(self, number):
        """Waits for its handler of a signal, for some time: a library may take signals in another way."""
        end = time.monotonic() + 2
        while time.monotonic() < end:
            caught = re.search(r"^SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{self.pid}/status").read_text(), re.M).group(1)
            if int(caught, 16) >> (number - 1) & 1:
                break
            time.sleep(0.01)

    def send(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its status; a signal's name when one ended it."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            stacks = self.stacks()
            self.kill()
            raise Failure(f"{self.name} did not end within {PATIENCE} s\n{stacks}{self.errors()[-2000:]}") from None
        self.watcher.join()
        self.status = status if status >= 0 else signal.Signals(-status).name
        expect(self.status not in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"),
               f"{self.name} died of {self.status}\n{self.errors()[-2000:]}")
        return self.status

    def stop(self, number=signal.SIGTERM):
        self.send(number)
        return self.wait()

    def kill(self):
        """With all it has started; harmless when it has ended."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.watcher.join()

    def stacks(self):
        if not shutil.which("gdb"):
            return ""
        got = subprocess.run(["gdb", "-q", "-batch", "-p", str(self.pid), "-ex", "thread apply all bt 20"],
                             capture_output=True, text=True, timeout=PATIENCE, check=False)
        return got.stdout[-6000:] + "\n"

    def complaint(self):
        """What is wrong with the library it used; nothing when it never should have used one."""
        if not self.uses_libev:
            return None
        wrong = self.library.complaint(self.mapped, self.trace)
        return wrong and f"{self.name} on {self.library.name}: {wrong}"


def find(program):
    found = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise Missing(program)
    return found


class Place:
    """One run of a scenario: a folder, who runs on what, and the facts found, which must be the same on any library."""

    given, lock = set(), threading.Lock()

    def __init__(self, folder, server, client):
        self.folder, self.server, self.client = pathlib.Path(folder), server, client
        self.programs, self.facts, self.closers = [], [], []

    def fact(self, name, value):
        self.facts.append(f"{name}: {value}")

    def launch(self, library, *command, **options):
        program = Program(self.folder, library, command, **options)
        self.programs.append(program)
        return program

    def start(self, *command, port=None, **options):
        """A server, on the server's library; back when it listens."""
        program = self.launch(self.server, *command, **options)
        if port:
            self.wait_listening(program, port)
        return program

    def run(self, *command, status=0, **options):
        """A client, on the client's library; back when it has ended."""
        program = self.launch(self.client, *command, **options)
        got = program.wait()
        if status is not None:
            expect(got == status, f"{program.name} ended with {got}\n{program.output()[-1500:]}\n{program.errors()[-1500:]}")
        return program

    def wait_listening(self, program, port):
        def listening():
            expect(program.running(), f"{program.name} ended with {program.process.returncode}\n{program.errors()[-2000:]}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        eventually(listening, f"{program.name} listens on {port}")

    def port(self):
        """A free one below those that the kernel gives to clients."""
        while True:
            number = random.randrange(12000, 32000)
            with Place.lock, socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                try:
                    tcp.bind(("127.0.0.1", number))
                    udp.bind(("127.0.0.1", number))
                except OSError:
                    continue
                if number not in Place.given:
                    Place.given.add(number)
                    return number

    def payload(self, name, size):
        """A file of the same bytes in every run."""
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(random.Random(name).randbytes(size))
        return file

    def certificate(self):
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        subprocess.run([find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-days", "2", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return key, certificate

    def keep(self, closer):
        """Something to close at the end, whatever happens."""
        self.closers.append(closer)
        return closer

    def end(self):
        """Ends what still runs. Returns what was wrong with the libraries used."""
        for program in self.programs:
            program.kill()
        for closer in reversed(self.closers):
            closer.close()
        return [wrong for program in self.programs if (wrong := program.complaint())]


def digest(data):
    return f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()[:16]}"
