# SPDX-License-Identifier: BSD-3-Clause
"""Peers without libev for the programs under test: an echo by TCP and UDP, an HTTP server, and a client's exchange."""
import functools
import http.server
import socket
import socketserver
import threading


class _Threaded(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, block_on_close = True, True, False

    def handle_error(self, request, client_address):
        """Resets are part of what is tested."""


class Peer:
    """A server in a thread of its own, until close ()."""

    def __init__(self, server):
        self.server, self.port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class _EchoDatagrams(socketserver.BaseRequestHandler):
    def handle(self):
        data, answers = self.request
        answers.sendto(data, self.client_address)


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):  # pylint: disable=arguments-differ
        pass


def echo():
    return Peer(_Threaded(("127.0.0.1", 0), _Echo))


def echo_datagrams(port):
    return Peer(socketserver.UDPServer(("127.0.0.1", port), _EchoDatagrams))


def files(folder):
    return Peer(_Threaded(("127.0.0.1", 0), functools.partial(_Files, directory=str(folder))))


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def exchange(connection, data):
    """Sends all while it receives as much."""
    sender = threading.Thread(target=connection.sendall, args=(data,), daemon=True)
    sender.start()
    got = bytearray()
    while len(got) < len(data) and (more := connection.recv(65536)):
        got += more
    sender.join()
    return bytes(got)
