#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""torque-run and torque-stats, as their users see them: what is found in programs of every kind, what is refused, that a
program is the same under it, and that the counters are those of its loops.

usage: run_test.py TORQUE_RUN TORQUE_STATS CC LIBTORQUE_EVENT LIBEV [WORD...]
"""
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

RUN, STATS, CC, EVENT, EV = sys.argv[1:6]
HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60  # seconds until something that should happen is given up; never a measure
NOBODY = 65534
EXPLAIN_NOTHING, UNVERIFIED, REFUSED, FAILED, FORBIDDEN, MISSING = 1, 123, 124, 125, 126, 127
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "TORQUE_"))}


class Skip(Exception):
    """It cannot be tried here."""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def call(*command, **more):
    more = {"env": CLEAN, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": PATIENCE} | more
    return subprocess.run([str(word) for word in command], check=False, **more)


def run(*arguments, **more):
    return call(RUN, *arguments, **more)


def explain(*arguments, **more):
    return call(RUN, "--explain", *arguments, **more)


def is_status(done, status):
    expect(done.returncode == status, f"status {done.returncode}, not {status}; {done.stdout!r} {done.stderr!r}")


def says(done, pattern, stream="stdout"):
    text = getattr(done, stream)
    expect(re.search(pattern, text, re.M), f"no {pattern!r} in {text!r}")


def refused(*arguments, why, status=REFUSED, **more):
    """In one line, the same with --explain, and nothing is run."""
    done = run(*arguments, **more)
    is_status(done, status)
    expect(done.stdout == "", f"it was run: {done.stdout!r}")
    expect(re.fullmatch(rf"torque-run: .*{why}.*\n", done.stderr), f"{why!r} is not what it says: {done.stderr!r}")
    done = explain(*arguments, **more)
    is_status(done, status)
    says(done, rf"^refuses .*{why}")


def until(condition, what):
    for _ in range(PATIENCE * 100):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(what)


def rows(text):
    """Of the table: {column: value} for each loop."""
    lines = [line.split() for line in text.splitlines() if not line.startswith("torque-run:")]
    heads = [i for i, line in enumerate(lines) if line[:2] == ["loop", "pid"]]
    expect(heads, f"no table in {text!r}")
    return [dict(zip(lines[heads[0]], line)) for line in lines[heads[0] + 1:] if len(line) == len(lines[heads[0]])]


def total(table, column, library=None):
    return sum(int(row[column]) for row in table if library in (None, row["library"]))


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def has_epoll(pid):
    try:
        return any("eventpoll" in os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


# ---- Programs ----

class Shop:
    """Builds programs, once each."""

    def __init__(self, folder):
        self.folder, self.built = folder, {}

    def build(self, name, *options, source="loop.c"):
        if name not in self.built:
            path = self.folder / name
            sources = [source] + ["loop_ev.c"] * ("-DWITH_LIBEV=1" in options)
            done = call(CC, "-w", "-O1", "-D_GNU_SOURCE", *[HERE / "programs" / s for s in sources], "-o", path, *options)
            expect(done.returncode == 0, f"{name}: {done.stderr}")
            self.built[name] = path
        return self.built[name]

    def libevent(self, name="on-libevent", *options):
        return self.build(name, "-DWITH_LIBEVENT=1", "-levent_core", *options)

    def libev(self):
        return self.build("on-libev", "-DWITH_LIBEV=1", "-lev")

    def both(self):
        return self.build("on-both", "-DWITH_LIBEVENT=1", "-DWITH_LIBEV=1", "-levent_core", "-lev")

    def neither(self):
        return self.build("on-neither")

    def plugin(self):
        file = self.build("plugin.so", "-DAS_PLUGIN", "-DWITH_LIBEVENT=1", "-shared", "-fPIC", "-levent_core")
        return self.build("on-plugin", f'-DWITH_PLUGIN="{file}"')

    def pretender(self, name, soname, *options):
        """A library of that SONAME in a folder of its own, and the options to link with it."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        self.build(f"{name}/{soname}", "-shared", "-fPIC", f"-Wl,-soname,{soname}", *options, source="pretender.c")
        return folder, ["-Wl,--no-as-needed", folder / soname]

    def copy(self, original, name):
        path = self.folder / name
        shutil.copy(original, path)
        return path

    def forged(self, name, offset, data):
        path = self.copy(self.neither(), name)
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)
        return path

    def script(self, name, *lines):
        path = self.folder / name
        path.write_text("\n".join(str(line) for line in lines) + "\n")
        path.chmod(0o755)
        return path


SHOP = None


def as_root(what):
    if os.geteuid() != 0:
        raise Skip(f"only root can make {what}")
    if os.statvfs(SHOP.folder).f_flag & os.ST_NOSUID:
        raise Skip("the file system is mounted nosuid")


class Running:
    """A program that serves under torque-run."""

    def __init__(self, *arguments, **more):
        self.process = subprocess.Popen([RUN, *map(str, arguments)], env=CLEAN, text=True, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **more)
        expect(self.process.stdout.readline() == "ready\n", "it did not start")
        self.pid = self.process.pid
        self.child = self.child_of(self.pid)

    @staticmethod
    def child_of(pid):
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else pid

    def end(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        output, errors = self.process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess([], self.process.returncode, output, errors)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            if self.child != self.pid:
                try:
                    os.kill(self.child, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.communicate()


# ---- What is found ----

def libevent_is_found_and_ours_is_preloaded():
    done = explain(SHOP.libevent(), "passes", "3")
    is_status(done, 0)
    says(done, r"^library +libevent_core-2\.1\.so\.7 => /\S+ \(libevent_core-2\.1\.so\.7\.\S+\)$")
    says(done, r"^libevent +linked: libevent_core-2\.1\.so\.7 => /")
    says(done, r"^libev +not used$")
    says(done, rf"^preloads +{re.escape(EVENT)}$")
    says(done, rf"^runs +LD_PRELOAD={re.escape(EVENT)} {re.escape(str(SHOP.libevent()))} passes 3$")
    whole = explain(SHOP.build("on-whole-libevent", "-DWITH_LIBEVENT=1", "-levent"))
    is_status(whole, 0)
    says(whole, r"^libevent +linked: libevent-2\.1\.so\.7 => /")


def libev_is_found_and_ours_is_preloaded():
    done = explain(SHOP.libev())
    is_status(done, 0)
    says(done, r"^libev +linked: libev\.so\.4 => /")
    says(done, rf"^preloads +{re.escape(EV)}$")


def with_both_libevent_comes_first():
    done = explain(SHOP.both())
    is_status(done, 0)
    preloads = re.findall(r"^preloads +(\S+)$", done.stdout, re.M)
    expect([os.path.basename(path) for path in preloads] == ["libtorque_event.so.1", "libtorque_ev.so.1"], preloads)


def through_a_library_of_the_programs():
    library = SHOP.build("libuser.so", "-DAS_PLUGIN", "-DWITH_LIBEVENT=1", "-shared", "-fPIC", "-levent_core")
    program = SHOP.build("on-user", "-Wl,--no-as-needed", library)
    says(explain(program), rf"^preloads +{re.escape(EVENT)}$")


def nothing_is_preloaded_without_need():
    done = explain(SHOP.neither())
    is_status(done, EXPLAIN_NOTHING)
    says(done, r"^preloads +nothing")
    done = run(SHOP.neither(), "passes", "1", "7")
    is_status(done, 7)
    expect(re.fullmatch(r"torque-run: .* nothing to preload.*--force\n", done.stderr), done.stderr)


def forced_without_need():
    for which, names in (("libevent", ["libtorque_event.so.1"]), ("libev", ["libev.so.4"]),
                         ("both", ["libtorque_event.so.1", "libtorque_ev.so.1"])):
        done = explain(f"--force={which}", SHOP.neither())
        is_status(done, 0)
        expect([os.path.basename(p) for p in re.findall(r"^preloads +(\S+)$", done.stdout, re.M)] == names, done.stdout)
        is_status(run(f"--force={which}", SHOP.neither(), "passes", "1", "3"), 3)


def by_the_path_and_by_name():
    env = CLEAN | {"PATH": f"/nonexistent:{SHOP.libevent().parent}:/usr/bin:/bin"}
    says(explain("on-libevent", env=env), rf"^program +{re.escape(str(SHOP.libevent()))}$")
    is_status(run("on-libevent", "passes", "1", "5", env=env), 5)
    says(explain("./on-libevent", cwd=SHOP.folder), r"^program +\./on-libevent$")


def scripts_lead_to_their_interpreters():
    program = SHOP.libevent()
    plain = SHOP.script("plain-script", f"#! {program}")
    nested = SHOP.script("nested-script", f"#!{plain}")
    env = CLEAN | {"PATH": f"{program.parent}:/usr/bin:/bin"}
    by_env = SHOP.script("env-script", "#!/usr/bin/env on-libevent")
    split = SHOP.script("split-script", "#!/usr/bin/env -S A=b on-libevent")
    for script in (plain, nested, by_env, split):
        done = explain(script, env=env)
        is_status(done, 0)
        says(done, rf"^by way of +{re.escape(str(script))}$")
        says(done, rf"^program +{re.escape(str(program))}$")
        is_status(run("--verify", script, env=env), 0)
    shell = SHOP.script("shell-script", "#!/bin/sh", f"exec {program} passes 1 6")
    is_status(explain(shell), EXPLAIN_NOTHING)
    is_status(run("--force=libevent", "--verify", shell), 6)
    lost = SHOP.script("lost-script", "#!/nonexistent/interpreter")
    is_status(explain(lost), MISSING)
    is_status(run(lost), MISSING)


def libraries_are_searched_for_as_the_linker_does():
    folder, link = SHOP.pretender("searched", "libpretender.so.1")
    for name, options in (("runpath", ["-Wl,--enable-new-dtags,-rpath,$ORIGIN/searched"]),
                          ("rpath", ["-Wl,--disable-new-dtags,-rpath,${ORIGIN}/searched"])):
        program = SHOP.build(f"by-{name}", *link, *options)
        says(explain(program), r"^library +libpretender\.so\.1 => \S+/searched/libpretender\.so\.1$")
    program = SHOP.build("by-environment", *link)
    done = explain(program)
    says(done, r"^library +libpretender\.so\.1 => not found$")
    says(done, r"^note .*libpretender\.so\.1.* was not found$")
    done = explain(program, env=CLEAN | {"LD_LIBRARY_PATH": f"/nonexistent:{folder}"})
    says(done, r"^library +libpretender\.so\.1 => \S+/searched/libpretender\.so\.1$")


def what_loads_libraries_later_is_noted():
    says(explain(SHOP.plugin()), r"^note .*on-plugin.* \(dlopen\): .*RTLD_DEEPBIND")
    says(explain(SHOP.libevent()), r"\A(?![\s\S]*on-libevent can load)")


def what_lies_beside_is_noted():
    """What a program with a folder of its own will load (firefox and its libxul): linked, a copy inside, neither."""
    folder = SHOP.folder / "own-folder"
    folder.mkdir(exist_ok=True)
    program = SHOP.copy(SHOP.neither(), "own-folder/program")
    done = explain(program)
    expect("beside the program" not in done.stdout, done.stdout)
    SHOP.plugin()
    SHOP.copy(SHOP.built["plugin.so"], "own-folder/liblinked.so")
    SHOP.build("own-folder/libcopy.so", "-shared", "-fPIC", source="pretender.c")
    done = explain(program)
    is_status(done, EXPLAIN_NOTHING)
    says(done, r"^note .*liblinked\.so, beside the program, is linked with libevent: .*--force=libevent")
    says(done, r"^note .*libcopy\.so, beside the program, has a copy of libevent inside")


def what_is_preloaded_already_stays():
    folder, _ = SHOP.pretender("kept", "libkept.so.1")
    before = CLEAN | {"LD_PRELOAD": f"{folder}/libkept.so.1"}
    done = run(SHOP.libevent(), "environment", env=before)
    says(done, rf"^preload={re.escape(EVENT)}:{re.escape(str(folder))}/libkept\.so\.1 stats=$")
    done = run(SHOP.libevent(), "environment", env=CLEAN | {"LD_PRELOAD": EVENT})
    says(done, rf"^preload={re.escape(EVENT)} stats=$")


def printing_is_safe_for_a_shell():
    arguments = ["", "a b", "it's", "$HOME", "x\ny", "\\", "*", "\x1b[1m", "ä", "-n"]
    done = explain(SHOP.libevent(), "arguments", *arguments)
    expect(all(c == "\n" or " " <= c <= "~" for c in done.stdout), repr(done.stdout))
    command = re.search(r"^runs +(.*)$", done.stdout, re.M).group(1)
    again = call("bash", "-c", command)
    expect(again.stdout == "".join(f"[{a}]" for a in arguments), again.stdout)
    strange = SHOP.copy(SHOP.libevent(), "a 'strange'\nname")
    says(explain(strange), r"^program +\$'\S*/a \\'strange\\'\\012name'$")
    is_status(run(strange, "passes", "1", "2"), 2)


# ---- What is refused ----

def static_programs():
    refused(SHOP.build("static", "-static"), why="is statically linked: nothing can be preloaded")
    inside = SHOP.build("static-libevent", "-static", "-DWITH_LIBEVENT=1", "-levent_core")
    refused(inside, why="is statically linked, with libevent inside")
    refused("--force=both", inside, why="is statically linked")
    stripped = SHOP.copy(inside, "static-stripped")
    expect(call("strip", stripped).returncode == 0, "strip")
    refused(stripped, why="is statically linked, with libevent inside")


def copies_inside_a_program():
    link = ["-DWITH_LIBEVENT=1", "-l:libevent_core.a"]
    for name, options in (("inside", []), ("inside-exported", ["-rdynamic", "-Wl,--whole-archive", "-l:libevent_core.a",
                                                              "-Wl,--no-whole-archive"]), ("inside-stripped", ["-s"])):
        program = SHOP.build(name, *options, *link)
        refused(program, why="has a copy of libevent inside")
    says(explain(SHOP.built["inside"]), r"^libevent +a copy, inside ")
    says(explain(SHOP.built["inside-exported"]), r"^libevent +a copy, exported by ")
    # Not by force either: what it has inside is what it calls.
    for name in ("inside", "inside-stripped", "inside-exported"):
        refused("--force=libevent", SHOP.built[name], why="has a copy of libevent inside")
    is_status(explain("--force=libev", SHOP.built["inside"]), 0)
    ev = SHOP.build("inside-libev", "-DWITH_LIBEV=1", "-l:libev.a", "-lm")
    refused(ev, why="has a copy of libev inside")
    refused("--force=libev", ev, why="has a copy of libev inside")


def copies_inside_a_library():
    _, link = SHOP.pretender("copyist", "libcopyist.so.1")
    program = SHOP.build("on-copyist", *link, "-Wl,-rpath,$ORIGIN/copyist")
    refused(program, why=r"libcopyist\.so\.1 has a copy of libevent inside")
    mixed = SHOP.libevent("on-libevent-and-copyist", *link, "-Wl,-rpath,$ORIGIN/copyist")
    done = explain(mixed)
    is_status(done, 0)
    says(done, r"^note .*libcopyist\.so\.1 exports a copy of libevent")


def other_versions():
    for kind, soname in (("libevent", "libevent-2.0.so.5"), ("libevent", "libevent_core-2.2.so.1"), ("libev", "libev.so.3")):
        name = f"version-{soname}"
        _, link = SHOP.pretender(name, soname)
        program = SHOP.build(f"on-{name}", *link, f"-Wl,-rpath,$ORIGIN/{name}")
        refused(program, why=rf"it uses {re.escape(soname)}: only {kind} ")
        is_status(explain(f"--force={kind}", program), 0)


def a_libevent_that_binds_to_itself():
    _, link = SHOP.pretender("selfish", "libevent_core-2.1.so.7", "-Wl,-Bsymbolic-functions")
    refused(SHOP.build("on-selfish", *link, "-Wl,-rpath,$ORIGIN/selfish"), why="-Bsymbolic")
    _, link = SHOP.pretender("open", "libevent_core-2.1.so.7")
    is_status(explain(SHOP.build("on-open", *link, "-Wl,-rpath,$ORIGIN/open")), 0)


def other_machines():
    refused(SHOP.forged("of-32-bits", 4, b"\x01"), why=r"is for another machine \(.*, 32 bits\)")
    refused(SHOP.forged("big-endian", 5, b"\x02"), why="is for another machine")
    refused(SHOP.forged("of-sparc", 18, struct.pack("=H", 43)), why=r"is for another machine \(an unknown machine")


def other_c_libraries():
    program = SHOP.build("on-musl", "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1")
    refused(program, why=r"ld-musl-x86_64\.so\.1 \(musl\): the libraries are for glibc")


def what_is_no_program():
    text = SHOP.script("text", "just text")
    empty = SHOP.folder / "empty"
    empty.write_bytes(b"")
    empty.chmod(0o755)
    cut = SHOP.folder / "cut"
    cut.write_bytes(SHOP.neither().read_bytes()[:70])
    cut.chmod(0o755)
    for path in (text, empty):
        refused(path, why="is neither a program nor a script", status=FORBIDDEN)
    refused(cut, why="is a broken ELF file", status=FORBIDDEN)
    plain = SHOP.copy(SHOP.neither(), "not-executable")
    plain.chmod(0o644)
    refused(plain, why="cannot be executed", status=FORBIDDEN)
    refused(SHOP.folder, why="was not found", status=MISSING)
    refused(SHOP.folder / "absent", why="was not found", status=MISSING)
    refused("absent-from-the-path", why="was not found", status=MISSING)


def damaged_files_do_no_harm():
    original = SHOP.libevent().read_bytes()
    path = SHOP.folder / "damaged"
    for i in range(300):
        data = bytearray(original[:4096] if i % 3 else original)
        for k in range(1 + i % 5):
            at = 16 + (i * 2654435761 + k * 40503 * (i + 1)) % min(len(data) - 24, 0x400 if i % 2 else len(data) - 24)
            data[at:at + 8] = struct.pack("=Q", (i * 0x9e3779b97f4a7c15 + k) % (1 << 64))
        path.write_bytes(data)
        path.chmod(0o755)
        done = explain(path)
        expect(done.returncode in (0, EXPLAIN_NOTHING, REFUSED, FORBIDDEN) and not done.stderr, f"{i}: {done}")


def other_users_programs():
    as_root("a set-user-ID program of another user")
    setuid = SHOP.copy(SHOP.libevent(), "set-user-id")
    os.chown(setuid, NOBODY, NOBODY)
    setuid.chmod(0o4755)
    refused(setuid, why="set-user-ID: LD_PRELOAD is ignored")
    setuid.chmod(0o2755)
    refused(setuid, why="set-group-ID: LD_PRELOAD is ignored")
    refused(SHOP.script("setuid-script", f"#!{setuid}"), why="set-group-ID")
    # It stays who it is.
    own = SHOP.copy(SHOP.libevent(), "set-user-id-own")
    own.chmod(0o4755)
    done = explain(own)
    is_status(done, 0)
    says(done, r"^note .*set-ID, which changes nothing for this user$")
    is_status(run("--verify", own), 0)


def file_capabilities():
    as_root("a program with capabilities")
    program = SHOP.copy(SHOP.libevent(), "with-capabilities")
    try:
        os.setxattr(program, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    except OSError as error:
        raise Skip(f"no capabilities here: {error}") from error
    says(explain(program), r"^note .*file capabilities, which changes nothing for this user$")
    refused(program, why="file capabilities: LD_PRELOAD is ignored", user=NOBODY)


def what_cannot_be_read():
    as_root("a program of another user")
    program = SHOP.copy(SHOP.libevent(), "unreadable")
    program.chmod(0o711)
    refused(program, why="cannot be read", user=NOBODY)


def libraries_in_other_places():
    empty = SHOP.folder / "no-libraries"
    empty.mkdir(exist_ok=True)
    done = run("--library-dir", empty, SHOP.libevent())
    is_status(done, FAILED)
    expect(re.fullmatch(r"torque-run: libtorque_event\.so\.1 was not found in \S+; .*--library-dir.*\n", done.stderr), done.stderr)
    folder = SHOP.folder / "libraries"
    (folder / "torque").mkdir(parents=True, exist_ok=True)
    for name, to in (("libtorque_event.so.1", EVENT), ("torque/libev.so.4", EV)):
        if not (folder / name).exists():
            (folder / name).symlink_to(to)
    says(explain("-L", folder, SHOP.libevent()), rf"^preloads +{re.escape(str(folder))}/libtorque_event\.so\.1$")
    is_status(run("-L", folder, "--verify", SHOP.libev()), 0)
    blank = SHOP.folder / "with blank"
    if not blank.exists():
        blank.symlink_to(folder)
    is_status(run("-L", blank, SHOP.libevent()), 0)  # the link's own name is not used
    real = SHOP.folder / "really blank"
    real.mkdir(exist_ok=True)
    if not (real / "libtorque_event.so.1").exists():
        (real / "libtorque_event.so.1").symlink_to(EVENT)
    done = run("-L", real, SHOP.libevent())
    is_status(done, FAILED)
    says(done, "blanks or colons", "stderr")


def wrong_usage_is_refused():
    for arguments in ([], ["--force=all", "true"], ["--nothing"], ["--force"], ["-L", "", "true"]):
        done = run(*arguments)
        is_status(done, FAILED)
        says(done, r"^Try 'torque-run --help'\.$", "stderr")
    for arguments in ([], ["x"], ["0"], ["-1"], ["1", "2"], ["--nothing"], ["99999999999"]):
        done = call(STATS, *arguments)
        is_status(done, 2)
        says(done, r"^Try 'torque-stats --help'\.$", "stderr")


def help_and_version():
    for tool in (RUN, STATS):
        done = call(tool, "--help")
        is_status(done, 0)
        says(done, rf"\Ausage: {os.path.basename(tool)} ")
        done = call(tool, "--version")
        expect(re.fullmatch(rf"{os.path.basename(tool)} \d+\.\d+\.\d+\n", done.stdout), done.stdout)
    with open("/dev/full", "w", encoding="ascii") as full:
        is_status(run("--help", stdout=full), FAILED)


# ---- What is run ----

def programs():
    return SHOP.libevent(), SHOP.libev(), SHOP.both()


def it_becomes_the_program():
    for program in programs():
        is_status(run(program, "passes", "2", "42"), 42)
        is_status(run(program, "kill", int(signal.SIGKILL)), -signal.SIGKILL)
        with Running(program, "serve") as server:
            expect(server.child == server.pid, "there is another process")
            expect(os.path.samefile(f"/proc/{server.pid}/exe", program), "it is not the program")
            is_status(server.end(), 0)


def the_exit_status_is_passed_on():
    for status in (0, 1, 77, 255):
        for option in ("--stats", "--verify"):
            is_status(run(option, SHOP.libevent(), "passes", "2", status), status)


def a_signal_that_kills_is_passed_on():
    for signum in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT, signal.SIGUSR1):
        done = run("--stats", SHOP.libevent(), "kill", int(signum))
        is_status(done, -signum)


def signals_are_passed_on():
    with Running("--stats", SHOP.libevent(), "serve") as server:
        expected = []
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
            server.process.send_signal(signum)
            line = server.process.stdout.readline()
            expect(line == f"signal {int(signum):02}\n", f"{signum!r}: {line!r}")
            expected.append(signum)
        done = server.end()
        is_status(done, 0)
        expect(done.stdout == "signal 15\n", done.stdout)


def stopping_stops_both():
    def state(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]

    # In a group of its own, whose leader's parent is in another one of this session: an orphaned group is never stopped.
    with Running("--stats", SHOP.libevent(), "serve", process_group=0) as server:
        server.process.send_signal(signal.SIGTSTP)
        until(lambda: state(server.child) == "T" and state(server.pid) == "T", "they did not stop")
        server.process.send_signal(signal.SIGCONT)
        until(lambda: state(server.child) != "T" and state(server.pid) != "T", "they did not go on")
        is_status(server.end(), 0)


def what_kills_it_kills_the_program():
    """SIGKILL cannot be passed on: but the program is not left behind."""
    with Running("--stats", SHOP.libevent(), "serve") as server:
        server.process.kill()
        server.process.wait(timeout=PATIENCE)
        until(lambda: not is_running(server.child), "the program is still there")


def ignored_signals_stay_ignored():
    with Running("--stats", "--force=libevent", SHOP.script("deaf", "#!/bin/sh", "echo ready; read line"),
                 stdin=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) as server:
        server.process.stdin.close()
        server.process.stdin = None
        expect(server.process.wait(PATIENCE) == 1, "the status of a child is lost where SIGCHLD is ignored")


# ---- That it is in use ----

def verified():
    for program, libraries in zip(programs(), (1, 1, 2)):
        done = run("--verify", program, "passes", "30")
        is_status(done, 0)
        lines = re.findall(r"^torque-run: verified: .* is mapped in process \d+; loops: \d+, passes: [1-9]\d*$", done.stderr, re.M)
        expect(len(lines) == libraries, done.stderr)


def verified_while_it_runs():
    with Running("--verify", SHOP.libevent(), "serve") as server:
        line = server.process.stderr.readline()
        expect(re.match(rf"torque-run: verified: \S+ is mapped in process {server.child};", line), line)
        is_status(server.end(), 0)


def verified_however_short():
    for _ in range(20):
        is_status(run("--verify", SHOP.libevent(), "passes", "1"), 0)


def not_verified():
    done = run("--verify", "--force=libevent", SHOP.neither(), "passes", "100")
    is_status(done, UNVERIFIED)
    says(done, r"^torque-run: not verified: \S+ was mapped, but no loop was made with it$", "stderr")
    done = run("--verify", SHOP.libevent(), "passes", "0")
    is_status(done, UNVERIFIED)
    says(done, "but it was never run$", "stderr")
    done = run("--verify", SHOP.neither(), "passes")
    is_status(done, UNVERIFIED)
    expect(done.stdout == "", "it was run")


def what_is_loaded_later_is_verified():
    program = SHOP.plugin()
    is_status(explain(program), EXPLAIN_NOTHING)
    done = run("--verify", "--force=libevent", program, "passes", "5")
    is_status(done, 0)
    says(done, "^torque-run: verified: ", "stderr")


def copies_that_are_replaced_are_named():
    """A library that brings a libev of its own, perhaps a patched one (Ruby's nio4r), and calls it by its usual names."""
    own = SHOP.build("own-libev.so", "-shared", "-fPIC", source="pretender.c")
    program = SHOP.build("on-own-libev", "-DWITH_LIBEV=1", "-Wl,--no-as-needed", own, f"-Wl,-rpath,{SHOP.folder}", "-lev")
    done = run("--verify", program, "passes", "30")
    is_status(done, 0)
    says(done, "^torque-run: verified: ", "stderr")
    says(done, r"^torque-run: \S+own-libev\.so, mapped in process \d+, has ev_run of its own: ours takes its place", "stderr")


# ---- Counters ----

def loops_that_cannot_be_counted():
    """A child that has closed every descriptor, and may not look into its parent, as sandboxes do it."""
    as_root("a process of another user")
    with Running("--stats", SHOP.libevent(), "sandboxed") as server:
        child = Running.child_of(server.child)
        until(lambda: has_epoll(child), "the child has no loop")
        done = server.end()
    says(done, rf"^torque-run: process {child} has a loop that was not counted", "stderr")


def counters_at_the_end():
    for program, libraries in zip(programs(), (["libevent"], ["libev"], ["libevent", "libev"])):
        done = run("--stats", program, "passes", "25")
        is_status(done, 0)
        table = rows(done.stderr)
        expect([row["library"] for row in table] == libraries, done.stderr)
        for row in table:
            expect(row["state"] == "ended" and int(row["rounds"]) >= 25 and int(row["waits"]) >= 25, done.stderr)


def counters_while_it_runs():
    with Running("--stats", SHOP.both(), "serve") as server:
        def rounds():
            done = call(STATS, server.child)
            is_status(done, 0)
            table = rows(done.stdout)
            expect({row["library"] for row in table} == {"libevent", "libev"}, done.stdout)
            expect({int(row["pid"]) for row in table} == {server.child}, done.stdout)
            return total(table, "rounds")

        before = rounds()
        until(lambda: rounds() > before + 20, "the counters do not move")
        done = call(STATS, "--json", server.pid)
        report = json.loads(done.stdout)
        expect(report["maker"] == server.pid and len(report["loops"]) == 2, report)
        names = set(report["loops"][0]["counters"])
        expect({"rounds", "waits", "sleeps", "events", "controls"} <= names, names)
        is_status(server.end(), 0)


def only_where_asked_for():
    with Running(SHOP.libevent(), "serve") as server:
        done = call(STATS, server.pid)
        is_status(done, 1)
        says(done, "not under 'torque-run --stats'", "stderr")
        expect("memfd" not in pathlib.Path(f"/proc/{server.pid}/maps").read_text(), "it has a board")
        is_status(server.end(), 0)
    done = call(STATS, server.pid)
    is_status(done, 1)
    says(done, "there is no process", "stderr")


def not_for_other_users():
    as_root("a process of another user")
    with Running("--stats", SHOP.libevent(), "serve") as server:
        done = call(STATS, server.child, user=NOBODY)
        is_status(done, 1)
        says(done, "Permission denied", "stderr")
        is_status(server.end(), 0)


def children_have_lines_of_their_own():
    for program in (SHOP.libevent(), SHOP.libev()):
        done = run("--stats", program, "children", "5")
        table = rows(done.stderr)
        expect(len(table) == 2 and table[0]["pid"] != table[1]["pid"], done.stderr)
        expect(int(table[0]["rounds"]) >= 6 and int(table[1]["rounds"]) >= 10, done.stderr)
        expect(table[0]["state"] == "ended", done.stderr)


def loops_beyond_the_room():
    done = run("--stats", SHOP.libevent(), "many", "1500")
    table = rows(done.stderr)
    expect(len(table) == 1024 + 1 and table[-1]["pid"] == "earlier", len(table))
    expect(int(table[-1]["loop"]) == 1500 - 1024, table[-1])
    expect(total(table, "rounds") >= 1500, total(table, "rounds"))


def loops_without_a_place():
    done = run("--stats", SHOP.libev(), "beside", "1100", "5")
    is_status(done, 5)
    says(done, "^76 more loops had no place$", "stderr")


def loops_of_many_threads():
    for program in (SHOP.libevent(), SHOP.libev()):
        done = run("--stats", program, "threads", "150")
        table = rows(done.stderr)
        expect(len(table) == 1024 + 1 and int(table[-1]["loop"]) == 8 * 150 - 1024, table[-1])
        expect(sorted(int(row["loop"]) for row in table[:-1])[-1] == 8 * 150, table[-2])
        expect(total(table, "rounds") >= 8 * 150, total(table, "rounds"))


def the_board_is_found_without_its_descriptor_or_rights():
    done = run("--stats", SHOP.libevent(), "closed", "5")
    expect(total(rows(done.stderr), "rounds") >= 5, done.stderr)
    if os.geteuid() == 0:
        done = run("--stats", SHOP.libevent(), "dropped", "5")
        expect(total(rows(done.stderr), "rounds") >= 5, done.stderr)
        done = run("--stats", SHOP.libevent(), "closed-and-dropped", "5", "8")
        is_status(done, 8)
        expect(rows(done.stderr) == [], done.stderr)
    done = run("--stats", SHOP.libevent(), "passes", "5",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    expect(total(rows(done.stderr), "rounds") >= 5, done.stderr)


def a_wrong_board_is_none():
    for text in ("", "x", "1:2:3", "1:0:99999999999999999999", f"{os.getpid()}:0:1", "-1:-1:0"):
        is_status(call(SHOP.libevent(), "passes", "3", "6", env=CLEAN | {"LD_PRELOAD": EVENT, "TORQUE_STATS": text}), 6)


def children_inherit_or_not():
    for program, library in ((SHOP.libevent(), EVENT), (SHOP.libev(), EV)):
        says(run(program, "environment", "1"), rf"^preload={re.escape(library)} stats=$")
        says(run("--stats", program, "environment", "1"), rf"^preload={re.escape(library)} stats=\d")
        says(run("--no-children", program, "environment", "1"), r"^preload= stats=$")
        done = run("--no-children", "--stats", "--verify", program, "environment", "5")
        says(done, r"^preload= stats=$")
        expect(total(rows(done.stderr), "rounds") >= 5, done.stderr)
    folder, _ = SHOP.pretender("kept", "libkept.so.1")
    done = run("--no-children", SHOP.both(), "environment", env=CLEAN | {"LD_PRELOAD": f"{folder}/libkept.so.1"})
    says(done, rf"^preload={re.escape(str(folder))}/libkept\.so\.1 stats=$")


# ---- Real programs ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listening(port, process):
    def there():
        expect(process.poll() is None, "the server has ended")
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    until(there, "the server does not listen")


def program_named(name):
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if not path:
        raise Skip(f"{name} is not there")
    return path


def memcached():
    server, port = program_named("memcached"), free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([RUN, "--stats", "--verify", server, *user, "-t", "2", "-l", "127.0.0.1", "-p", str(port)],
                          env=CLEAN, text=True, stderr=subprocess.PIPE) as process:
        listening(port, process)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as peer:
                for i in range(20):
                    peer.sendall(b"set k%d 0 0 3\r\nabc\r\nget k%d\r\n" % (i, i))
                    data = b""
                    while not data.endswith(b"END\r\n"):
                        data += peer.recv(1000)
                    expect(data == b"STORED\r\nVALUE k%d 0 3\r\nabc\r\nEND\r\n" % i, data)
        table = rows(call(STATS, process.pid).stdout)
        expect(len(table) == 3 and total(table, "events", "libevent") >= 20 * 20, table)
        process.terminate()
        errors = process.communicate(timeout=PATIENCE)[1]
        expect(process.returncode == 0, f"status {process.returncode}: {errors}")
        expect("torque-run: verified: " in errors and total(rows(errors), "events") >= 20 * 20, errors)


def nghttpd_and_h2load():
    server, client, port = program_named("nghttpd"), program_named("h2load"), free_port()
    (SHOP.folder / "index.html").write_text("hello\n")
    with subprocess.Popen([RUN, "--stats", "--verify", server, "--no-tls", "-d", SHOP.folder, "-a", "127.0.0.1", str(port)],
                          env=CLEAN, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        listening(port, process)
        done = run("--stats", "--verify", client, "-n", "500", "-c", "5", "-m", "5", f"http://127.0.0.1:{port}/index.html")
        is_status(done, 0)
        says(done, "500 succeeded, 0 failed")
        expect(total(rows(done.stderr), "events", "libev") >= 20, done.stderr)
        expect(total(rows(call(STATS, process.pid).stdout), "events", "libev") >= 20, "the server's counters")
        process.terminate()
        errors = process.communicate(timeout=PATIENCE)[1]
        expect(process.returncode == -signal.SIGTERM, f"status {process.returncode}: {errors}")
        expect(total(rows(errors), "events", "libev") >= 20, errors)


CASES = [
    libevent_is_found_and_ours_is_preloaded, libev_is_found_and_ours_is_preloaded, with_both_libevent_comes_first,
    through_a_library_of_the_programs, nothing_is_preloaded_without_need, forced_without_need, by_the_path_and_by_name,
    scripts_lead_to_their_interpreters, libraries_are_searched_for_as_the_linker_does, what_loads_libraries_later_is_noted,
    what_lies_beside_is_noted, what_is_preloaded_already_stays, printing_is_safe_for_a_shell,
    static_programs, copies_inside_a_program, copies_inside_a_library, other_versions, a_libevent_that_binds_to_itself,
    other_machines, other_c_libraries, what_is_no_program, damaged_files_do_no_harm, other_users_programs, file_capabilities,
    what_cannot_be_read, libraries_in_other_places, wrong_usage_is_refused, help_and_version,
    it_becomes_the_program, the_exit_status_is_passed_on, a_signal_that_kills_is_passed_on, signals_are_passed_on,
    stopping_stops_both, what_kills_it_kills_the_program, ignored_signals_stay_ignored,
    verified, verified_while_it_runs, verified_however_short, not_verified, what_is_loaded_later_is_verified,
    copies_that_are_replaced_are_named,
    counters_at_the_end, counters_while_it_runs, only_where_asked_for, not_for_other_users, children_have_lines_of_their_own,
    loops_beyond_the_room, loops_without_a_place, loops_that_cannot_be_counted, loops_of_many_threads,
    the_board_is_found_without_its_descriptor_or_rights, a_wrong_board_is_none,
    children_inherit_or_not, memcached, nghttpd_and_h2load,
]


def main():
    global SHOP
    wanted, passed, failed = sys.argv[6:], 0, 0
    with tempfile.TemporaryDirectory(prefix="torque-run-") as folder:
        os.chmod(folder, 0o755)
        SHOP = Shop(pathlib.Path(folder).resolve())
        for case in CASES:
            name = case.__name__
            if wanted and not any(word in name for word in wanted):
                continue
            began = time.monotonic()
            try:
                case()
                passed += 1
                print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
            except Skip as reason:
                print(f"skip  {name}: {reason}", flush=True)
            except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return bool(failed)


sys.exit(main())
