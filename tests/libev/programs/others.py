# SPDX-License-Identifier: BSD-3-Clause
"""More of Debian's programs on libev: proxies, a DNS server, QUIC, a browser, a supervisor, and libverto's module."""
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import struct
import threading

import peers
from support import Missing, children, digest, eventually, expect, find

HERE = pathlib.Path(__file__).parent
ROOT = os.getuid() == 0


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def echoes(place, what, connect, size=500_000, clients=1):
    """What is sent comes back, on several connections at once."""
    wrong = []

    def one(number):
        data = noise(size + number, number)
        with connect() as connection:
            got = peers.exchange(connection, data)
        if got != data:
            wrong.append(f"{what}: got {digest(got)}, not {digest(data)}")
    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(not wrong, "\n".join(wrong))
    place.fact(what, f"{clients} times {size} bytes")


def answers(connect, what):
    for _ in range(10):
        with connect() as client:
            client.sendall(b"again")
            expect(client.recv(5) == b"again", f"an echo of {what}")


def reset(connection):
    """Closes so that the peer is told of an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# shadowsocks-libev: a tunnel of two programs, by TCP and UDP

SECRET = ("-k", "a password", "-m", "chacha20-ietf-poly1305")


def comes_back(port):
    try:
        with peers.connect(port) as connection:
            return peers.exchange(connection, b"x") == b"x"
    except OSError:
        return False


def socks(port, target):
    connection = peers.connect(port)
    connection.sendall(b"\5\1\0")
    expect(connection.recv(2) == b"\5\0", "SOCKS without a password")
    connection.sendall(b"\5\1\0\3\x09localhost" + struct.pack(">H", target))
    expect(connection.recv(10)[:2] == b"\5\0", "SOCKS connected")
    return connection


def shadowsocks(place, server_options=(), local_options=()):
    target = place.keep(peers.echo())
    place.keep(peers.echo_datagrams(target.port))
    server, local, tunnel = place.port(), place.port(), place.port()
    remote = ("-s", "127.0.0.1", "-p", server, *SECRET)
    programs = [place.start("ss-server", *remote, "-t", 20, "-u", *server_options, port=server)]
    for name, port, options in (("ss-local", local, ()), ("ss-tunnel", tunnel, ("-L", f"127.0.0.1:{target.port}"))):
        programs.append(place.launch(place.client, name, *remote, "-b", "127.0.0.1", "-l", port, "-t", 20, "-u", *options,
                                     *local_options))
        place.wait_listening(programs[-1], port)
    eventually(lambda: comes_back(tunnel), "an echo: plugins listen a little later")
    echoes(place, "tunnel", lambda: peers.connect(tunnel), clients=8)
    echoes(place, "SOCKS", lambda: socks(local, target.port), clients=8)
    for number in range(20):
        client = socks(local, target.port) if number % 2 else peers.connect(tunnel)
        client.sendall(noise(100_000))
        reset(client)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.connect(("127.0.0.1", tunnel))
        for size in (1, 100, 1300):
            client.send(noise(size))
            expect(client.recv(2000) == noise(size), f"a datagram of {size} bytes")
    echoes(place, "after resets", lambda: socks(local, target.port), size=3_000_000, clients=2)
    place.fact("ends", [program.stop(signal.SIGTERM) for program in reversed(programs)])


def shadowsocks_obfuscated(place):
    """With simple-obfs' programs, also on libev, started by shadowsocks'."""
    shadowsocks(place, ("--plugin", find("obfs-server"), "--plugin-opts", "obfs=tls"),
                ("--plugin", find("obfs-local"), "--plugin-opts", "obfs=tls;obfs-host=localhost"))


# hitch: TLS in front of a plain server, in worker processes

def hitch(place):
    target, port = place.keep(peers.echo()), place.port()
    key, certificate = place.certificate()
    pem = place.folder / "hitch.pem"
    pem.write_bytes(key.read_bytes() + certificate.read_bytes())
    user = ("--user=nobody", "--group=nogroup") if ROOT else ()
    program = place.start("hitch", f"--frontend=[127.0.0.1]:{port}", f"--backend=[127.0.0.1]:{target.port}",
                          "--workers=2", "--daemon=off", *user, pem, port=port)
    trust = ssl.create_default_context(cafile=str(certificate))

    def connect():
        return trust.wrap_socket(peers.connect(port), server_hostname="localhost")
    with connect() as client:
        data = noise(200_000)
        got = bytearray()
        for begin in range(0, len(data), 10_000):
            client.sendall(data[begin:begin + 10_000])
            while len(got) < begin + 10_000:
                got += client.recv(65536)
        expect(got == data, "the echo through TLS")
    for number in range(30):
        client = connect() if number % 2 else peers.connect(port)
        client.sendall(noise(1000))
        reset(client)
    answers(connect, "hitch after resets")
    place.fact("end", program.stop(signal.SIGTERM))


# sniproxy: chooses the server by the name in the request or in the TLS greeting

def sniproxy(place):
    for name in "ab":
        place.payload(f"{name}/index.html", 50_000 + ord(name))
    servers = [place.keep(peers.files(place.folder / name)) for name in "ab"]
    port, port_tls = place.port(), place.port()
    key, certificate = place.certificate()
    secure = place.port()
    place.start("openssl", "s_server", "-accept", f"127.0.0.1:{secure}", "-key", key, "-cert", certificate, "-rev",
                "-quiet", uses_libev=False, port=secure)
    config = place.folder / "sniproxy.conf"
    user = "user root\n" if ROOT else ""
    config.write_text(f"""{user}error_log {{ filename {place.folder}/error.log }}
listen 127.0.0.1:{port} {{ proto http\n table http }}
listen 127.0.0.1:{port_tls} {{ proto tls\n table tls }}
table http {{\n one.example 127.0.0.1:{servers[0].port}\n two.example 127.0.0.1:{servers[1].port}\n}}
table tls {{\n localhost 127.0.0.1:{secure}\n}}
""")
    program = place.start("sniproxy", "-f", "-c", config, port=port)
    for host, name in (("one.example", "a"), ("two.example", "b")):
        got = place.run("curl", "--silent", "--noproxy", "*", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/",
                        uses_libev=False).output()
        expect(got == (place.folder / name / "index.html").read_bytes(), f"{host}: got {digest(got)}")
    unknown = place.run("curl", "--silent", "--noproxy", "*", "-H", "Host: none.example", "-o", "/dev/null",
                        "-w", "%{http_code}", f"http://127.0.0.1:{port}/", uses_libev=False, status=None)
    place.fact("unknown", (unknown.status, unknown.output()))
    trust = ssl.create_default_context(cafile=str(certificate))
    for number in range(10):
        reset(peers.connect(port))
        with trust.wrap_socket(peers.connect(port_tls), server_hostname="localhost") as client:
            client.sendall(b"a line %d\n" % number)
            expect(client.recv(100) == b"%d enil a\n" % number, "the reversed line")
    config.write_text(config.read_text().replace("one.example", "new.example"))
    program.ready_for(signal.SIGHUP)
    program.send(signal.SIGHUP)

    def reloaded():
        return place.run("curl", "--silent", "--noproxy", "*", "-H", "Host: new.example", f"http://127.0.0.1:{port}/",
                         uses_libev=False, status=None).output() == (place.folder / "a/index.html").read_bytes()
    eventually(reloaded, "the new configuration")
    place.fact("end", program.stop(signal.SIGTERM))


# gdnsd: DNS by UDP and TCP, threads, monitored addresses

def question(name, kind=1):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 7, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)


def ask(port, name, tcp):
    query = question(name)
    if not tcp:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.sendto(query, ("127.0.0.1", port))
            return client.recv(4096)
    with peers.connect(port) as client:
        client.sendall(struct.pack(">H", len(query)) + query)
        size = struct.unpack(">H", client.recv(2, socket.MSG_WAITALL))[0]
        return client.recv(size, socket.MSG_WAITALL)


def gdnsd(place):
    port, (watched, dead) = place.port(), (place.keep(peers.echo()).port, place.port())
    (place.folder / "zones").mkdir()
    zone = place.folder / "zones/example.org"
    text = "@ SOA ns1 host ( 1 7200 1800 259200 900 )\n@ NS ns1\nns1 A 192.0.2.1\nwww 60 A 192.0.2.2\n" \
           "up DYNA multifo!up\ndown DYNA multifo!down\n"
    zone.write_text(text)
    (place.folder / "config").write_text(f"""options => {{ listen => 127.0.0.1:{port}, udp_threads => 2, tcp_threads => 2
  run_dir => {place.folder}/run, state_dir => {place.folder}/state }}
service_types => {{ one => {{ plugin => tcp_connect, port => {watched}, interval => 2, timeout => 1, up_thresh => 2 }}
  two => {{ plugin => tcp_connect, port => {dead}, interval => 2, timeout => 1, down_thresh => 1 }} }}
plugins => {{ multifo => {{ up => {{ service_types => one, a => 127.0.0.1, b => 127.0.0.3 }}
  down => {{ service_types => two, c => 127.0.0.2 }} }} }}
""")
    program = place.start("gdnsd", "-c", place.folder, "start", port=port)

    def control(action):
        return place.run("gdnsdctl", "-c", place.folder, action, uses_libev=False).output()
    for number in range(50):
        for name in ("www.example.org", "none.example.org", "www.example.com"):
            answer = ask(port, name, tcp=number % 2)
            if number < 2:
                place.fact(f"{name} by {'tcp' if number else 'udp'}", answer.hex())
    states = control("states").decode()
    place.fact("monitored", sorted(re.findall(r'"([^"]+)"\s*:\s*{\s*"state"\s*:\s*"(\w+)"', states)))
    zone.write_text(text.replace("192.0.2.2", "192.0.2.3"))
    control("reload-zones")
    place.fact("reloaded", ask(port, "www.example.org", tcp=False).hex())
    counted = re.findall(r'"(noerror|nxdomain|refused|tcp_reqs|udp_reqs)"\s*:\s*(\d+)', control("stats").decode())
    place.fact("statistics", counted)
    control("stop")
    place.fact("end", program.wait())


# ngtcp2's examples: HTTP/3, whose retransmissions and pacing live on timers

def quic(place):
    port = place.port()
    for name, size in (("small", 100), ("page", 100_000), ("big", 2_000_000)):
        place.payload(f"htdocs/{name}", size)
    key, certificate = place.certificate()
    (place.folder / "got").mkdir()
    server = place.start("gtlsserver", "-q", "-d", place.folder / "htdocs", "127.0.0.1", port, key, certificate)
    eventually(lambda: re.search(rf" 0100007F:{port:04X} ", pathlib.Path("/proc/net/udp").read_text()), "a socket")
    for loss in (0, 0.05):
        for name in ("small", "page", "big"):
            got = place.folder / "got" / name
            got.unlink(missing_ok=True)
            place.run("gtlsclient", "-q", "--exit-on-all-streams-close", "--timeout=20s", f"--rx-loss={loss}",
                      f"--download={got.parent}", "127.0.0.1", port, f"https://127.0.0.1:{port}/{name}")
            expect(got.read_bytes() == (place.folder / "htdocs" / name).read_bytes(), f"{name} by QUIC")
            place.fact(f"{name}, {loss} lost", digest(got.read_bytes()))
    place.fact("end", server.stop(signal.SIGINT))


# nsca-ng: check results of a monitor by TLS

def nsca(place):
    port, commands = place.port(), place.folder / "commands"
    os.mkfifo(commands)
    reader = os.open(commands, os.O_RDONLY | os.O_NONBLOCK)
    (place.folder / "server.cfg").write_text(f"""command_file = "{commands}"
listen = "127.0.0.1:{port}"
temp_directory = "{place.folder}"
authorize "*" {{ password = "secret"\n hosts = ".*"\n services = ".*" }}
""")
    server = place.start("nsca-ng", "-F", "-c", place.folder / "server.cfg", "-l", "3", port=port)
    results = place.folder / "results"
    results.write_text("".join(f"host{n}\tservice\t{n % 3}\tall of {n}\n\x17" for n in range(50)))
    for password, status in (("secret", 0), ("wrong", None)):
        config = place.folder / "client.cfg"
        config.write_text(f'identity = "me"\npassword = "{password}"\nserver = "127.0.0.1"\nport = "{port}"\n')
        program = place.run("send_nsca", "-c", config, stdin=results, status=status)
        place.fact(f"password {password}", program.status)
    got = b""
    while more := os.read(reader, 65536):
        got += more
        if got.count(b"\n") >= 50:
            break
    os.close(reader)
    place.fact("results", re.sub(rb"\[\d+\]", b"", got))
    place.fact("end", server.stop(signal.SIGTERM))


# multiwatch: children, and a signal passed on

def multiwatch(place):
    log = place.folder / "log"
    child = place.folder / "child"
    child.write_text(f"#!/bin/sh\ntrap 'echo ended >> {log}; exit 0' TERM\necho started >> {log}\n"
                     "while :; do sleep 0.1; done\n")
    child.chmod(0o755)
    program = place.start("multiwatch", "-f", 3, "-t", 100, child)

    def lines(word):
        return log.exists() and log.read_text().count(word)
    eventually(lambda: lines("started") == 3, "three children")
    os.kill(children(program.pid)[0], signal.SIGKILL)
    eventually(lambda: lines("started") == 4, "a child in place of the killed one")
    os.kill(children(program.pid)[1], signal.SIGTERM)
    eventually(lambda: lines("started") == 5, "a child in place of the ended one")
    program.send(signal.SIGTERM)
    place.fact("end", program.wait())
    place.fact("log", sorted(log.read_text().split()))
    failing = place.run("multiwatch", "-f", 2, "-r", 2, "-t", 5000, "false", status=None)
    place.fact("children that fail", failing.status)


# elinks: a browser on libev's default loop

def elinks(place):
    (place.folder / "site").mkdir()
    words = [f"{number} words and a <a href=page{number}.html>link</a>" for number in range(300)]
    (place.folder / "site/index.html").write_text("<html><body><p>" + "<p>".join(words) + "</body></html>")
    server = place.keep(peers.files(place.folder / "site"))
    url = f"http://127.0.0.1:{server.port}"
    for page in ("/", "/absent.html"):
        program = place.run("elinks", "-no-home", "-dump", 1, url + page, status=None)
        place.fact(page, (program.status, digest(program.output().replace(url.encode(), b""))))


# libverto: the module that Kerberos' programs load

def verto(place):
    place.fact("trace", place.run(find("python3"), HERE / "verto_trace.py").output().decode())


# Cassandra's driver, on Debian's Python

def cassandra(place):
    if not pathlib.Path("/usr/lib/python3/dist-packages/cassandra").exists():
        raise Missing("python3-cassandra")
    place.fact("trace", place.run("/usr/bin/python3", HERE / "cassandra_trace.py").output().decode())


BOTH_SIDES = [shadowsocks, shadowsocks_obfuscated, quic, nsca]
ONE_SIDE = [hitch, sniproxy, gdnsd, multiwatch, elinks, verto, cassandra]
