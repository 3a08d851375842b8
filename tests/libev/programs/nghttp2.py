# SPDX-License-Identifier: BSD-3-Clause
"""nghttp2's programs: nghttpd and nghttpx serve, h2load, nghttp and curl ask. HTTP/1.1 is what nghttpx makes of nghttpd."""
import re
import signal
import socket
import struct
import subprocess
import time

from support import digest, eventually, expect, find

COUNTS = re.compile(r"^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, "
                    r"(\d+) timeout$", re.M)
CODES = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$", re.M)
DATA = re.compile(r"^traffic: .*\((\d+)\) data$", re.M)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # of a client: the magic and its settings
SIZES = {"empty": 0, "small": 1000, "page": 100_000, "big": 3_000_000}


def htdocs(place):
    for name, size in SIZES.items():
        place.payload(f"htdocs/{name}", size)
    return place.folder / "htdocs"


def nghttpd(place, *options, tls=False, workers=1):
    port = place.port()
    secret = place.certificate() if tls else ("--no-tls",)
    place.start("nghttpd", "-a", "127.0.0.1", "-d", htdocs(place), "-n", workers, "--echo-upload", *options, port,
                *secret, port=port)
    return port, f"http{'s' if tls else ''}://127.0.0.1:{port}"


def nghttpx(place, backend, *options, tls=False, workers=1):
    """In front of nghttpd, which it speaks HTTP/2 with. Returns the program and where to ask."""
    port = place.port()
    secret = place.certificate() if tls else ()
    program = place.start("nghttpx", "--conf=/dev/null", f"-f127.0.0.1,{port}{'' if tls else ';no-tls'}",
                          f"-b127.0.0.1,{backend};;proto=h2", "-n", workers, "--accesslog-file=access.log",
                          "--errorlog-file=error.log", "--no-ocsp", *options, *secret, port=port)
    program.ready_for(signal.SIGQUIT)
    return program, f"http{'s' if tls else ''}://127.0.0.1:{port}"


def load(place, url, requests, *options, size=None):
    """h2load: every request succeeds and brings all its bytes."""
    output = place.run("h2load", "-n", requests, *options, url).output().decode()
    total, started, done, succeeded, failed, errored, late = map(int, COUNTS.search(output).groups())
    expect((started, done, succeeded, failed, errored, late) == (total, total, total, 0, 0, 0), output)
    expect(CODES.search(output).groups() == (str(total), "0", "0", "0"), output)
    if size is not None:
        expect(int(DATA.search(output).group(1)) == total * size, f"not {total} times {size} bytes\n{output}")
    place.fact(f"load of {url.rsplit('/', 1)[1]}", total)


def same(place, name, got):
    expected = (place.folder / "htdocs" / name).read_bytes()
    expect(got == expected, f"{name}: got {digest(got)}, not {digest(expected)}")
    place.fact(name, digest(got))


def curl(place, *options):
    """A client without libev."""
    return place.run("curl", "--silent", "--show-error", "--insecure", "--noproxy", "*", "--max-time", 50, *options,
                     uses_libev=False).output()


def serve(place, tls):
    _, url = nghttpd(place, tls=tls)
    load(place, f"{url}/small", 2000, "-c", 20, "-m", 10, size=SIZES["small"])
    load(place, f"{url}/big", 24, "-c", 4, "-m", 3, size=SIZES["big"])
    load(place, f"{url}/empty", 100, "-c", 100, size=0)
    for name in SIZES:
        same(place, name, place.run("nghttp", f"{url}/{name}").output())
    same(place, "big", curl(place, "--http2" if tls else "--http2-prior-knowledge", f"{url}/big"))


def http2(place):
    serve(place, tls=False)


def http2_tls(place):
    serve(place, tls=True)


def threads(place):
    _, url = nghttpd(place, workers=3)
    load(place, f"{url}/page", 600, "-c", 12, "-m", 5, "-t", 3, size=SIZES["page"])
    _, url = nghttpd(place, tls=True, workers=2)
    load(place, f"{url}/page", 300, "-c", 8, "-m", 5, "-t", 2, size=SIZES["page"])


def uploads(place):
    for tls in (False, True):
        _, url = nghttpd(place, tls=tls)
        for name in ("small", "page", "big"):
            file = place.folder / "htdocs" / name
            same(place, name, place.run("nghttp", "-d", file, f"{url}/echo").output())
            load(place, f"{url}/echo", 20, "-c", 4, "-m", 2, "-d", file, size=SIZES[name])


def http1(place, tls):
    backend, _ = nghttpd(place)
    for workers in (1, 3):
        _, url = nghttpx(place, backend, tls=tls, workers=workers)
        load(place, f"{url}/small", 1000, "--h1", "-c", 10, "-t", workers, size=SIZES["small"])
        load(place, f"{url}/page", 100, "--h1", "-c", 10, "-m", 4, size=SIZES["page"])
        load(place, f"{url}/small", 1000, "-c", 10, "-m", 10, "-t", workers, size=SIZES["small"])
        for name in SIZES:
            same(place, name, curl(place, "--http1.1", f"{url}/{name}"))
        file = place.folder / "htdocs/big"
        same(place, "big", curl(place, "--http1.1", "--data-binary", f"@{file}", f"{url}/echo"))
        load(place, f"{url}/echo", 10, "--h1", "-c", 2, "-d", file, size=SIZES["big"])


def http1_1(place):
    http1(place, tls=False)


def http1_1_tls(place):
    http1(place, tls=True)


def upgrade(place):
    """From HTTP/1.1 to HTTP/2 on one connection; several files, one after the other and together."""
    backend, _ = nghttpd(place)
    _, url = nghttpx(place, backend)
    same(place, "page", place.run("nghttp", "-u", f"{url}/page").output())
    same(place, "big", place.run("nghttp", "-m", 1, f"{url}/big").output())
    got = place.run("nghttp", "-n", "-s", *(f"{url}/{name}" for name in SIZES)).output().decode()
    place.fact("answered", sorted(re.findall(r" (200) +\S+ (/\w+)$", got, re.M)))


def timed_load(place):
    """h2load by the clock: rates, durations, time-outs, a script of requests. All that was started is answered."""
    _, url = nghttpd(place)
    load(place, f"{url}/small", 40, "-c", 40, "-r", 10, "--rate-period=100ms", size=SIZES["small"])
    output = place.run("h2load", "-D", 1, "--warm-up-time=200ms", "-c", 4, "-m", 2, f"{url}/small").output().decode()
    total, _, done, succeeded, failed, errored, late = map(int, COUNTS.search(output).groups())
    expect(total > 0 and done == succeeded and (failed, errored, late) == (0, 0, 0), output)
    script = place.folder / "script"
    script.write_text("".join(f"{at}\t{url}/small\n" for at in (0, 50, 51, 200, 300)))
    output = place.run("h2load", "--timing-script-file", script, "-c", 3, "-n", 15).output().decode()
    place.fact("script", COUNTS.search(output).group(0))


def nobody_answers(place):
    """A refused connection, and a server that takes the connection and stays silent."""
    refused = place.port()
    program = place.run("h2load", "-n", 10, "-c", 2, f"http://127.0.0.1:{refused}/", status=None)
    place.fact("refused", (program.status, COUNTS.findall(program.output().decode())))
    silent = place.keep(socket.create_server(("127.0.0.1", 0)))
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
    for command in (("nghttp", "-t", 1), ("h2load", "-n", 4, "-c", 2, "-N", 1)):
        program = place.run(*command, url, status=None)
        place.fact(f"silent, {' '.join(map(str, command))}", (program.status, COUNTS.findall(program.output().decode())))


def aborted_clients(place):
    """Connections reset in the middle of everything, and a client that is killed: the server goes on."""
    port, url = nghttpd(place, workers=2)
    for number in range(60):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall((PREFACE + b"\xff" * 30)[:number])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    killed = place.launch(place.client, "h2load", "-n", 100_000, "-c", 10, "-m", 10, f"{url}/page")
    eventually(lambda: b"progress: " in killed.output() or not killed.running() or killed.mapped, "a load")
    time.sleep(0.3)
    killed.send(signal.SIGKILL)
    place.fact("killed", killed.wait())
    load(place, f"{url}/page", 200, "-c", 10, "-m", 5, size=SIZES["page"])


def slow_download(place, url, name):
    """Starts a client that takes about a second for the file; returns it when it has begun."""
    target = place.folder / f"slow-{name}"
    target.unlink(missing_ok=True)
    program = place.launch(place.client, "curl", "--silent", "--insecure", "--noproxy", "*", "--http1.1", "--no-buffer",
                           "--limit-rate", "2M", "-o", target, f"{url}/{name}", uses_libev=False)
    eventually(lambda: target.exists() and target.stat().st_size > 0, "the beginning of a download")
    return program, target


def end_by_signal(place):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        backend, url = nghttpd(place)
        server = place.programs[-1]
        front, front_url = nghttpx(place, backend)
        load(place, f"{url}/small", 100, "-c", 4, size=SIZES["small"])
        load(place, f"{front_url}/small", 100, "--h1", "-c", 4, size=SIZES["small"])
        place.fact(f"nghttpx, {number.name}", front.stop(number))
        place.fact(f"nghttpd, {number.name}", server.stop(number))


def graceful_end(place):
    """SIGQUIT ends nghttpx when what it has begun is done, with all bytes."""
    backend, _ = nghttpd(place)
    for options in ((), ("--single-thread",)):
        front, url = nghttpx(place, backend, *options, workers=2)
        client, target = slow_download(place, url, "big")
        front.send(signal.SIGQUIT)
        expect(client.wait() == 0, client.errors())
        same(place, "big", target.read_bytes())
        place.fact("nghttpx", front.wait())


def reload(place):
    """SIGHUP makes a new worker process, SIGUSR2 a new nghttpx; SIGUSR1 opens the logs anew. Nothing is lost."""
    backend, _ = nghttpd(place)
    front, url = nghttpx(place, backend, "--pid-file=nghttpx.pid", workers=2)
    pid_file, log = place.folder / "nghttpx.pid", place.folder / "access.log"
    client, target = slow_download(place, url, "big")
    front.send(signal.SIGHUP)
    expect(client.wait() == 0, client.errors())
    same(place, "big", target.read_bytes())
    load(place, f"{url}/small", 200, "--h1", "-c", 4, size=SIZES["small"])
    log.rename(place.folder / "old.log")
    front.send(signal.SIGUSR1)
    eventually(log.exists, "a new log")
    load(place, f"{url}/small", 200, "--h1", "-c", 4, size=SIZES["small"])
    first = pid_file.read_text()
    front.send(signal.SIGUSR2)
    eventually(lambda: pid_file.read_text() not in ("", first), "another nghttpx")
    place.fact("old nghttpx", front.stop(signal.SIGQUIT))
    load(place, f"{url}/small", 200, "--h1", "-c", 4, size=SIZES["small"])


def time_outs(place):
    """Idle connections are closed by nghttpx's timers."""
    backend, _ = nghttpd(place)
    for option in ("--frontend-http2-read-timeout=1s", "--frontend-keep-alive-timeout=1s"):
        _, url = nghttpx(place, backend, option, "--backend-keep-alive-timeout=500ms")
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=50) as client:
            client.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n" if "http2" not in option else
PREFACE)
            begun, size = time.monotonic(), 0
            while got := client.recv(65536):
                size += len(got)
            place.fact(f"closed by {option}", (size > 0, time.monotonic() - begun > 0.9))
        load(place, f"{url}/small", 50, "--h1", "-c", 4, size=SIZES["small"])


def dead_backend(place):
    """nghttpx answers 502 or 503 while its back end is gone, and serves again when it is back."""
    port = place.port()
    _, url = nghttpx(place, port, "--backend-max-backoff=1s")
    place.fact("none", curl(place, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/small").decode())
    server = place.start("nghttpd", "-a", "127.0.0.1", "-d", htdocs(place), "--no-tls", port, port=port)

    def served():
        return curl(place, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/small") == b"200"
    eventually(served, "an answer")
    server.stop(signal.SIGKILL)
    code = curl(place, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/small").decode()
    expect(code in ("502", "503"), code)


BOTH_SIDES = [http2, http2_tls, threads, uploads, http1_1, http1_1_tls, timed_load, aborted_clients]
ONE_SIDE = [upgrade, nobody_answers, end_by_signal, graceful_end, reload, time_outs, dead_backend]
