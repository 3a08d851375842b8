# SPDX-License-Identifier: BSD-3-Clause
"""The cases against libevent: as those against libev, with ours preloaded before the genuine library; and memcached."""

import os
import re
import statistics
import subprocess
import time

import libev

OURS = "compat/libevent/libtorque_event.so.1"
GOALS = {"there and back": 0.03, "read to write": 0.22}
# Beside libev's own program of the same as well.
WITH_LIBEV = {
    "ring": ("Bytes that pipes pass on", ["ring-100", "ring-1000", "ring-9900", "ring-timeouts"]),
    "cascade": ("One byte through all pipes", ["cascade-100", "cascade-1000", "cascade-9900"]),
    "register": ("9,000 descriptors anew, and a pass", ["register"]),
}
CASES = {
    "toggle": ("Interest changed", ["toggle", "second"]),
    "pass": ("A pass of the loop", ["nothing", "one", "ready"]),
    "active": ("Activated by hand", ["active"]),
    "signal": ("Signals", ["signal"]),
    "bases": ("Whole bases", ["bases"]),
    "timeouts": ("400 timers", ["few-timeouts"]),
    "timers": ("20,000 timers of 1,000,000 that stay", ["timers", "timeouts", "common"]),
}
# Title, mode of the server, load, goal.
LOADS = {
    "64": ("64 bytes, 400 connections", "event", {}, 1.0),
    "1k": ("1 KiB, 400 connections", "event", {"size": 1024}, 1.0),
    "many": ("400 active among 10,000 connections", "event", {"idle": 9600}, 1.0),
    "buffer": ("bufferevents, 64 bytes, 400 connections", "buffer", {}, 0.8),
    "buffer-1k": ("bufferevents, 1 KiB, 400 connections", "buffer", {"size": 1024}, 0.8),
    "buffer-many": ("bufferevents, 400 active among 10,000 connections", "buffer", {"idle": 9600}, 0.8),
}


class Library:
    """Genuine libevent (no file), or ours before it."""
    program = "libevent-bench"

    def __init__(self, file, preload=()):
        self.file = file
        self.preload = [*preload, *([file] if file else [])]

    def counting(self, counter):
        """The same, with what counts system calls."""
        return Library(self.file, [counter])

    def environment(self):
        left = {k: v for k, v in os.environ.items()
                if k not in ("LD_LIBRARY_PATH", "LD_PRELOAD") and not k.startswith("EVENT_")}
        return left | {"LD_PRELOAD": ":".join(self.preload)}

    def check(self, pid):
        """The process has ours mapped, or has not."""
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            mapped = {line.split(maxsplit=5)[5].strip() for line in maps if "/libtorque_event.so" in line}
        wanted = {os.path.realpath(self.file)} if self.file else set()
        if mapped != wanted:
            raise RuntimeError(f"process {pid} has mapped {sorted(mapped)}, not {sorted(wanted)}")


def libraries(bench, missing):
    """Genuine and ours, which the same build made."""
    ours = os.path.join(os.path.dirname(os.path.dirname(bench.programs)), OURS)
    if not os.path.exists(ours):
        raise missing(ours)
    return Library(None), Library(ours)


def with_libev(bench, missing):
    """The same and genuine libev, where its program was built."""
    there = os.access(os.path.join(bench.programs, libev.Library.program), os.X_OK)
    return (*libraries(bench, missing), *([libev.Library(None)] if there else []))


def load_case(mode, load, goal, compare_all, missing):
    def case(bench):
        try:
            genuine, ours = libraries(bench, missing)
        except missing as what:
            print(f"  {what} is not built, left out", flush=True)
            return []
        base = ("libevent", "peer-libevent", ["-m", mode], genuine)
        other = ("torque, before libevent", "peer-libevent", ["-m", mode], ours)
        return compare_all(bench, base, [other], load, bench.server_cpus, {other[0]: goal})
    return case


class Memcached:
    """A running memcached of one thread; a context manager, so that none outlives the runner."""

    def __init__(self, library, port, cpus):
        command = ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "1", "-c", "2000"]
        self.port = port
        self.process = subprocess.Popen(command, env=library.environment(), stderr=subprocess.DEVNULL,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        time.sleep(0.3)
        library.check(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def cpu_ns(self):
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[0])
        return total

    def slice(self, options, cpus, count):
        """CPU and wall time of one operation, ns."""
        before, start = self.cpu_ns(), time.monotonic_ns()
        told = subprocess.run(["memcaslap", "-s", f"127.0.0.1:{self.port}", "-T", "1", "-x", str(count), "-X", "100",
                               *options], stdout=subprocess.PIPE, text=True, timeout=60, check=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, cpus)).stdout
        wall = time.monotonic_ns() - start
        done = sum(int(n) for n in re.findall(r"^cmd_[gs]et: (\d+)$", told, re.M)[-2:])
        rate = re.search(r"TPS: (\d+)", told)
        return {"cpu": (self.cpu_ns() - before) / done, "wall": 1e9 / int(rate.group(1)) if rate else wall / done}


def memcached_case(missing, line):
    def case(bench):
        rows = []
        try:
            genuine, ours = libraries(bench, missing)
            for program in ("memcached", "memcaslap"):
                if not any(os.access(os.path.join(folder, program), os.X_OK) for folder in os.get_exec_path()):
                    raise missing(program)
            for name, options in (("16 connections", ["-c", "16"]), ("400 connections", ["-c", "400"]),
                                  ("400 connections, binary", ["-c", "400", "-B"])):
                measures = {"cpu": libev.Measure(), "wall": libev.Measure()}
                for _ in range(bench.rounds):
                    with Memcached(genuine, 21301, bench.server_cpus) as a, Memcached(ours, 21302, bench.server_cpus) as b, \
                         Memcached(genuine, 21303, bench.server_cpus) as again:
                        slices, end = [[], [], []], time.monotonic() + bench.seconds
                        while time.monotonic() < end or len(slices[0]) < 3:
                            for one, into in zip((a, b, again), slices):
                                into.append(one.slice(options, bench.load_cpus, 20000))
                    for what, measure in measures.items():
                        measure.add(*([s[what] for s in part] for part in slices))
                for what, measure in measures.items():
                    label = "CPU" if what == "cpu" else "time"
                    rows.append(dict(measure.row(f"memcached, {name}, {label} an operation", "ns", "libevent"), goal=1.0))
                    print(f"  {line(rows[-1])}", flush=True)
        except missing as what:
            print(f"  {what} is not there, left out", flush=True)
        except (RuntimeError, OSError, subprocess.SubprocessError, statistics.StatisticsError) as failure:
            print(f"  FAILED: {failure}", flush=True)
        return rows
    return case


def cases(compare_all, missing, line):
    """{name: (title, case)}; missing is raised for a program that is not there, line formats a row."""
    made = {f"libevent-{name}": (f"Beside libevent: {title}", load_case(mode, load, goal, compare_all, missing))
            for name, (title, mode, load, goal) in LOADS.items()}
    made.update({f"libevent-{name}": (f"Beside libevent: {title}",
                                      libev.slices_case(names, missing, line, libraries, "libevent", GOALS))
                 for name, (title, names) in CASES.items()})
    made.update({f"libevent-{name}": (f"Beside libevent and libev: {title}",
                                      libev.slices_case(names, missing, line, with_libev, "libevent", GOALS, "libev"))
                 for name, (title, names) in WITH_LIBEV.items()})
    made["libevent-memcached"] = ("Beside libevent: memcached", memcached_case(missing, line))
    return made
