#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Linux 6.18, epoll(7), level-triggered, seen through Python 3.11 of Debian 12.
#
# What one might think: epoll_wait() returns descriptors in the order in which they became ready. A descriptor whose interest
# is changed by EPOLL_CTL_MOD and that is ready for the new interest would come after all that were ready before the call.
#
# What happens: a descriptor that the last epoll_wait() returned stays in the kernel's list of what may be ready, at its
# place, until the next epoll_wait() looks at it. So after it was read empty, and after another descriptor has become
# readable, a change of its interest to writing makes it come first. One that was not returned last comes second, as expected.
#
# Output seen: "returned last: a b", "not returned last: b a".
set -eu
version=3.11.2-6+deb12u9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "python3.11-minimal=$version" "libpython3.11-minimal=$version" >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >order.py <<'PY'
import select
import socket

def order(returned_last):
    a, a_peer = socket.socketpair()
    b, b_peer = socket.socketpair()
    queue = select.epoll()
    names = {a.fileno(): "a", b.fileno(): "b"}
    queue.register(a, select.EPOLLIN)
    queue.register(b, select.EPOLLIN)
    a_peer.send(b"x")
    assert queue.poll(1) == [(a.fileno(), select.EPOLLIN)]
    a.recv(1)
    if not returned_last:
        assert queue.poll(0) == []
    b_peer.send(b"x")
    queue.modify(a, select.EPOLLIN | select.EPOLLOUT)
    return " ".join(names[fd] for fd, _ in queue.poll(1))

print("returned last:", order(True))
print("not returned last:", order(False))
PY
seen=$(PYTHONHOME="$work/root/usr" "$work/root/usr/bin/python3.11" -S order.py)
echo "$seen"
[ "$seen" = "returned last: a b
not returned last: b a" ]
