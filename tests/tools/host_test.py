#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""torque-host, as its users see it: names in arguments and on standard input, records of all kinds, and exit statuses.

usage: host_test.py TORQUE_HOST
"""
import os
import socket
import struct
import subprocess
import sys
import threading

HOST = sys.argv[1]
PATIENCE = 60  # seconds until something that should happen is given up; never a measure
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "CAA": 257}
NXDOMAIN, SERVFAIL = 3, 2


def expect(condition, *what):
    if not condition:
        raise AssertionError(what)


def packed(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


RECORDS = {
    ("host.test", "A"): [socket.inet_aton("192.0.2.10"), socket.inet_aton("192.0.2.11")],
    ("host.test", "AAAA"): [socket.inet_pton(socket.AF_INET6, "2001:db8::10")],
    ("four.test", "A"): [socket.inet_aton("192.0.2.4")],
    ("mail.test", "MX"): [struct.pack("!H", 10) + packed("mx.test")],
    ("text.test", "TXT"): [b"\x05a \"b\\\x02\x00\xff"],
    ("_s._tcp.test", "SRV"): [struct.pack("!HHH", 1, 2, 3) + packed("host.test")],
    ("caa.test", "CAA"): [b"\x00\x05issueca.test"],
    ("10.2.0.192.in-addr.arpa", "PTR"): [packed("host.test")],
    ("0." * 31 + "ip6.arpa", "PTR"): [],
    ("1." + "0." * 31 + "ip6.arpa", "PTR"): [packed("localhost")],
}


class Server:
    """A name server that knows RECORDS, and each name under many.test; what is under fail.test fails; and it notes how
    many questions it had at a time before it answered the first of them."""

    def __init__(self, hold=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.1)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.hold, self.most, self.stopping = hold, 0, False
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.socket.close()

    def serve(self):
        waiting = []
        while not self.stopping:
            try:
                waiting.append(self.socket.recvfrom(2048))
                self.most = max(self.most, len(waiting))
                if len(waiting) < self.hold:
                    continue
            except socket.timeout:
                pass
            for query, peer in waiting:
                self.socket.sendto(self.answer(query), peer)
            waiting.clear()

    @staticmethod
    def answer(query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack_from("!H", query, at + 1)[0]
        name, code, data = ".".join(labels).lower(), 0, []
        if name.endswith("fail.test"):
            code = SERVFAIL
        elif name.endswith("many.test"):
            data = [socket.inet_aton("192.0.2.99")] if kind == TYPES["A"] else []
        else:
            types = {TYPES[t]: records for (n, t), records in RECORDS.items() if n == name}
            code, data = (0 if types else NXDOMAIN), types.get(kind, [])
        head = query[:2] + struct.pack("!BBHHHH", 0x81, 0x80 | code, 1, len(data), 0, 0) + query[12:at + 5]
        return head + b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(d)) + d for d in data)


def run(*arguments, stdin=b"", status=0):
    done = subprocess.run([HOST, *arguments], input=stdin, capture_output=True, timeout=PATIENCE, check=False)
    expect(done.returncode == status, arguments, done.returncode, done.stdout, done.stderr)
    return sorted(done.stdout.decode().splitlines()), done.stderr.decode()


def records_of_each_type():
    with Server() as s:
        for arguments, lines in (
                (["-t", "A", "host.test"], ["host.test A 192.0.2.10", "host.test A 192.0.2.11"]),
                (["-t", "aaaa", "host.test"], ["host.test AAAA 2001:db8::10"]),
                (["-t", "MX", "mail.test"], ["mail.test MX 10 mx.test"]),
                (["-t", "TXT", "text.test"], ['text.test TXT "a \\"b\\\\" "\\000\\255"']),
                (["-t", "SRV", "_s._tcp.test"], ["_s._tcp.test SRV 1 2 3 host.test"]),
                (["-t", "CAA", "caa.test"], ["caa.test CAA \\# 14 0005697373756563612e74657374"]),
                (["-t", "TYPE257", "caa.test"], ["caa.test CAA \\# 14 0005697373756563612e74657374"]),
                (["-t", "15", "--short", "mail.test"], ["10 mx.test"]),
                (["-x", "192.0.2.10"], ["192.0.2.10 PTR host.test"]),
                (["--reverse", "-q", "::1"], ["localhost"])):
            expect(run("-s", s.address, *arguments)[0] == lines, arguments, lines)


def addresses_as_programs_find_them():
    with Server() as s:
        expect(run("-s", s.address, "host.test.", "localhost", "-4")[0] ==
               ["host.test. A 192.0.2.10", "host.test. A 192.0.2.11", "localhost A 127.0.0.1"])
        expect(run("-s", s.address, "-6", "host.test.")[0] == ["host.test. AAAA 2001:db8::10"])
        expect(len(run("-s", s.address, "host.test.")[0]) == 3)
        expect(run("192.0.2.77")[0] == ["192.0.2.77 A 192.0.2.77"])


def statuses():
    with Server() as s:
        server = ["-s", s.address, "-w", "2", "-t", "A"]
        lines, errors = run(*server, "nothing.test.", "four.test.", status=1)
        expect(lines == ["four.test. A 192.0.2.4"] and "nothing.test.: The name does not exist" in errors, lines, errors)
        lines, errors = run(*server, "-t", "MX", "four.test.", status=1)
        expect(not lines and "no such records" in errors, errors)
        lines, errors = run(*server, "a.fail.test.", "nothing.test.", "four.test.", status=3)
        expect(lines == ["four.test. A 192.0.2.4"] and "The name server failed" in errors, errors)
        run(*server, "two..dots", status=1)
        run("-s", s.address, "-x", "not-an-address", status=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        lines, errors = run("-s", "127.0.0.1:%d" % silent.getsockname()[1], "-w", "0.05", "--tries", "2", "x.test.", status=3)
        expect("timed out" in errors, errors)


def wrong_usage():
    for arguments in ([], ["-f", "name"], ["-t", "NOTHING", "x"], ["-t", "0", "x"], ["-w", "0", "x"], ["-w", "1x", "x"],
                      ["-n", "0", "x"], ["--tries", "101", "x"], ["-x", "-t", "A", "x"], ["-4", "-t", "A", "x"], ["--what"]):
        lines, errors = run(*arguments, status=2)
        expect(not lines and "torque-host" in errors, arguments)
    run("-s", "not an address", "x", status=3)
    expect(run("--version")[0][0].startswith("torque-host "))
    expect(run("--help")[0])


def lines_of_standard_input():
    with Server() as s:
        server = ["-s", s.address, "-t", "A", "--pipe"]
        text = b"# names\n\n four.test. \r\n\tfour.test.\n" + b"x" * 5000 + b"\nwith\0zero.test\nfour.test."
        lines, errors = run(*server, stdin=text, status=1)
        expect(lines == ["four.test. A 192.0.2.4"] * 3, lines)
        expect(errors.count("too long") == 1 and errors.count("a 0 in it") == 1, errors)
        expect(run(*server, stdin=b"") == ([], ""))
        expect(run(*server, stdin=b"\n\n#\n") == ([], ""))
        done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", HOST, *server], capture_output=True, timeout=PATIENCE,
                              check=False)
        expect(done.returncode == 3, done)


def thousands_bounded():
    count = 3000
    with Server(hold=7) as s:
        text = "".join("n%d.many.test.\n" % i for i in range(count)).encode()
        lines, _ = run("-s", s.address, "-t", "A", "-n", "7", "-f", stdin=text)
        expect(lines == sorted("n%d.many.test. A 192.0.2.99" % i for i in range(count)), len(lines))
        expect(s.most <= 7, s.most)


def answers_come_while_names_do():
    with Server() as s:
        with subprocess.Popen([HOST, "-s", s.address, "-t", "A", "-q", "-f"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as p:
            for _ in range(3):
                p.stdin.write(b"four.test.\n")
                p.stdin.flush()
                expect(p.stdout.readline() == b"192.0.2.4\n")
            p.stdin.close()
            expect(p.wait(PATIENCE) == 0)


def nobody_reads():
    with Server() as s:
        names = ["four.test."] * 2000
        with subprocess.Popen([HOST, "-s", s.address, "-t", "A", *names], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            p.stdout.close()
            errors = p.stderr.read()
            expect(p.wait(PATIENCE) == 3 and b"Broken pipe" in errors, p.returncode, errors)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([HOST, "192.0.2.1"], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
            expect(done.returncode == 3 and b"No space" in done.stderr, done)


CASES = [records_of_each_type, addresses_as_programs_find_them, statuses, wrong_usage, lines_of_standard_input,
         thousands_bounded, answers_come_while_names_do, nobody_reads]
failed = 0
for case in CASES:
    try:
        case()
        print("ok   ", case.__name__)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        failed += 1
        print("FAIL ", case.__name__, error)
print(f"{len(CASES) - failed} passed, {failed} failed")
sys.exit(bool(failed))
