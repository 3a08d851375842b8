# SPDX-License-Identifier: BSD-3-Clause
"""memcached: its three protocols, many connections, clients that misbehave, and how it ends."""
import concurrent.futures
import random
import re
import selectors
import signal
import socket
import struct
import time

from harness import digest, eventually, expect


class Client:
    """A connection. What was received, and not asked for yet, waits."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.have = b""

    def line(self):
        while b"\r\n" not in self.have:
            self.more()
        line, self.have = self.have.split(b"\r\n", 1)
        return line

    def bytes(self, count):
        while len(self.have) < count:
            self.more()
        data, self.have = self.have[:count], self.have[count:]
        return data

    def more(self):
        got = self.socket.recv(1 << 20)
        expect(got, f"the connection ended after {self.have[-200:]}")
        self.have += got

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, text, data=None):
        """One line of answer."""
        self.send(text.encode() + b"\r\n" + (b"" if data is None else data + b"\r\n"))
        return self.line()

    def set(self, key, value):
        expect(self.ask(f"set {key} 0 0 {len(value)}", value) == b"STORED", f"{key} was not stored")

    def get(self, key):
        answer = self.ask(f"get {key}")
        if answer == b"END":
            return None
        value = self.bytes(int(answer.split()[3]) + 2)[:-2]
        expect(self.line() == b"END", "no END")
        return value

    def stats(self, *what):
        self.send(" ".join(("stats", *what)).encode() + b"\r\n")
        found = {}
        while (line := self.line()) != b"END":
            _, name, value = line.split(b" ", 2)
            found[name.decode()] = value.decode()
        return found

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def memcached(place, *options, threads=4):
    port = place.port()
    program = place.start("memcached", "-u", "root", "-l", "127.0.0.1", "-p", port, "-U", 0, "-t", threads, *options,
                          port=port)
    return program, port


def value_of(key, size):
    return random.Random(key).randbytes(size)


def ascii_protocol(place):
    _, port = memcached(place)
    client = Client(port)
    for line, data in [("set a 5 0 3", b"abc"), ("add a 0 0 1", b"x"), ("add b 0 0 1", b"2"), ("replace b 1 0 2", b"40"),
                       ("append a 0 0 2", b"de"), ("prepend a 0 0 2", b"zy"), ("incr b 2", None), ("decr b 50", None),
                       ("incr a 1", None), ("touch a 100", None), ("delete b", None), ("delete b", None),
                       ("cas a 0 0 1 999999", b"x"), ("cas none 0 0 1 1", b"x"), ("verbosity 0", None),
                       ("nonsense", None), ("set", None), ("get", None), ("incr b x", None), ("version", None),
                       ("get " + "k" * 251, None), ("set bad 0 0 x", None)]:
        place.fact(line[:40], client.ask(line, data))
    place.fact("a", client.get("a"))
    client.send(b"set q 0 0 1 noreply\r\n7\r\nget a q none q\r\ngets none\r\ngat 100 a q\r\n")
    lines = [client.line() for _ in range(13)]
    place.fact("several", lines)
    place.fact("too large", client.ask("set large 0 0 2000000", b"x" * 2000000))
    place.fact("flush", client.ask("flush_all"))
    place.fact("gone", client.get("a"))
    for size in (0, 1, 1000, 16384, 100_000, 1_000_000):
        client.set(f"k{size}", value_of(size, size))
        expect(client.get(f"k{size}") == value_of(size, size), f"{size} bytes came back changed")
    client.send(b"mn\r\nquit\r\n")
    place.fact("no-op", client.line())
    place.fact("end", client.socket.recv(10))


def meta_commands(place):
    _, port = memcached(place)
    client = Client(port)
    for line, data in [("ms k 3 T90 F7", b"abc"), ("mg k t f s", None), ("ms k 3 MA", b"def"), ("ms new 1 ME", b"x"),
                       ("ms new 1 ME", b"x"), ("md new q", None), ("mn", None), ("ma n N60 J5 v", None)]:
        place.fact(line, client.ask(line, data) if "q" not in line else client.send(line.encode() + b"\r\n"))
        if line.startswith("ma"):
            place.fact("made", client.line())
    for line in ("ma n D3 v", "mg k v f k O77 s", "ma n MD D100 v"):
        place.fact(line, (client.ask(line), client.line()))
    place.fact("not there", client.ask("mg none v"))
    place.fact("wins", [re.sub(rb"\bt-?\d+", b"t", client.ask(f"mg anew N30 t {flag}")) for flag in "ff"])
    client.send(b"mg none v q\r\nmg k v q O1\r\nmn\r\n")
    place.fact("quiet", [client.line() for _ in range(3)])
    place.fact("error", client.ask("ms k S"))


def binary(opcode, key=b"", value=b"", extras=b"", opaque=0):
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(key) + len(value) + len(extras),
                       opaque, 0) + extras + key + value


def binary_answer(client):
    _, opcode, key, extras, _, status, size, opaque, _ = struct.unpack(">BBHBBHIIQ", client.bytes(24))
    body = client.bytes(size)
    return opcode, status, opaque, body[extras:extras + key], body[extras + key:]


def binary_protocol(place):
    _, port = memcached(place)
    client = Client(port)
    flags = struct.pack(">II", 0xdeadbeef, 0)
    count = struct.pack(">QQI", 2, 40, 0)
    for number, (opcode, *rest) in enumerate([
            (1, b"a", b"abc", flags), (0, b"a"), (12, b"a"), (2, b"a", b"x", flags), (3, b"none", b"x", flags),
            (14, b"a", b"de"), (15, b"a", b"zy"), (0, b"a"), (5, b"n", b"", count), (5, b"n", b"", count),
            (6, b"n", b"", count), (4, b"n"), (4, b"n"), (10,), (11,), (28, b"a", b"", struct.pack(">I", 99)),
            (29, b"a", b"", struct.pack(">I", 99)), (8, b"", b"", struct.pack(">I", 0)), (0, b"a")]):
        client.send(binary(opcode, *rest, opaque=number))
        place.fact(f"{number}: {opcode}", binary_answer(client))
    quiet = b"".join(binary(0x11, b"q%d" % i, value_of(i, 500), flags) for i in range(200))
    asked = b"".join(binary(0x0d, b"q%d" % i, opaque=i) for i in range(0, 400, 2))
    client.send(quiet + asked + binary(10, opaque=4711))
    got = []
    while (answer := binary_answer(client))[0] != 10:
        expect(answer[4] == value_of(answer[2], 500), "a value came back changed")
        got.append(answer[3])
    place.fact("quiet", got)
    client.send(binary(0x10, b"settings"))
    settings = {}
    while (answer := binary_answer(client))[3]:
        settings[answer[3]] = answer[4]
    place.fact("threads", settings[b"num_threads"])
    client.send(binary(7))
    place.fact("quit", binary_answer(client))


def converse(port, count, rounds, sizes):
    """Count connections at once; each stores its values and reads them back, several requests in one go."""
    choice, clients = selectors.DefaultSelector(), [Client(port) for _ in range(count)]
    for number, client in enumerate(clients):
        key = f"c{number}"
        value = value_of(key, sizes[number % len(sizes)])
        answer = f"VALUE {key} 0 {len(value)}\r\n".encode() + value + b"\r\nEND\r\n"
        store = f"set {key} 0 0 {len(value)}\r\n".encode() + value + b"\r\n"
        client.out = (store + b"get %s\r\n" % key.encode() * 2) * rounds
        client.wanted = (b"STORED\r\n" + answer * 2) * rounds
        client.socket.setblocking(False)
        choice.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
    left, end = count, time.monotonic() + 60
    while left and time.monotonic() < end:
        for chosen, events in choice.select(5):
            client = chosen.data
            if events & selectors.EVENT_WRITE:
                client.out = client.out[client.socket.send(client.out):]
                if not client.out:
                    choice.modify(client.socket, selectors.EVENT_READ, client)
            if events & selectors.EVENT_READ:
                got = client.socket.recv(1 << 18)
                expect(got and client.wanted.startswith(got), f"wrong bytes: {got[:80]}")
                client.wanted = client.wanted[len(got):]
                if not client.wanted:
                    choice.unregister(client.socket)
                    left -= 1
    expect(left == 0, f"{left} of {count} clients were not answered")
    return clients


def thousand_connections(place):
    _, port = memcached(place, "-c", 2000)
    clients = converse(port, 1000, 5 * place.rounds, (0, 10, 100, 2000, 20000))
    stats = Client(port).stats()
    place.fact("counts", [stats[name] for name in ("curr_connections", "cmd_get", "cmd_set", "get_misses", "threads")])
    for client in clients:
        client.socket.close()
    last = Client(port)
    eventually(lambda: last.stats()["curr_connections"] == "1", "the connections are closed")


def slap(place):
    """memcaslap, which runs on the library too: a load with values verified."""
    _, port = memcached(place)
    for options in ((), ("-B",), ("-d", 10), ("-n", 4)):
        told = place.run("memcaslap", "-s", f"127.0.0.1:{port}", "-T", 2, "-c", 32, "-x", 4000 * place.rounds, "-v",
                         "1.0", "-X", 500, *options).output().decode()
        place.fact(f"slap {options}", re.findall(r"^(cmd_get|cmd_set|get_misses|verify_misses|verify_failed|"
                                                  r"expired_get|unexpired_unget): (\d+)$", told, re.M)[2:])
        expect("verify_failed: 0" in told, told)


def limited(place):
    """More clients than it takes: those that wait are served when others go, and its listener is told so each time."""
    _, port = memcached(place, "-c", 50, "-o", "no_maxconns_fast")

    def visit(_):
        client = Client(port)
        answer = client.ask("version")
        time.sleep(0.05)
        client.reset()
        return answer[:7]

    with concurrent.futures.ThreadPoolExecutor(70) as pool:
        place.fact("answers", set(pool.map(visit, range(140 * place.rounds))))
    place.fact("disabled", Client(port).stats()["listen_disabled_num"] != "0")


def slow_reader(place):
    """Asks for much and reads nothing: the others are served meanwhile, and all of it comes in the end."""
    _, port = memcached(place)
    slow, quick = Client(port), Client(port)
    value = value_of("big", 900_000)
    quick.set("big", value)
    slow.send(b"get big\r\n" * 30)
    time.sleep(0.2)
    for number in range(200):
        quick.set(f"n{number}", b"x" * number)
        expect(quick.get(f"n{number}") == b"x" * number, "changed")
    for _ in range(30):
        expect(slow.line() == b"VALUE big 0 900000" and slow.bytes(900_002)[:-2] == value and slow.line() == b"END",
               "changed")
    place.fact("bytes", 30 * 900_000)


def aborted(place):
    _, port = memcached(place)
    watcher, chance = Client(port), random.Random(3)
    watcher.set("big", value_of("big", 500_000))
    before = watcher.stats()["curr_connections"]
    whole = b"set k 0 0 1000\r\n" + b"x" * 1000 + b"\r\nget k\r\nget big\r\nget big\r\n"
    for number in range(600 * place.rounds):
        client = Client(port)
        client.send(whole[:chance.randrange(len(whole) + 1)])
        if number % 3 == 0:
            client.socket.shutdown(socket.SHUT_WR)
        if number % 4 == 0:
            time.sleep(0.001)
        client.reset() if number % 2 else client.socket.close()
    killed = place.launch(place.client, "memcaslap", "-s", f"127.0.0.1:{port}", "-T", 1, "-c", 50, "-t", "20s")
    eventually(lambda: int(watcher.stats()["curr_connections"]) > 40, "a load")
    killed.send(signal.SIGKILL)
    place.fact("killed", killed.wait())
    eventually(lambda: watcher.stats()["curr_connections"] == before, "the connections are closed")
    expect(watcher.get("big") == value_of("big", 500_000), "changed")


def idle_timeout(place):
    _, port = memcached(place, "-o", "idle_timeout=1")
    busy, idle = Client(port), [Client(port) for _ in range(50)]
    for client in idle:
        client.set("x", b"y")
    end = time.monotonic() + 20
    while busy.stats()["idle_kicks"] != "50" and time.monotonic() < end:
        time.sleep(0.1)
    place.fact("ended", [client.socket.recv(1) for client in idle])
    place.fact("kicks", busy.stats()["idle_kicks"])


def ends(place):
    """By signal, with clients connected, right after a start and under load."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        for loaded in (False, True):
            program, port = memcached(place)
            program.ready_for(number)
            clients = converse(port, 50, 2, (100, 1000)) if loaded else []
            place.fact(f"{number.name}, {len(clients)}", (program.stop(number), re.findall(r"^.*", program.errors())))


def datagrams(place):
    port = place.port()
    place.start("memcached", "-u", "root", "-l", "127.0.0.1", "-p", port, "-U", port, "-t", 4, port=port)
    client = Client(port)
    client.set("k", value_of("k", 1000))
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(30)
        udp.connect(("127.0.0.1", port))
        for number in range(500):
            udp.send(struct.pack(">HHHH", number, 0, 1, 0) + b"get k\r\n")
            got = udp.recv(2000)
            expect(got[:2] == struct.pack(">H", number) and value_of("k", 1000) in got, f"answer {got[:20]}")
    place.fact("value", digest(value_of("k", 1000)))


def local_socket(place):
    path = place.folder / "socket"
    program = place.start("memcached", "-u", "root", "-s", path, "-t", 2)
    eventually(path.exists, "its socket")
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            eventually(lambda s=client: s.connect_ex(str(path)) in (0, 106), "it accepts")
            client.sendall(b"set k 0 0 1\r\nx\r\nget k\r\n")
            got = b""
            while not got.endswith(b"END\r\n"):
                got += client.recv(100)
    place.fact("got", got)
    place.fact("end", program.stop(signal.SIGINT))


SCENARIOS = [thousand_connections, ascii_protocol, meta_commands, binary_protocol, slap, limited, slow_reader,
             aborted, idle_timeout, ends, datagrams, local_socket]
LONG = []
