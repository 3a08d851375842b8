#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""torque-echo, as its users see it: what comes goes back, byte for byte, whatever the peer does; and it stops cleanly.

usage: echo_test.py TORQUE_ECHO
"""
import os
import random
import re
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

ECHO = sys.argv[1]
PATIENCE = 60  # seconds until something that should happen is given up; never a measure
SUMMARY = re.compile(r"^served (\d+) (?:connections|datagrams), (\d+) bytes; (\d+) events from (\d+) system waits", re.M)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Server:
    """A running torque-echo. Stopped at the end of its with-block, where its status and its summary must be right."""

    def __init__(self, *options, stop=signal.SIGTERM, descriptors=None):
        limited = [] if descriptors is None else ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"]
        self.process = subprocess.Popen([*limited, ECHO, "-p", "0", *options], stdout=subprocess.PIPE, text=True)
        self.signal, self.output = stop, ""
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on (\S+):(\d+)\n", line)
        if not match:
            self.process.kill()
            self.process.wait()
        expect(match, f"first line: {line!r}")
        self.address = match.group(1).strip("[]"), int(match.group(2))
        self.drain = threading.Thread(target=self.keep_output)
        self.drain.start()

    def keep_output(self):
        for line in self.process.stdout:
            self.output += line

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.process.send_signal(self.signal)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = f"none within {PATIENCE} s, {self.process.wait()}"
        self.drain.join()
        self.process.stdout.close()
        if kind is None:
            expect(status == 0, f"exit status {status}")
            expect(SUMMARY.search(self.output), f"no summary in {self.output!r}")

    def connect(self, receive_buffer=None):
        peer = socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET)
        if receive_buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.settimeout(PATIENCE)
        peer.connect(self.address)
        return peer

    def visit(self):
        """The same for datagrams."""
        peer = socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        peer.settimeout(PATIENCE)
        peer.connect(self.address)
        return peer

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def total(self, group):
        return int(SUMMARY.search(self.output).group(group))


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def read_all(peer):
    parts = []
    while part := peer.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def read_exactly(peer, size):
    data = bytearray()
    while len(data) < size:
        part = peer.recv(min(1 << 16, size - len(data)))
        expect(part, f"the end came after {len(data)} of {size} bytes")
        data += part
    return bytes(data)


def until(condition, what):
    for _ in range(PATIENCE * 100):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(what)


class Exchange:
    """One of many connections on one thread: sends pieces of random size, reads what is there, compares."""

    def __init__(self, server, number):
        self.rng = random.Random(number)
        self.data = noise(self.rng.randrange(1, 60000), number)
        self.sent = self.got = 0
        self.peer = server.connect()
        self.peer.setblocking(False)

    def step(self, mask):
        if mask & selectors.EVENT_WRITE and self.sent < len(self.data):
            self.sent += self.peer.send(self.data[self.sent:self.sent + self.rng.randrange(1, 20000)])
            if self.sent == len(self.data):
                self.peer.shutdown(socket.SHUT_WR)
        if mask & selectors.EVENT_READ:
            part = self.peer.recv(self.rng.randrange(1, 20000))
            expect(part == self.data[self.got:self.got + len(part)], "a byte that was not sent")
            self.got += len(part)
            if not part:
                expect(self.got == len(self.data), f"{self.got} of {len(self.data)} bytes")
                return False
        return True


def exchange_all(server, count):
    with selectors.DefaultSelector() as selector:
        exchanges = [Exchange(server, n) for n in range(count)]
        for e in exchanges:
            selector.register(e.peer, selectors.EVENT_READ | selectors.EVENT_WRITE, e)
        deadline = time.monotonic() + PATIENCE
        while selector.get_map():
            expect(time.monotonic() < deadline, f"{len(selector.get_map())} connections have not ended")
            for key, mask in selector.select(1):
                if not key.data.step(mask):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                elif key.data.sent == len(key.data.data):
                    selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
        return sum(len(e.data) for e in exchanges)


def two_hundred_at_once(*options):
    with Server(*options) as server:
        size = exchange_all(server, 200)
    expect(server.total(1) == 200, f"{server.total(1)} connections counted")
    expect(server.total(2) == size, f"{server.total(2)} bytes counted, {size} sent")


def a_reader_that_starts_late(*options):
    """More than the sockets of both sides hold, before the first byte is read: the server must stop reading, and go on."""
    data = noise(8 << 20)
    with Server(*options) as server, server.connect(receive_buffer=1 << 16) as peer:
        writer = threading.Thread(target=lambda: (peer.sendall(data), peer.shutdown(socket.SHUT_WR)))
        writer.start()
        time.sleep(0.5)
        back = read_all(peer)
        writer.join()
    expect(back == data, f"{len(back)} bytes, not the {len(data)} that were sent")


def a_slow_reader_beside_others(*options):
    data = noise(16 << 20)
    with Server(*options) as server, server.connect(receive_buffer=1 << 16) as slow:
        writer = threading.Thread(target=lambda: slow.sendall(data))
        writer.start()
        back = bytearray()
        while len(back) < len(data):
            back += read_exactly(slow, min(512 << 10, len(data) - len(back)))
            with server.connect() as other:
                other.sendall(b"meanwhile")
                expect(read_exactly(other, 9) == b"meanwhile", "another connection gets something else")
        writer.join()
    expect(back == data, "not what was sent")


def half_close_gets_the_rest_then_the_end(*options):
    with Server(*options) as server:
        for size in (0, 1, 1000, 65536, 65537, 300000):
            with server.connect() as peer:
                data = noise(size)
                writer = threading.Thread(target=lambda: (peer.sendall(data), peer.shutdown(socket.SHUT_WR)))
                writer.start()
                expect(read_all(peer) == data, f"after {size} bytes and the end, something else came back")
                writer.join()


def a_peer_that_never_reads_is_not_read_for_ever(*options):
    """Back-pressure: what the server takes from it is bounded by what sockets hold, and streams keep."""
    with Server(*options) as server, server.connect() as peer:
        peer.setblocking(False)
        sent, idle = 0, 0
        while idle < 20 and sent < 256 << 20:
            try:
                sent += peer.send(bytes(1 << 20))
                idle = 0
            except BlockingIOError:
                idle += 1
                time.sleep(0.02)
        expect(idle == 20, "256 MiB went in, and nothing was read back")
        with server.connect() as other:
            other.sendall(b"x")
            expect(read_exactly(other, 1) == b"x", "others are served")


def resets_leave_nothing_behind(*options):
    with Server(*options) as server:
        with server.connect() as first:
            first.sendall(b"x")
            read_exactly(first, 1)
        before = server.descriptors()
        for n in range(100):
            peer = server.connect()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if n % 2:
                peer.setblocking(False)
                try:
                    while True:
                        peer.send(bytes(1 << 16))  # until the server has something left to send
                except BlockingIOError:
                    pass
            peer.close()
        until(lambda: server.descriptors() <= before, "descriptors of connections that were reset stay open")
        with server.connect() as peer:
            peer.sendall(b"still here")
            expect(read_exactly(peer, 10) == b"still here", "not served any more")


def stops_while_connections_are_open(stop, *options):
    with Server(*options, stop=stop) as server:
        peers = [server.connect() for _ in range(20)]
        for peer in peers:
            peer.sendall(b"abc")
            expect(read_exactly(peer, 3) == b"abc", "echo")
    expect(server.total(1) == 20 and server.total(2) == 60, f"summary: {server.output!r}")
    for peer in peers:
        peer.close()


def stops_with_data_kept_for_a_slow_reader(*options):
    with Server(*options) as server:
        peer = server.connect()
        peer.setblocking(False)
        for _ in range(50):
            try:
                peer.send(bytes(1 << 20))
            except BlockingIOError:
                time.sleep(0.01)
    peer.close()


def a_line_each_second(*options):
    with Server("--stats", *options) as server:
        with server.connect() as peer:
            peer.sendall(b"x" * 1000)
            read_exactly(peer, 1000)
            until(lambda: server.output.count("connections ") >= 2, "no lines")
    lines = re.findall(r"^connections (\d+) \(\d+ new\)  bytes/s (\d+)  requests/s \d+  events/wait [\d.]+  "
                       r"sleeps \d+  stale \d+$", server.output, re.M)
    expect(any(int(n) == 1 for n, _ in lines), f"the connection is not in {server.output!r}")
    expect(sum(int(b) for _, b in lines) == 1000, f"the bytes are not in {server.output!r}")
    return server.output


def a_line_for_each_domain():
    output = a_line_each_second("-t", "8", "--sharing", "thread")
    expect(re.search(r"^  domain 7: requests/s \d+", output, re.M), f"no domain in {output!r}")


def run(*arguments):
    return subprocess.run([ECHO, *arguments], capture_output=True, text=True, timeout=PATIENCE)


def bad_options_are_refused():
    for arguments in (["-p", "65536"], ["-p", "x"], ["-p", ""], ["-p", "-1"], ["-t", "4097"], ["-t", "two"], ["-p"],
                      ["--sharing", "nothing"], ["--listen", "all"], ["--bind", "nowhere"], ["--bind", ""], ["--nothing"],
                      ["-x"], ["argument"], ["--driven", "-t", "2"], ["--udp", "--recheck"],
                      ["--buffered", "--udp"], ["--tls", "--udp"], ["--cert", "x"], ["--tls", "--key", "x"], ["--buffered", "--recheck"], ["--buffered", "--oneshot"],
                      ["-u", "--listen", "exclusive"]):
        done = run(*arguments)
        expect(done.returncode == 2, f"{arguments}: status {done.returncode}")
        expect(done.stderr and not done.stdout, f"{arguments}: {done.stdout!r}, {done.stderr!r}")


def help_and_version():
    done = run("--help")
    expect(done.returncode == 0 and done.stdout.startswith("usage: torque-echo") and not done.stderr, "--help")
    done = run("--version")
    expect(done.returncode == 0 and re.fullmatch(r"torque-echo \d+\.\d+\.\d+\n", done.stdout), f"{done.stdout!r}")


def a_port_in_use_is_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for options in ([], ["--driven"], ["-t", "4", "--sharing", "thread"]):
            done = run("-p", str(taken.getsockname()[1]), *options)
            expect(done.returncode == 1 and "in use" in done.stderr, f"{options}: {done.returncode}, {done.stderr!r}")
            expect(not done.stdout, done.stdout)


def a_first_line_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run([ECHO, "-p", "0"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    expect(done.returncode == 1 and "No space" in done.stderr, f"{done.returncode}, {done.stderr!r}")


def connections_wait_when_descriptors_run_out(*options):
    """One descriptor for each connection, and far fewer than connections: each has its turn when others end."""
    with Server(*options, descriptors=40) as server:
        peers = [server.connect() for _ in range(100)]
        for peer in peers:
            peer.sendall(b"x")
        for peer in peers:
            expect(read_exactly(peer, 1) == b"x", "echo")
            peer.close()
    expect(server.total(1) == 100, server.output)


def other_addresses():
    with Server("--bind", "127.0.0.2") as server:
        expect(server.address[0] == "127.0.0.2", server.address)
        exchange_all(server, 3)
    if not os.path.exists("/proc/net/if_inet6") or "lo" not in open("/proc/net/if_inet6").read():
        return
    with Server("--bind", "::1") as server:
        exchange_all(server, 3)


def datagrams_come_back(*options):
    """Twenty peers, with few under way at a time, so that no buffer runs over: each gets its own back, in order."""
    total = size_of_all = 0
    with Server("--udp", *options) as server:
        peers = [server.visit() for _ in range(20)]
        for turn in range(50):
            rng = random.Random(turn)
            for n, peer in enumerate(peers):
                sizes = [rng.choice((0, 1, 100, 100, 100, 1400, 1472, 9000)) for _ in range(rng.randrange(1, 5))]
                data = [noise(size, turn * 1000 + n * 10 + i) for i, size in enumerate(sizes)]
                for one in data:
                    peer.send(one)
                for one in data:
                    expect(peer.recv(1 << 16) == one, "something else came back")
                total, size_of_all = total + len(data), size_of_all + sum(sizes)
        with server.visit() as peer:
            for size in (0, 1, 65507):
                peer.send(noise(size))
                expect(peer.recv(1 << 17) == noise(size), f"not the {size} bytes that were sent")
                total, size_of_all = total + 1, size_of_all + size
        for peer in peers:
            peer.close()
    expect("served" in server.output and "datagrams," in server.output, server.output)
    expect(server.total(1) == total, f"{server.total(1)} datagrams counted, {total} sent")
    expect(server.total(2) == size_of_all, f"{server.total(2)} bytes counted, {size_of_all} sent")


def datagrams_after_a_peer_has_gone(*options):
    """What cannot be delivered concerns nobody else."""
    with Server("--udp", *options) as server:
        for n in range(50):
            gone = server.visit()
            gone.send(b"for nobody")
            gone.close()
            with server.visit() as peer:
                peer.send(b"still here")
                expect(peer.recv(100) == b"still here", "echo")


def datagrams_from_the_address_they_were_sent_to():
    with Server("--udp", "--bind", "0.0.0.0") as server:
        for address in ("127.0.0.1", "127.0.0.2", "127.3.2.1"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.settimeout(PATIENCE)
                peer.sendto(b"x", (address, server.address[1]))
                expect(peer.recvfrom(10) == (b"x", (address, server.address[1])), "from elsewhere")


def datagrams_over_ipv6():
    if not os.path.exists("/proc/net/if_inet6") or "lo" not in open("/proc/net/if_inet6").read():
        return
    datagrams_come_back("--bind", "::1")


def a_line_each_second_of_datagrams(*options):
    with Server("--udp", "--stats", *options) as server:
        with server.visit() as peer:
            for _ in range(5):
                peer.send(b"x" * 200)
                peer.recv(1000)
            until(lambda: server.output.count("datagrams ") >= 2, "no lines")
    lines = re.findall(r"^datagrams (\d+) \((\d+) new\)  bytes/s (\d+)  requests/s \d+  events/wait [\d.]+  "
                       r"sleeps \d+  stale \d+$", server.output, re.M)
    expect(sum(int(new) for _, new, _ in lines) == 5, f"the datagrams are not in {server.output!r}")
    expect(sum(int(b) for _, _, b in lines) == 1000, f"the bytes are not in {server.output!r}")


def a_port_in_use_by_datagrams_is_a_failure():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        for options in ([], ["--driven"], ["-t", "4", "--sharing", "thread"]):
            done = run("--udp", "-p", str(taken.getsockname()[1]), *options)
            expect(done.returncode == 1 and "in use" in done.stderr, f"{options}: {done.returncode}, {done.stderr!r}")


# ---- TLS ----

def tls_client(trust=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = bool(trust), ssl.CERT_REQUIRED if trust else ssl.CERT_NONE
    if trust:
        context.load_verify_locations(trust)
    return context


def echo_by_tls(context, server, data):
    with context.wrap_socket(server.connect(), server_hostname=server.address[0]) as peer:
        for at in range(0, len(data), 50000):
            part = data[at:at + 50000]
            peer.sendall(part)
            expect(read_exactly(peer, len(part)) == part, "not what was sent")
        return peer.version()


def bytes_come_back_by_tls(*options):
    data = noise(2 << 20)
    with Server("--tls", *options) as server:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = tls_client()
            context.minimum_version = context.maximum_version = version
            expect(echo_by_tls(context, server, data) == {771: "TLSv1.2", 772: "TLSv1.3"}[version], version)
        for n in range(50):
            echo_by_tls(tls_client(), server, noise(1000 * n, n))
    expect(server.total(1) == 52, server.output)
    expect(server.total(2) == 2 * len(data) + 1000 * sum(range(50)), server.output)


def line_from(process, wanted):
    for line in process.stdout:
        if wanted in line:
            return line
    raise AssertionError(f"{process.args[:2]}: {wanted!r} did not come")


def other_clients_of_tls(*options):
    with Server("--tls", *options) as server:
        where = f"{server.address[0]}:{server.address[1]}"
        for version in ("-tls1_2", "-tls1_3"):
            with subprocess.Popen(["openssl", "s_client", "-connect", where, "-quiet", version], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
                client.stdin.write("said by s_client\n")
                client.stdin.flush()
                line_from(client, "said by s_client")
                client.stdin.close()
                client.terminate()
        # It hears its own request, and takes it for an answer of the oldest kind.
        with subprocess.Popen(["curl", "-skN", "--http0.9", f"https://{where}/some/thing"], stdout=subprocess.PIPE,
                              text=True) as client:
            line_from(client, "GET /some/thing HTTP/1.1")
            client.terminate()
        with server.connect() as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            expect(not plain.recv(100).startswith(b"GET"), "HTTP was sent back by a port for TLS")


def certificate_of_the_users():
    with tempfile.TemporaryDirectory() as folder:
        cert, key, both = (os.path.join(folder, name) for name in ("cert.pem", "key.pem", "both.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                        "-subj", "/CN=echo", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        with open(both, "w") as out:
            out.write(open(cert).read() + open(key).read())
        for options in (("--cert", cert, "--key", key), ("--cert", both)):
            with Server("--tls", *options) as server:
                echo_by_tls(tls_client(cert), server, b"trusted")
        for options, what in ((("--cert", cert), "cannot be used"), (("--cert", key, "--key", key), "cannot be used"),
                              (("--cert", os.path.join(folder, "none")), "No such file")):
            done = run("--tls", "-p", "0", *options)
            expect(done.returncode == 1 and what in done.stderr, f"{options}: {done.returncode}, {done.stderr!r}")


MANY = ("-t", "8", "--sharing", "thread")
CASES = [
    (two_hundred_at_once,), (two_hundred_at_once, "--driven"), (two_hundred_at_once, *MANY),
    (two_hundred_at_once, "-t", "4", "--sharing", "machine"), (two_hundred_at_once, "--oneshot"),
    (two_hundred_at_once, "--recheck"), (two_hundred_at_once, "--driven", "--recheck"), (two_hundred_at_once, "--no-pin"),
    (two_hundred_at_once, *MANY, "--listen", "shared"), (two_hundred_at_once, *MANY, "--listen", "exclusive"),
    (two_hundred_at_once, *MANY, "--listen", "reuseport"),
    (two_hundred_at_once, "--buffered"), (two_hundred_at_once, "--buffered", "--driven"),
    (two_hundred_at_once, "--buffered", *MANY),
    (a_reader_that_starts_late, "--buffered"), (a_reader_that_starts_late, "--buffered", "--driven"),
    (a_slow_reader_beside_others, "--buffered"), (a_slow_reader_beside_others, "--buffered", *MANY),
    (half_close_gets_the_rest_then_the_end, "--buffered"),
    (half_close_gets_the_rest_then_the_end, "--buffered", "--driven"),
    (a_peer_that_never_reads_is_not_read_for_ever, "--buffered"),
    (resets_leave_nothing_behind, "--buffered"), (resets_leave_nothing_behind, "--buffered", "--driven"),
    (stops_while_connections_are_open, signal.SIGTERM, "--buffered"),
    (stops_while_connections_are_open, signal.SIGINT, "--buffered", "--driven"),
    (stops_with_data_kept_for_a_slow_reader, "--buffered"), (a_line_each_second, "--buffered"),
    (connections_wait_when_descriptors_run_out, "--buffered"),
    (a_reader_that_starts_late,), (a_reader_that_starts_late, "--driven"), (a_reader_that_starts_late, *MANY),
    (a_reader_that_starts_late, "--oneshot"), (a_reader_that_starts_late, "--recheck"),
    (a_slow_reader_beside_others,), (a_slow_reader_beside_others, "--driven"), (a_slow_reader_beside_others, *MANY),
    (half_close_gets_the_rest_then_the_end,), (half_close_gets_the_rest_then_the_end, "--driven"),
    (half_close_gets_the_rest_then_the_end, *MANY), (half_close_gets_the_rest_then_the_end, "--recheck"),
    (a_peer_that_never_reads_is_not_read_for_ever,),
    (resets_leave_nothing_behind,), (resets_leave_nothing_behind, "--driven"), (resets_leave_nothing_behind, *MANY),
    (stops_while_connections_are_open, signal.SIGTERM), (stops_while_connections_are_open, signal.SIGINT),
    (stops_while_connections_are_open, signal.SIGTERM, "--driven"),
    (stops_while_connections_are_open, signal.SIGINT, "--driven"),
    (stops_while_connections_are_open, signal.SIGTERM, *MANY),
    (stops_with_data_kept_for_a_slow_reader,), (stops_with_data_kept_for_a_slow_reader, "--driven"),
    (a_line_each_second,), (a_line_each_second, "--driven"), (a_line_for_each_domain,),
    (bad_options_are_refused,), (help_and_version,), (a_port_in_use_is_a_failure,),
    (a_first_line_that_cannot_be_written_is_a_failure,), (other_addresses,),
    (datagrams_come_back,), (datagrams_come_back, "--driven"), (datagrams_come_back, *MANY),
    (datagrams_come_back, "--oneshot"), (datagrams_come_back, *MANY, "--listen", "shared"),
    (datagrams_come_back, "-t", "4", "--sharing", "machine"), (datagrams_come_back, "--listen", "reuseport"),
    (datagrams_after_a_peer_has_gone,), (datagrams_after_a_peer_has_gone, *MANY),
    (datagrams_from_the_address_they_were_sent_to,), (datagrams_over_ipv6,),
    (a_line_each_second_of_datagrams,), (a_line_each_second_of_datagrams, "--driven"),
    (a_port_in_use_by_datagrams_is_a_failure,),
    (connections_wait_when_descriptors_run_out,), (connections_wait_when_descriptors_run_out, "--driven"),
]
# Where it was built with it.
if "libtorque_tls" in subprocess.run(["ldd", ECHO], capture_output=True, text=True).stdout:
    CASES += [
        (bytes_come_back_by_tls,), (bytes_come_back_by_tls, "--driven"), (bytes_come_back_by_tls, *MANY),
        (other_clients_of_tls,), (other_clients_of_tls, "--driven"), (certificate_of_the_users,),
    ]


def main():
    wanted = sys.argv[2:]
    passed = failed = 0
    for case, *options in CASES:
        name = " ".join([case.__name__, *(str(o) for o in options)])
        if wanted and not any(word in name for word in wanted):
            continue
        began = time.monotonic()
        try:
            case(*options)
            passed += 1
            print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return bool(failed)


sys.exit(main())
