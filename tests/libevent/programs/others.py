# SPDX-License-Identifier: BSD-3-Clause
"""Programs that use evhttp, evdns, bufferevents with TLS, the bare core, or a fork for all they do."""
import concurrent.futures
import http.client
import json
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading

import dns
import peers
from harness import command, digest, eventually, expect, find


def many(count, work, threads=20):
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(count)))


# ---- evhttp ----

def rpc(connection, session, method, arguments):
    connection.request("POST", "/transmission/rpc", json.dumps({"method": method, "arguments": arguments}),
                       {"X-Transmission-Session-Id": session, "Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def transmission(place):
    """Its server is evhttp; its own timers and events are many."""
    port, folder = place.port(), place.folder / "config"

    def start():
        return place.start("transmission-daemon", "-f", "-g", folder, "-p", port, "-r", "127.0.0.1", "-P", place.port(),
                           "-i", "127.0.0.1", "-O", "-Y", "-M", "--no-utp", "-T", "-a", "127.0.0.1", "-C", "-w",
                           place.folder, port=port)

    program = start()

    def connect():
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    client = connect()
    client.request("GET", "/transmission/rpc")
    refused = client.getresponse()
    refused.read()
    session = refused.headers["X-Transmission-Session-Id"]
    place.fact("first", (refused.status, bool(session)))
    for name in "alpha beta gamma".split():
        place.payload(name, 200_000)
        command(place, "transmission-create", "-o", f"{name}.torrent", name)
        status, answer = rpc(client, session, "torrent-add", {"filename": str(place.folder / f"{name}.torrent")})
        place.fact(f"add {name}", (status, answer["result"], answer["arguments"]["torrent-added"]["hashString"]))

    def checked():
        _, answer = rpc(client, session, "torrent-get", {"fields": ["name", "percentDone", "status"]})
        found = sorted((t["name"], t["percentDone"], t["status"]) for t in answer["arguments"]["torrents"])
        return found if all(done == 1 and status == 6 for _, done, status in found) else None

    place.fact("checked", eventually(checked, "all are complete and seeded"))

    def visit(number):
        with socket.create_connection(("127.0.0.1", port)) as broken:
            broken.sendall(b"POST /transmission/rpc HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{"[:number % 60])
        visitor, found = connect(), []
        for _ in range(10):
            found.append(rpc(visitor, session, "session-get", {"fields": ["version"]})[0])
        visitor.request("GET", "/transmission/web/nothing-here")
        answer = visitor.getresponse()
        found.append((answer.status, len(answer.read())))
        return str(found)

    place.fact("visits", sorted(set(many(60 * place.rounds, visit))))
    place.fact("end", program.stop())

    start().send(signal.SIGHUP)

    def answered():
        try:
            asking = connect()
            asking.request("GET", "/transmission/rpc")
            return asking.getresponse().status == 409
        except (OSError, http.client.HTTPException):
            return False

    eventually(answered, "it is back after a reload")
    # The end of this one is left out: a thread of its own does the reload, and on either library it may still use the
    # peer manager (tr_sessionReloadBlocklists()) when SIGTERM makes the main thread free it.


def litecoin(place):
    """Its server is evhttp with threads behind it; litecoin-cli is evhttp's client."""
    port, folder = place.port(), place.folder / "data"
    folder.mkdir()
    program = place.start("/usr/lib/litecoin/litecoind", "-regtest", f"-datadir={folder}", f"-rpcport={port}", "-server",
                          "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-rpcuser=u", "-rpcpassword=p", "-listen=0",
                          "-dnsseed=0", "-disablewallet", "-rpcthreads=4", "-printtoconsole=0", port=port)
    options = ("-regtest", f"-datadir={folder}", f"-rpcport={port}", "-rpcuser=u", "-rpcpassword=p")
    address = "mfWxJ45yp2SFn7UciZyNpvDKrzbhyfKrY8"

    def ask(*words, status=0):
        return place.run("litecoin-cli", *options, *words, status=status).output().decode().strip()

    ask("-rpcwait", "getblockcount")
    place.fact("made", len(json.loads(ask("generatetoaddress", 20, address))))
    place.fact("height", ask("getblockcount"))
    place.fact("no such block", ask("getblockhash", 1000, status=8))

    def visit(number):
        client, found = http.client.HTTPConnection("127.0.0.1", port, timeout=30), []
        for at in range(20):
            body = json.dumps([{"method": "getblockcount", "id": at}] * (number % 5 + 1))
            client.request("POST", "/", body, {"Authorization": "Basic dTpw"})
            found.append([entry["result"] for entry in json.loads(client.getresponse().read())] == [20] * (number % 5 + 1))
        client.request("POST", "/", "{}", {"Authorization": "Basic bad"} if number % 10 == 0 else {})
        return all(found), client.getresponse().status

    place.fact("visits", sorted(set(many(30 * place.rounds, visit, threads=10))))
    place.fact("stop", ask("stop"))
    place.fact("end", program.wait())


# ---- DNS: the bare core, and evdns ----

def zone_questions(count):
    return [(f"h{number % 500}.example.test", "A") if number % 7 else (f"h{number % 600}.example.test", "TXT")
            for number in range(count)]


def expected_answers(asked):
    """Five hundred hosts are there; each has an address and a text."""
    for name, kind in asked:
        number = int(name[1:].split(".")[0])
        if number >= 500:
            yield 3, []
        elif kind == "A":
            yield 0, [bytes([10, 0, number // 250, number % 250])]
        else:
            yield 0, [bytes([len(f"text {number}")]) + f"text {number}".encode()]


def check_dns(place, port, tls_port=None, clients=8):
    for name, ask in [("UDP", lambda asked: dns.by_datagrams(port, asked)),
                      ("TCP", lambda asked: dns.by_stream(port, asked)),
                      ("TLS", lambda asked: dns.by_stream(tls_port, asked, tls=True))]:
        if name == "TLS" and not tls_port:
            continue
        asked = zone_questions(500)
        expected = list(expected_answers(asked))
        got = many(clients * place.rounds, lambda _, ask=ask, asked=asked: ask(asked), clients)
        wrong = [(asked[at], answer[at], expected[at]) for answer in got for at in range(len(asked))
                 if answer[at] != expected[at]]
        expect(not wrong, f"{name}: {len(wrong)} wrong, first {wrong[:1]}")
        place.fact(name, len(got) * len(asked))


def reset_connections(port, count, data=b""):
    for number in range(count):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(data[:number % (len(data) + 1)])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def nsd(place, servers=2):
    port, folder = place.port(), place.folder
    folder.joinpath("zone").write_text(
        "$ORIGIN example.test.\n$TTL 60\n@ SOA ns.example.test. root.example.test. 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n"
        + "".join(f"h{n} A 10.0.{n // 250}.{n % 250}\nh{n} TXT \"text {n}\"\n" for n in range(500)))
    folder.joinpath("nsd.conf").write_text(f"""
server:
  server-count: {servers}
  ip-address: 127.0.0.1
  port: {port}
  username: ""
  zonesdir: {folder}
  database: ""
  pidfile: {folder}/nsd.pid
  xfrdfile: {folder}/xfrd.state
  xfrdir: {folder}
  zonelistfile: {folder}/zone.list
remote-control:
  control-enable: yes
  control-interface: {folder}/nsd.control
zone:
  name: example.test
  zonefile: zone
  provide-xfr: 127.0.0.1 NOKEY
""")
    return place.start("nsd", "-d", "-c", folder / "nsd.conf", port=port), port


def dns_server(place):
    """nsd: processes that come and go with each reload."""
    program, port = nsd(place)
    check_dns(place, port)
    reset_connections(port, 200, b"\0\x1e" + dns.question(1, "h1.example.test", "A"))
    for number in range(4 * place.rounds):
        if number % 2:
            program.send(signal.SIGHUP)
        else:
            told = place.run("nsd-control", "-c", place.folder / "nsd.conf", "reload", uses_libev=False)
            place.fact("reload", told.output())
        check_dns(place, port, clients=2)
    place.fact("end", program.stop())


def dns_resolver(place):
    """unbound with threads, local data, and nsd behind it; by UDP, TCP, TLS."""
    port, tls_port, folder = place.port(), place.port(), place.folder
    _, behind = nsd(place, servers=1)
    key, certificate = place.certificate()
    local = "".join(f"  local-data: \"h{n}.example.test. A 10.0.{n // 250}.{n % 250}\"\n"
                    f"  local-data: 'h{n}.example.test. TXT \"text {n}\"'\n" for n in range(500))
    for name, zone in (("local", f"  local-zone: example.test. static\n{local}"),
                       ("asked", f"  local-zone: test. nodefault\n  domain-insecure: test.\nstub-zone:\n"
                                 f"  name: example.test.\n  stub-addr: 127.0.0.1@{behind}\n")):
        folder.joinpath("unbound.conf").write_text(f"""
remote-control:
  control-enable: yes
  control-interface: {folder}/{name}.control
  control-use-cert: no
server:
  num-threads: 3
  verbosity: 1
  use-syslog: no
  logfile: ""
  do-daemonize: no
  username: ""
  chroot: ""
  directory: {folder}
  pidfile: {folder}/unbound.pid
  interface: 127.0.0.1@{port}
  interface: 127.0.0.1@{tls_port}
  tls-port: {tls_port}
  tls-service-key: {key}
  tls-service-pem: {certificate}
  do-not-query-localhost: no
  module-config: iterator
  incoming-num-tcp: 100
{zone}""")
        program = place.start("unbound", "-d", "-c", folder / "unbound.conf", port=port)
        check_dns(place, port, tls_port)
        reset_connections(port, 100, b"\0\x1e" + dns.question(1, "h1.example.test", "A"))
        reset_connections(tls_port, 100, b"\x16\x03\x01\x02\0\1\0\1\xfc" + b"x" * 50)
        for words in ("reload",), ("flush_zone", "example.test"), ("status",):
            told = place.run("unbound-control", "-c", folder / "unbound.conf", *words, uses_libev=False, status=None)
            place.fact(words[0], (told.status, told.output().decode().split("\n")[0]))
            place.wait_listening(program, port)
        program.ready_for(signal.SIGHUP)
        program.send(signal.SIGHUP)
        place.wait_listening(program, port)
        check_dns(place, port, tls_port, clients=3)
        place.fact(f"{name}, end", program.stop())


class Control:
    """tor's control port."""

    def __init__(self, port):
        self.lines = socket.create_connection(("127.0.0.1", port), timeout=30).makefile("rwb")

    def ask(self, text):
        self.lines.write(text.encode() + b"\r\n")
        self.lines.flush()
        found = []
        while True:
            found.append(self.lines.readline().decode().strip())
            if found[-1][3:4] != "-":
                return found


def tor(place):
    """Alone, with an authority that does not answer: what it answers itself by evdns's server, SOCKS and control."""
    port, names, socks, folder = place.port(), place.port(), place.port(), place.folder / "tor"
    folder.mkdir(mode=0o700)
    place.folder.joinpath("torrc").write_text(f"""
DataDirectory {folder}
ControlPort 127.0.0.1:{port}
SocksPort 127.0.0.1:{socks}
DNSPort 127.0.0.1:{names}
TestingTorNetwork 1
ClientRejectInternalAddresses 1
DirAuthority nobody orport={place.port()} v3ident=0123456789012345678901234567890123456789 127.0.0.1:{place.port()} 0123456789012345678901234567890123456789
AutomapHostsOnResolve 1
AutomapHostsSuffixes .onion,.exit,.auto
SafeLogging 0
Log notice stdout
""")
    program = place.start("tor", "-f", place.folder / "torrc", "--defaults-torrc", "/dev/null", port=port)
    control = Control(port)
    place.fact("authenticate", control.ask("AUTHENTICATE"))
    place.fact("version", control.ask("GETINFO version"))
    place.fact("events", control.ask("SETEVENTS SIGNAL"))
    asked = [(f"host{number}.auto", "A") for number in range(400)]
    got = many(5, lambda _: dns.by_datagrams(names, asked), 5)
    place.fact("the same each time", all(answer == got[0] for answer in got))
    expect(all(code == 0 and len(data) == 1 and data[0][0] == 127 for code, data in got[0]), got[0][:3])
    place.fact("different", len({data[0] for _, data in got[0]}))
    reset_connections(socks, 100, b"\5\1\0\5\1\0\3\x09localhost\0\x50")
    refused = []
    for _ in range(20):  # an address that it does not let anybody ask for
        with socket.create_connection(("127.0.0.1", socks), timeout=30) as client:
            client.sendall(b"\5\1\0")
            first = client.recv(2)
            client.sendall(b"\5\1\0\1\x7f\0\0\1\0\x50")
            refused.append((first, client.recv(10)))
    place.fact("refused", sorted(set(refused)))
    for word in ("SIGNAL RELOAD", "SIGNAL NEWNYM", "SIGNAL CLEARDNSCACHE"):
        place.fact(word, sorted(control.ask(word) + [control.lines.readline().decode().strip()]))
    for number in (signal.SIGHUP, signal.SIGUSR1):
        program.send(number)
        place.fact(number.name, control.lines.readline().decode().strip())
    place.fact("still there", control.ask("GETINFO net/listeners/dns") ==
               [f'250-net/listeners/dns="127.0.0.1:{names}"', "250 OK"])
    place.fact("end", program.stop(signal.SIGTERM))


# ---- bufferevents, TLS ----

class TlsEcho:
    """Echoes what TLS clients send, until close ()."""

    def __init__(self, key, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0), backlog=200), server_side=True,
                                            do_handshake_on_connect=False)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.echo, args=(connection,), daemon=True).start()

    @staticmethod
    def echo(connection):
        try:
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def tls_exchange(port, data, name="localhost"):
    """Sends and receives in turns, as one object of TLS must not be used by two threads."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    got = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=name) as client:
            issuer = client.getpeercert(binary_form=True)
            for at in range(0, len(data), 30_000):
                client.sendall(data[at:at + 30_000])
                while len(got) < min(at + 30_000, len(data)) and (more := client.recv(65536)):
                    got += more
    return bytes(got), issuer


def tls_splitter(place):
    """sslsplit: TLS in and out by bufferevents, certificates made on the way, names by evdns."""
    ca_key, ca = place.folder / "ca.key", place.folder / "ca.crt"
    command(place, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca", "-days", "2", "-keyout",
            ca_key, "-out", ca)
    server = place.keep(TlsEcho(*place.certificate()))
    plain = place.keep(peers.echo())
    fixed, named, through, refused = (place.port() for _ in range(4))
    program = place.start("sslsplit", "-D", "-k", ca_key, "-c", ca, "-u", "root", "-l", "connections.log",
                          "ssl", "127.0.0.1", fixed, "127.0.0.1", server.port, "ssl", "127.0.0.1", named, "sni", server.port,
                          "tcp", "127.0.0.1", through, "127.0.0.1", plain.port,
                          "ssl", "127.0.0.1", refused, "127.0.0.1", place.port(), port=through)
    data = place.payload("data", 1_000_000).read_bytes()

    def visit(number):
        port = fixed if number % 2 else named
        size = (0, 1, 1000, 30_000, 100_000)[number % 5]
        got, certificate = tls_exchange(port, data[:size])
        return got == data[:size], b"ca" in certificate

    place.fact("small", sorted(set(many(60 * place.rounds, visit, 10))))
    place.fact("big", [digest(tls_exchange(port, data)[0]) for port in (fixed, named)])
    # Its relays of plain TCP are only reset: on the genuine library they sometimes stop for good.

    def nobody(_):
        try:
            return tls_exchange(refused, b"x")[0]
        except OSError as failure:
            return type(failure).__name__

    place.fact("nobody there", len(set(many(10, nobody, 5))) > 0)
    for port in (fixed, named, through):
        reset_connections(port, 60, b"\x16\x03\x01\x02\0\1\0\1\xfc" + b"x" * 50)
    place.fact("after that", digest(tls_exchange(named, data[:5000])[0]))
    place.fact("end", program.stop(signal.SIGTERM))


def turn(place, ways=(("UDP", ()), ("TLS", ("-t", "-S")))):
    """coturn: clients, peers and server, all on the library."""
    port, tls_port, peer = place.port(), place.port(), place.port()
    key, certificate = place.certificate()
    program = place.start("turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", port, "--tls-listening-port",
                          tls_port, "--cert", certificate, "--pkey", key, "--allow-loopback-peers", "-a", "-u", "u:p", "-r",
                          "realm", "--no-cli", "--log-file", "stdout", "-m", 2, "--min-port", 32500, "--max-port", 32700,
                          "--userdb", place.folder / "users", "--no-dtls", port=port)
    place.start("turnutils_peer", "-L", "127.0.0.1", "-p", peer)
    for name, options in ways:
        told = place.run("turnutils_uclient", *options, "-e", "127.0.0.1", "-r", peer, "-u", "u", "-w", "p", "-n", 20, "-m", 4,
                         "-l", 300, "-p", tls_port if "-S" in options else port, "127.0.0.1").output().decode()
        lost = re.findall(r"Total lost packets (\d+) ", told)  # those on their way when it ends count as lost
        expect(lost and int(lost[-1]) <= 20, told[-1500:])
        place.fact(name, "done")
    reset_connections(port, 100, b"\0\1\0\0\x21\x12\xa4\x42" + b"x" * 12)
    place.fact("end", program.stop(signal.SIGTERM))


def turn_in_all_ways(place):
    turn(place, (("TCP", ("-t",)), ("channels", ("-s",)), ("TCP and TLS again", ("-t", "-S"))))


# ---- the bare core ----

class Socks:
    """A SOCKS 5 server whose every destination is an echo."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        try:
            with connection:
                connection.recv(2 + 255)
                connection.sendall(b"\5\0")
                connection.recv(300)
                connection.sendall(b"\5\0\0\1\x7f\0\0\1\0\1")
                while data := connection.recv(65536):
                    connection.sendall(data)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def socks_redirector(place):
    """redsocks: bufferevents between a client and a SOCKS server."""
    server, port = place.keep(Socks()), place.port()
    place.folder.joinpath("conf").write_text(f"""
base {{ log_debug = off; log_info = on; log = "stderr"; daemon = off; redirector = generic; }}
redsocks {{ local_ip = 127.0.0.1; local_port = {port}; ip = 127.0.0.1; port = {server.port}; type = socks5; }}
""")
    program = place.start("redsocks", "-c", place.folder / "conf", port=port)
    data = place.payload("data", 2_000_000).read_bytes()

    def visit(number):
        size = (1, 1000, 100_000, 2_000_000)[number % 4]
        with peers.connect(port) as client:
            return digest(peers.exchange(client, data[:size]))

    place.fact("exchanged", sorted(set(many(40 * place.rounds, visit, 8))))
    reset_connections(port, 200, b"x" * 20)
    place.fact("after that", visit(2))
    program.send(signal.SIGUSR1)
    place.fact("end", program.stop(signal.SIGTERM))


def jobs(place):
    """gearmand: threads that hand connections to each other."""
    port = place.port()
    program = place.start("gearmand", "-L", "127.0.0.1", "-p", port, "-t", 3, "-l", "stderr", port=port)
    server = ("-h", "127.0.0.1", "-p", str(port))
    for _ in range(3):
        place.launch(place.client, "gearman", "-w", *server, "-f", "count", "--", "wc", "-c", uses_libev=False)

    def visit(number):
        return command(place, "gearman", *server, "-f", "count", input=b"x" * (number % 7) * 1000).strip()

    place.fact("counted", many(60 * place.rounds, visit, 8)[:7])
    reset_connections(port, 200, b"\0REQ\0\0\0\7\0\0\0\5count")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"workers\nstatus\n")
        status = b""
        while status.count(b".\n") < 2:
            status += client.recv(1000)
        place.fact("status", b"count\t0\t0\t3" in status)
    place.fact("end", program.stop(signal.SIGTERM))


class Database:
    """As much of a PostgreSQL server as a pooler asks for; a query is answered with its text."""

    def __init__(self):
        self.peer = peers.echo()
        self.peer.server.RequestHandlerClass = self.Handler
        self.port, self.close = self.peer.port, self.peer.close

    class Handler(peers._Echo):  # pylint: disable=protected-access
        def message(self):
            head = self.request.recv(5, socket.MSG_WAITALL)
            if len(head) < 5:
                return b"X", b""
            size = struct.unpack(">I", head[1:])[0] - 4
            return head[:1], self.request.recv(size, socket.MSG_WAITALL) if size else b""

        def handle(self):
            size = struct.unpack(">I", self.request.recv(4, socket.MSG_WAITALL))[0]
            self.request.recv(size - 4, socket.MSG_WAITALL)
            told = b"".join(packet(b"S", pair) for pair in (b"server_version\x0015.0\0", b"client_encoding\0UTF8\0",
                                                            b"standard_conforming_strings\0on\0"))
            self.request.sendall(packet(b"R", b"\0\0\0\0") + told + packet(b"K", b"\0" * 8) + packet(b"Z", b"I"))
            while True:
                kind, data = self.message()
                if kind == b"X":
                    return
                row = packet(b"D", b"\0\1" + struct.pack(">I", len(data)) + data)
                column = packet(b"T", b"\0\1q\0" + struct.pack(">IHIHIH", 0, 0, 25, 0xffff, 0xffffffff, 0))
                self.request.sendall((column + row + packet(b"C", b"SELECT 1\0")) * bool(data.strip(b"\0;"))
                                     + packet(b"Z", b"I"))


def packet(kind, data):
    return kind + struct.pack(">I", len(data) + 4) + data


class Session:
    """A client of a PostgreSQL server."""

    def __init__(self, port, database):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        start = b"\0\3\0\0user\0u\0database\0" + database.encode() + b"\0\0"
        self.socket.sendall(struct.pack(">I", len(start) + 4) + start)
        self.answers = self.socket.makefile("rb")
        self.until_ready()

    def until_ready(self):
        rows = []
        while True:
            head = self.answers.read(5)
            expect(len(head) == 5, f"the connection ended after {rows}")
            size = struct.unpack(">I", head[1:])[0] - 4
            data = self.answers.read(size)
            expect(head[:1] != b"E", data)
            if head[:1] == b"D":
                rows.append(data[2:])
            if head[:1] == b"Z":
                return rows

    def ask(self, text):
        self.socket.sendall(packet(b"Q", text.encode() + b"\0"))
        return self.until_ready()


def pooler(place):
    """pgbouncer: many clients on few connections; its console, reloads, and an end."""
    database, port = place.keep(Database()), place.port()
    place.folder.joinpath("users").write_text('"u" "p"\n')
    place.folder.joinpath("conf").write_text(f"""
[databases]
d = host=127.0.0.1 port={database.port} dbname=d user=u
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {place.folder}/users
admin_users = u
pool_mode = transaction
default_pool_size = 5
max_client_conn = 300
server_tls_sslmode = disable
server_check_query =
server_reset_query =
""")
    program = place.start("pgbouncer", "-u", "nobody", place.folder / "conf", port=port)

    def visit(number):
        session = Session(port, "d")
        for at in range(20):
            text = f"select {number} {at} " + "x" * (at * 500)
            expect(text.encode() in session.ask(text)[0], "another answer")
        session.socket.close()
        return 20

    place.fact("queries", sum(many(100 * place.rounds, visit, 50)))
    console = Session(port, "pgbouncer")
    place.fact("pools", len(console.ask("show pools")))
    place.fact("reload", console.ask("reload"))
    program.send(signal.SIGHUP)
    reset_connections(port, 100, b"\0\0\0\x18\0\3\0\0user\0u\0database\0")
    place.fact("queries", sum(many(20, visit, 10)))
    place.fact("paused", (console.ask("pause"), console.ask("resume")))
    place.fact("queries", visit(1))
    program.send(signal.SIGINT)
    place.fact("end", program.wait())


# ---- processes and signals ----

def super_server(place):
    """inetd: a process for every connection, and SIGCHLD for every one that ends."""
    cat, sh, echo, time_of = (place.port() for _ in range(4))
    conf = place.folder / "inetd.conf"
    services = f"""
127.0.0.1:{cat} stream tcp nowait root /bin/cat cat
127.0.0.1:{sh} stream tcp nowait root /bin/sh sh -c read\\ x;exec\\ printf\\ %s\\ $x
"""
    conf.write_text(f"127.0.0.1:{cat} stream tcp nowait root /bin/cat cat\n")
    program = place.start("inetd", "-d", "-R", 100_000, conf, port=cat)

    def visit(number):
        with peers.connect(cat) as client:
            data = str(number).encode() * (number % 1000 + 1)
            return peers.exchange(client, data) == data

    place.fact("served", many(300 * place.rounds, visit, 20).count(True))
    for turn_ in range(6 * place.rounds):
        conf.write_text(f"127.0.0.1:{cat} stream tcp nowait root /bin/cat cat\n"
                        + f"127.0.0.1:{sh} stream tcp nowait root /bin/echo echo {turn_}\n" * (turn_ % 2))
        program.send(signal.SIGHUP)

        def other():
            try:
                with peers.connect(sh) as client:
                    return client.recv(10)
            except OSError:
                return None
        wanted = f"{turn_}\n".encode() if turn_ % 2 else None
        eventually(lambda: other() == wanted, "its configuration is read again")  # pylint: disable=cell-var-from-loop
        place.fact(f"reloaded {turn_}", many(20, visit, 5).count(True))
    reset_connections(cat, 200, b"x" * 100)
    place.fact("served", many(100, visit, 20).count(True))
    eventually(lambda: not zombies(program.pid), "its children are reaped")
    place.fact("end", program.stop(signal.SIGTERM))


def zombies(pid):
    told = subprocess.run([find("ps"), "-o", "stat=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [state for state in told.stdout.split() if state.startswith("Z")]


def storm(place):
    """Signals without end while processes start and end: all are served, and all children reaped."""
    cat, conf = place.port(), place.folder / "inetd.conf"
    conf.write_text(f"127.0.0.1:{cat} stream tcp nowait root /bin/cat cat\n")
    program, stopped = place.start("inetd", "-d", "-R", 100_000, conf, port=cat), threading.Event()

    def signals():
        while not stopped.wait(0.002):
            for number in (signal.SIGCHLD, signal.SIGCHLD, signal.SIGHUP):
                program.send(number)

    def visit(number):
        with peers.connect(cat) as client:
            return peers.exchange(client, b"%d" % number) == b"%d" % number

    sender = threading.Thread(target=signals)
    sender.start()
    try:
        served = many(400 * place.rounds, visit, 10).count(True)
    finally:
        stopped.set()
        sender.join()
    place.fact("served", served)
    eventually(lambda: not zombies(program.pid), "its children are reaped")
    place.fact("end", program.stop(signal.SIGTERM))


def control_mode(place, variables):
    """A client that talks to the server in lines, until it is told to go."""
    client = subprocess.Popen([find("tmux"), "-L", "x", "-C", "attach"], cwd=place.folder, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=place.client.environment(place.folder / "control") | variables)
    limit = threading.Timer(30, client.kill)
    limit.start()
    with client:
        client.stdin.write(b"list-windows\n")
        client.stdin.flush()
        found = [next((line for line in client.stdout if line.startswith(b"%end")), b"").split(b" ")[0].strip() for _ in range(2)]
        client.stdin.write(b"detach\n")
        client.stdin.flush()
        found.append(next((line for line in client.stdout if line.startswith(b"%exit")), b"").split(b" ")[0].strip())
        client.wait()
    limit.cancel()
    return client.returncode, found


def terminals(place):
    """tmux: clients, server, windows, jobs; all of it signals, pipes and processes."""
    variables = {"TERM": "screen", "TMUX_TMPDIR": str(place.folder), "SHELL": "/bin/sh"}

    def tmux(*words, status=0):
        return place.run("tmux", "-L", "x", "-f", "/dev/null", *words, variables=variables, status=status)

    tmux("new-session", "-d", "-s", "s", "-x", 80, "-y", 24, "cat")
    pid = int(tmux("display-message", "-p", "#{pid}").output())
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        expect((place.server.name == "ours") == ("libtorque_event.so" in maps.read()), "the server's maps")
    tmux("send-keys", "-t", "s", "hello there", "Enter")
    eventually(lambda: tmux("capture-pane", "-p", "-t", "s").output().count(b"hello there") == 2, "what cat says")
    for number in range(15 * place.rounds):
        tmux("new-window", "-d", "-t", "s:", "-n", f"w{number}", "cat")
    place.fact("windows", len(tmux("list-windows", "-t", "s").output().splitlines()))
    commands = "".join(f"run-shell 'echo {number} >> jobs'\n" for number in range(200 * place.rounds))
    place.folder.joinpath("jobs.conf").write_text(commands)
    tmux("source-file", place.folder / "jobs.conf")
    wanted = {str(number) for number in range(200 * place.rounds)}
    eventually(lambda: {line for file in place.folder.rglob("jobs") for line in file.read_text().split()} == wanted,
               "all jobs have run")
    for number in range(15 * place.rounds):
        tmux("kill-window", "-t", f"s:w{number}")
    place.fact("windows", len(tmux("list-windows", "-t", "s").output().splitlines()))
    place.fact("control mode", control_mode(place, variables))
    tmux("kill-server")
    place.fact("gone", tmux("list-sessions", status=None).status)


SCENARIOS = [transmission, litecoin, dns_server, dns_resolver, tor, tls_splitter, turn, socks_redirector, jobs, pooler,
             super_server, storm, terminals]
LONG = [turn_in_all_ways]
