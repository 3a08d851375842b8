# SPDX-License-Identifier: BSD-3-Clause
"""Places, processes and payloads are those of libev's programs; here is what libevent's libraries look like in them."""
import pathlib
import re
import subprocess
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[2] / "libev/programs"))
import support  # noqa: E402  pylint: disable=wrong-import-position
from support import Failure, Missing, Place, digest, eventually, expect, find  # noqa: E402,F401

support.EV = re.compile(r"(?:^|/)lib(?:torque_event|event(?:_core|_extra|_openssl|_pthreads)?-2\.1)\.so[.0-9]*$")
BOUND = re.compile(r"binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol `(\w+)'")
OURS = "compat/libevent/libtorque_event.so.1"


class Genuine:
    name, variables = "genuine", {}

    def __init__(self):
        left = {name: value for name, value in support.os.environ.items()
                if name not in ("LD_PRELOAD", "LD_LIBRARY_PATH") and not name.startswith("EVENT_")}
        self.base = left

    def environment(self, _trace):
        return self.base | self.variables

    def complaint(self, mapped, _trace):
        """Some end before anybody has looked at their maps; that they use libevent at all is seen in the other run."""
        strange = sorted(path for path in mapped if "torque" in path)
        return f"maps {', '.join(strange)}" if strange else None


class Preloaded(Genuine):
    """Ours before the genuine libraries. The loader writes down what it binds: all of the core must be ours."""
    name = "ours"

    def __init__(self, file, core):
        super().__init__()
        self.file, self.core = file, core
        self.variables = {"LD_PRELOAD": file}

    def environment(self, trace):
        return super().environment(trace) | {"LD_BIND_NOW": "1", "LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": str(trace)}

    def complaint(self, mapped, trace):
        if mapped and support.os.path.realpath(self.file) not in {support.os.path.realpath(path) for path in mapped}:
            return f"maps {', '.join(sorted(mapped)) or 'no libevent'}"
        bound = set()
        for file in trace.parent.glob(trace.name + ".*"):
            bound |= {found for found in BOUND.findall(file.read_text(errors="replace")) if found[2] in self.core}
        strays = {f"{name} of {user} is {found}'s" for user, found, name in bound if found != self.file}
        if strays:
            return "; ".join(sorted(strays))
        return None if bound else "binds nothing of the core"


def libraries(build):
    symbols = pathlib.Path(__file__).resolve().parents[3] / "compat/libevent/torque_event.map"
    core = set(re.findall(r"^\s*(\w+);", re.sub(r"#[^\n]*", "", symbols.read_text()), re.M))
    return [Genuine(), Preloaded(str(pathlib.Path(build).resolve() / OURS), core)]


def command(place, *words, **options):
    """A program without libevent: its output, or a failure with what it said."""
    done = subprocess.run([find(words[0]), *map(str, words[1:])], capture_output=True, cwd=place.folder,
                          timeout=support.PATIENCE, check=False, **options)
    expect(done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return done.stdout
