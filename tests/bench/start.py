# SPDX-License-Identifier: BSD-3-Clause
"""What a process that has nothing to do with libev pays when ours is preloaded into it: `true`, with and without."""

import os
import shutil
import statistics
import time

import report

PAIRS = 200
OBJECTS = ("compat/libev/libtorque_ev.so.1", "compat/libev/torque/libev.so.4")


def run_us(program, environment):
    began = time.monotonic_ns()
    child = os.posix_spawn(program, [program], environment)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"{program}: status {status}")
    return (time.monotonic_ns() - began) / 1e3


def row(program, library, pairs):
    """Each run with the library beside the one right before it."""
    plain, preloaded = {"LC_ALL": "C"}, {"LC_ALL": "C", "LD_PRELOAD": library}
    times = [(run_us(program, plain), run_us(program, preloaded)) for _ in range(pairs)]
    low, middle, high = statistics.quantiles([mine / other for other, mine in times], n=4)
    return {"name": f"true, {os.path.basename(library)} preloaded", "base": "true alone", "unit": "us more",
            "value": statistics.median(mine - other for other, mine in times), "low": low, "ratio": middle, "high": high}


def case(bench):
    rows, build = [], os.path.dirname(os.path.dirname(bench.programs))
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, bench.load_cpus)
    try:
        for library in (os.path.join(build, name) for name in OBJECTS):
            if not os.access(library, os.R_OK):
                print(f"  {library} is not built, left out", flush=True)
                continue
            rows.append(row(shutil.which("true"), library, PAIRS * bench.rounds))
            print(f"  {report.line(rows[-1])}", flush=True)
    finally:
        os.sched_setaffinity(0, everywhere)
    return rows
