# SPDX-License-Identifier: BSD-3-Clause
"""The libev reactor of Cassandra's driver: timers made by several threads, a loop in a thread of its own. Prints what came."""
import socket
import threading
import time

from cassandra.io import libevreactor, libevwrapper
from cassandra.io.libevreactor import LibevConnection

THREADS, EACH, PATIENCE = 4, 25, 30

LibevConnection.initialize_reactor()
loop = libevreactor._global_loop  # pylint: disable=protected-access
got, data = [], []
near, far = socket.socketpair()
# A watcher that is there before the loop: without one it ends at once.
reader = libevwrapper.IO(far.fileno(), libevwrapper.EV_READ, loop._loop,  # pylint: disable=protected-access
                         lambda watcher, events, error=None: data.append(far.recv(10)))
reader.start()
in_turn = [LibevConnection.create_timer(0.02 * number, lambda number=number: got.append(number)) for number in range(10)]
in_turn[5].cancel()
loop.maybe_start()


def make(mine):
    for number in range(EACH):
        LibevConnection.create_timer(0.003 * number, lambda: got.append(mine))
        time.sleep(0.002)


threads = [threading.Thread(target=make, args=(1000 + number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
near.send(b"hello")
for thread in threads:
    thread.join()
end = time.monotonic() + PATIENCE
while (len(got) < 9 + THREADS * EACH or not data) and time.monotonic() < end:
    time.sleep(0.01)
print("in turn", [number for number in got if number < 1000])
print("of threads", [got.count(1000 + number) for number in range(THREADS)])
print("read", data)
reader.stop()
loop._cleanup()  # pylint: disable=protected-access
print("thread ended", not loop._thread or not loop._thread.is_alive())  # pylint: disable=protected-access
