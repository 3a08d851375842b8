# SPDX-License-Identifier: BSD-3-Clause
"""Questions to a DNS server and what came back, by datagrams, TCP and TLS; as much of the format as that needs."""
import socket
import ssl
import struct

TYPES = {"A": 1, "TXT": 16, "AAAA": 28, "AXFR": 252}


def question(number, name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", TYPES[kind], 1)


def skip_name(message, at):
    while message[at]:
        if message[at] >= 0xc0:
            return at + 2
        at += message[at] + 1
    return at + 1


def answers(message):
    """(number, code, [the data of each record of the answer])."""
    number, flags, questions, count = struct.unpack(">HHHH", message[:8])
    at, found = 12, []
    for _ in range(questions):
        at = skip_name(message, at) + 4
    for _ in range(count):
        at = skip_name(message, at)
        size = struct.unpack(">H", message[at + 8:at + 10])[0]
        found.append(message[at + 10:at + 10 + size])
        at += 10 + size
    return number, flags & 15, found


def by_datagrams(port, asked):
    """All of them, 50 on the way at a time. What got lost is asked again."""
    left, got = dict(enumerate(asked)), {}
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", port))
        for _ in range(200 + len(asked) // 10):
            if not left:
                break
            some = list(left.items())[:50]
            for number, (name, kind) in some:
                client.send(question(number, name, kind))
            try:
                for _ in some:
                    number, code, data = answers(client.recv(65536))
                    if left.pop(number, None):
                        got[number] = (code, data)
            except TimeoutError:
                pass
    return [got.get(number) for number in range(len(asked))]


def receive(client, have, count):
    while len(have) < count:
        more = client.recv(65536)
        if not more:
            raise ConnectionError("ended early")
        have += more
    data = bytes(have[:count])
    del have[:count]
    return data


def by_stream(port, asked, tls=False, window=20):
    """All of them by one connection."""
    got, have = {}, bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client = context.wrap_socket(client)
        with client:
            for start in range(0, len(asked), window):
                some = list(enumerate(asked))[start:start + window]
                messages = (question(number, name, kind) for number, (name, kind) in some)
                client.sendall(b"".join(struct.pack(">H", len(message)) + message for message in messages))
                for _ in some:
                    size = struct.unpack(">H", receive(client, have, 2))[0]
                    number, code, data = answers(receive(client, have, size))
                    got[number] = (code, data)
    return [got.get(number) for number in range(len(asked))]


def address(data):
    return ".".join(map(str, data))
