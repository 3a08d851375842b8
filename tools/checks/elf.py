# SPDX-License-Identifier: BSD-3-Clause
"""What a shared object says of itself, and what is asked of the ones that stand in for another library."""
import re
import subprocess


class Report:
    """Counts expectations and keeps what was not as expected."""

    def __init__(self):
        self.passed, self.errors = 0, []

    def expect(self, what, condition, *found):
        self.passed += bool(condition)
        if not condition:
            self.errors.append(f"FAIL {what}{': ' if found else ''}{', '.join(map(str, found))}")

    def same(self, what, ours, theirs):
        for name in sorted(ours.keys() | theirs.keys()):
            self.expect(f"{what}: {name}", ours.get(name) == theirs.get(name), ours.get(name), theirs.get(name))

    def end(self):
        """The status to exit with."""
        print(*self.errors, sep="\n")
        print(f"{self.passed} passed, {len(self.errors)} failed")
        return bool(self.errors) or not self.passed


def output_of(*command):
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


def symbols(library):
    """The dynamic symbols that other objects see or bring: the fields of readelf's lines."""
    lines = [line.split() for line in output_of("readelf", "--dyn-syms", "-W", library).splitlines()]
    return [fields for fields in lines if len(fields) >= 8 and fields[4] in ("GLOBAL", "WEAK")]


def exports(library):
    """{name with its version: (FUNC or OBJECT, visibility, size of an object)}."""
    return {fields[7]: (fields[3], fields[5], int(fields[2], 0) if fields[3] == "OBJECT" else None)
            for fields in symbols(library) if fields[6] not in ("UND", "ABS")}


def wants(library):
    """{name without its version: GLOBAL or WEAK} of what it has from others."""
    return {fields[7].split("@")[0]: fields[4] for fields in symbols(library) if fields[6] == "UND"}


def mapped(symbol_map):
    """The names in a symbol map."""
    return set(re.findall(r"^\s*(\w+);", re.sub(r"#[^\n]*", "", symbol_map.read_text()), re.M))


def linked_well(report, library, soname):
    """Nothing but libtorque and libc comes with it, and nothing of it runs, binds or moves when it should not."""
    dynamic, segments = output_of("readelf", "-dW", library), output_of("readelf", "-lW", library)
    for needed in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        report.expect(f"{library} needs {needed}",
                      re.fullmatch(r"libtorque\.so\.1|libc\.so\.6|libm\.so\.6|ld-linux.*", needed))
    report.expect(f"{library}: SONAME is {soname}", re.search(rf"SONAME.*\[{re.escape(soname)}\]", dynamic))
    report.expect(f"{library} stays loaded", "NODELETE" in dynamic)
    # The one that there is, is the compiler's own.
    report.expect(f"{library} runs nothing when it is loaded", re.search(r"INIT_ARRAYSZ\)\s+8 ", dynamic))
    report.expect(f"{library} binds at load", re.search(r"BIND_NOW|\bNOW\b", dynamic))
    report.expect(f"{library}: no -Bsymbolic", "SYMBOLIC" not in dynamic)
    report.expect(f"{library}: no text relocations", "TEXTREL" not in dynamic)
    report.expect(f"{library}: relocations are read-only", "GNU_RELRO" in segments)
    report.expect(f"{library}: the stack is not executable", re.search(r"GNU_STACK.* RW ", segments))


def looked_up(report, library, datum):
    """Programs have a copy of it; whoever does not look it up writes to another one."""
    relocations = re.findall(rf"(\w+)\s+\w+ {datum}\b", output_of("readelf", "-rW", library))
    report.expect(f"{library}: {datum} is looked up",
                  relocations and all(kind.endswith("_GLOB_DAT") for kind in relocations), *relocations)


def harmless(report, library):
    """Preloaded into a program that has no use for it: no descriptor, no thread, no signal is other than without."""
    for command in (["true"], ["ls", "/proc/self/fd"], ["grep", "-E", "^(Threads|Sig(Blk|Ign|Cgt)):", "/proc/self/status"]):
        without = subprocess.run(command, capture_output=True, text=True, check=False)
        with_it = subprocess.run(["env", f"LD_PRELOAD={library}", *command], capture_output=True, text=True, check=False)
        report.expect(f"{library} preloaded: {' '.join(command)}", (without.returncode, without.stdout, without.stderr) ==
                      (with_it.returncode, with_it.stdout, with_it.stderr), with_it.stdout, with_it.stderr)
