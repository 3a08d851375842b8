# SPDX-License-Identifier: BSD-3-Clause
"""The cases against libev: programs built for the genuine library, run on it and on the one that stands in for it.

Three processes of a program live side by side: genuine, ours, and genuine once more. Each measures a slice of some ten
milliseconds in turn, and a slice of ours is compared with the genuine ones before and after it. Which library a process
really mapped is read from /proc before anything of it counts.
"""

import contextlib
import json
import os
import statistics
import subprocess
import time

import start

DROP_IN = "compat/libev/torque/libev.so.4"
# The share of genuine that was aimed at; 1.00 where no other is named.
GOALS = {"read to write, ev_io_set": 0.91, "read to write, ev_io_modify": 0.91, "there and back, ev_io_set": 0.23}
CASES = {
    "ring": ("Bytes that pipes pass on", ["ring-100", "ring-1000", "ring-9900", "ring-timeouts"]),
    "cascade": ("One byte through all pipes", ["cascade-100", "cascade-1000", "cascade-9900"]),
    "register": ("9,000 descriptors anew, and a pass", ["register"]),
    "toggle": ("Interest changed, 1,000 quiet descriptors a pass", ["toggle"]),
    "pass": ("A pass of the loop", ["nothing", "one", "hooked", "ready"]),
    "idle": ("15,000 idle watchers", ["idle"]),
    "signal": ("Signals", ["signal"]),
    "async": ("ev_async", ["async", "trip"]),
    "loops": ("Whole loops", ["loops"]),
    "timers": ("20,000 timers of 1,000,000 that stay", ["timers", "timeouts"]),
}
# Title, mode of the server, load.
LOADS = {
    "few": ("64 bytes, 10 connections", "io", {"connections": 10}),
    "64": ("64 bytes, 400 connections", "io", {}),
    "1k": ("1 KiB, 400 connections", "io", {"size": 1024}),
    "many": ("400 active among 10,000 connections", "io", {"idle": 9600}),
    "timeout": ("400 among 10,000 connections, each with a timeout", "timeout", {"idle": 9600}),
    "turns": ("400 connections, each watched to read and to write in turns", "turns", {}),
}


class Library:
    """Genuine libev (folder None: where the loader finds it) or the one in a folder."""
    program = "libev-bench"

    def __init__(self, folder, preload=()):
        self.folder = folder
        self.preload = list(preload)

    def environment(self):
        left = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "LD_PRELOAD")}
        if self.folder:
            left["LD_LIBRARY_PATH"] = self.folder
        if self.preload:
            left["LD_PRELOAD"] = ":".join(self.preload)
        return left

    def counting(self, counter):
        """The same, with what counts system calls."""
        return Library(self.folder, [counter])

    def check(self, pid):
        """The process has one libev, and it is this one."""
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            mapped = {line.split(maxsplit=5)[5].strip() for line in maps if "/libev.so" in line}
        ours = os.path.realpath(os.path.join(self.folder, "libev.so.4")) if self.folder else None
        if len(mapped) != 1 or (ours and mapped != {ours}):
            raise RuntimeError(f"process {pid} has mapped {sorted(mapped)}, not {ours or 'one genuine libev'}")
        if not ours and any("torque" in os.path.dirname(path) for path in mapped):
            raise RuntimeError(f"process {pid} has mapped {sorted(mapped)} where genuine libev was wanted")


def libraries(bench, missing):
    """Genuine and ours, which the same build made."""
    ours = os.path.join(os.path.dirname(os.path.dirname(bench.programs)), DROP_IN)
    if not os.path.exists(ours):
        raise missing(ours)
    return Library(None), Library(os.path.dirname(ours))


class Slicer:
    """A running program of cases; a context manager, so that none outlives the runner."""

    def __init__(self, bench, library, case, cpus):
        self.process = subprocess.Popen(bench.command(library.program, [case]), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=library.environment(), text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.library = library

    def __enter__(self):
        if not self.process.stdout.readline():
            raise RuntimeError(f"{self.library.program} did not start")
        self.library.check(self.process.pid)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def slice(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line.endswith("}\n"):
            raise RuntimeError(f"{self.library.program} ended with {self.process.wait()}")
        return json.loads(line)


def take_turns(running, seconds):
    """[slices of each]; the first of a process counts only for what is said once, which is its memory."""
    slices = [[one.slice()] for one in running]
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(slices[0]) < 4:
        for one, into in zip(running, slices):
            into.append(one.slice())
    return slices


def beside(mine, base):
    """Each value of mine beside the mean of the base's values before and after it, or before it at the end."""
    return [value / statistics.mean(base[i:i + 2]) for i, value in enumerate(mine) if any(base[i:i + 2])]


class Measure:
    """What all slices of one measure came to."""

    def __init__(self):
        self.values = ([], [], [], [])
        self.ratios, self.again, self.third = [], [], []

    def add(self, genuine, ours, again, third=()):
        for all_of_it, part in zip(self.values, (genuine, ours, again, third)):
            all_of_it += part
        self.ratios += beside(ours, genuine)
        self.again += beside(again, genuine)
        self.third += beside(ours, third)

    def row(self, name, unit, base="libev"):
        row = {"name": name, "value": statistics.median(self.values[1]), "unit": unit, "base": base,
               "base_value": statistics.median(self.values[0])}
        if len(self.ratios) > 1:
            row["low"], row["ratio"], row["high"] = statistics.quantiles(self.ratios, n=4)
        elif self.ratios:
            row["low"] = row["ratio"] = row["high"] = self.ratios[0]
        if self.again:
            row["itself"] = statistics.median(self.again)
        if len(self.third) > 1:
            row["third_value"] = statistics.median(self.values[3])
            row["third_low"], row["third_ratio"], row["third_high"] = statistics.quantiles(self.third, n=4)
        return row


def measure_case(bench, libraries_of_it, case, cpus, measures):
    """Genuine, ours, genuine again, and a third library that has the same case, if there is one."""
    genuine, ours, *third = libraries_of_it
    with contextlib.ExitStack() as running:
        slices = take_turns([running.enter_context(Slicer(bench, library, case, cpus))
                             for library in (genuine, ours, genuine, *third)], bench.seconds)
    for name in slices[0][0]:
        once = name.startswith("memory")
        parts = [[s[name] for s in (part[:1] if once else part[1:]) if name in s] for part in slices]
        if all(parts):
            measures.setdefault(name, Measure()).add(*parts)


def count_calls(bench, pair, case, cpus):
    """{measure: [epoll_ctl, all system calls] of genuine and ours}, in a run of its own."""
    counted = []
    for library in pair:
        counter = os.path.join(bench.programs, "bench-calls.so")
        with Slicer(bench, library.counting(counter), case, cpus) as one:
            one.slice()
            counted.append(one.slice())
    return {name: (counted[0][name], counted[1].get(name, [])) for name in counted[0]}


def slices_case(names, missing, line, find=libraries, base="libev", goals=None, third=None):
    """third: the name of what find answers beside genuine and ours."""
    goals = GOALS if goals is None else goals

    def case(bench):
        rows = []
        for name in names:
            cpus = bench.load_cpus  # one CPU: where two threads would run is chance otherwise
            try:
                found, measures = find(bench, missing), {}
                for _ in range(bench.rounds):
                    measure_case(bench, found, name, cpus, measures)
                calls = count_calls(bench, found[:2], name, cpus)
            except missing as what:
                print(f"  {name}: {what} is not built, left out", flush=True)
                continue
            except (RuntimeError, OSError) as failure:
                print(f"  {name}: FAILED: {failure}", flush=True)
                continue
            for measure, values in measures.items():
                row = values.row(measure, "bytes" if measure.startswith("memory") else "ns", base)
                row["goal"] = goals.get(measure, 1.0)
                if "third_ratio" in row:
                    row["third"] = third
                if measure in calls:
                    row["base_calls"], row["calls"] = calls[measure]
                rows.append(row)
                print(f"  {line(row)}", flush=True)
        return rows
    return case


def output(bench, library, arguments, cpus):
    command = bench.command("micro-libev", arguments)
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=180, check=True, env=library.environment(),
                          preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    return json.loads(done.stdout)


def check_micro(bench, library):
    """Too short to be looked at while it runs: the loader is asked what it would map."""
    traced = dict(library.environment(), LD_TRACE_LOADED_OBJECTS="1")
    text = subprocess.run(bench.command("micro-libev", []), stdout=subprocess.PIPE, env=traced, check=True,
                          text=True).stdout
    path = next(line.split()[2] for line in text.splitlines() if "libev.so" in line)
    if bool(library.folder) != (os.path.dirname(path) == (library.folder or "")):
        raise RuntimeError(f"micro-libev would map {path}")


def micro_case(arguments, times, label, missing, line):
    """The program of the other micro cases, from start to end, in turns."""
    def case(bench):
        cpus = bench.load_cpus if arguments[0] == "timers" else bench.both_cpus
        results = ([], [], [])
        try:
            genuine, ours = libraries(bench, missing)
            check_micro(bench, genuine)
            check_micro(bench, ours)
            for _ in range(times * bench.rounds):
                for library, into in zip((genuine, ours, genuine), results):
                    into.append(output(bench, library, arguments, cpus))
        except missing as what:
            print(f"  {what} is not built, left out", flush=True)
            return []
        except (RuntimeError, OSError, subprocess.SubprocessError) as failure:
            print(f"  FAILED: {failure}", flush=True)
            return []
        rows = []
        for name in results[0][0]:
            measure = Measure()
            measure.add(*([r[name] for r in part] for part in results))
            rows.append(dict(measure.row(label(name), "ns"), goal=1.0))
            print(f"  {line(rows[-1])}", flush=True)
        return rows
    return case


def load_case(mode, load, compare_all, missing):
    def case(bench):
        try:
            genuine, ours = libraries(bench, missing)
        except missing as what:
            print(f"  {what} is not built, left out", flush=True)
            return []
        server = ["-m", mode]
        base, other = ("libev", "peer-libev", server, genuine), ("torque, in libev's place", "peer-libev", server, ours)
        return compare_all(bench, base, [other], load, bench.server_cpus, {other[0]: 1.0})
    return case


def cases(compare_all, missing, line):
    """{name: (title, case)}; missing is raised for a program that was not built, line formats a row."""
    made = {f"libev-{name}": (f"Beside libev: {title}", load_case(mode, load, compare_all, missing))
            for name, (title, mode, load) in LOADS.items()}
    made.update({f"libev-{name}": (f"Beside libev: {title}", slices_case(names, missing, line))
                 for name, (title, names) in CASES.items()})
    micro = [("crowd", ["timers", "1000000"], 1, "1,000,000 timers, random deadlines", lambda m: m),
             ("dozens", ["timers", "1000"], 3, "1,000 timers, random deadlines", lambda m: m),
             ("first", ["first"], 20, "from nothing to the first event", lambda m: "init to first event"),
             ("post", ["post", "1000000"], 5, "ev_async_send to a loop that is awake", lambda m: "ev_async_send")]
    made.update({f"libev-{name}": (f"Beside libev: {title}", micro_case(arguments, times, label, missing, line))
                 for name, arguments, times, title, label in micro})
    made["libev-start"] = ("Preloaded into a program without libev", start.case)
    return made
