#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of event that libverto knows, on its libev module. Prints what came, without times."""
import ctypes
import os
import signal

IO, TIMEOUT, IDLE, SIGNAL, CHILD = 1, 2, 4, 8, 16
PERSIST, HIGH, MEDIUM, LOW, READ, WRITE, ERROR, CLOSE = (1 << bit for bit in (0, 1, 2, 3, 4, 5, 8, 9))
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)

verto = ctypes.CDLL("libverto.so.1")
kept = []


def call(name, result, *arguments):
    function = getattr(verto, "verto_" + name)
    function.restype = result
    return function(*arguments)


def pointer(value):
    return ctypes.c_void_p(value)


def watcher(kind, flags, callback, *arguments):
    def guarded(context, event):
        callback(pointer(context), pointer(event))
    kept.append(CALLBACK(guarded))
    return pointer(call("add_" + kind, ctypes.c_void_p, context, flags, kept[-1], *arguments))


def say(*words):
    print(*words, flush=True)


context = pointer(call("default", ctypes.c_void_p, b"libev", 0))
if not context.value:
    raise SystemExit("no libev module")
say("kinds", call("get_supported_types", ctypes.c_int, context))


def timers():
    ticks = []

    def tick(_, event):
        ticks.append(1)
        say("tick", len(ticks), call("get_interval", ctypes.c_long, event))
        if len(ticks) == 3:
            call("del", None, event)
            call("break", None, context)
    watcher("timeout", PERSIST, tick, ctypes.c_long(20))
    watcher("timeout", 0, lambda c, e: say("once"), ctypes.c_long(5))
    call("run", None, context)


def pipes():
    reader, writer = os.pipe()
    got = []

    def readable(_, event):
        got.append(os.read(reader, 3))
        say("read", got[-1], call("get_fd_state", ctypes.c_int, event) & (READ | WRITE | ERROR))
        if not got[-1]:
            call("del", None, event)
            call("break", None, context)

    def writable(_, event):
        os.write(writer, b"abcdefgh")
        os.close(writer)
        call("del", None, event)
    watcher("io", PERSIST | READ, readable, reader)
    watcher("io", WRITE, lambda c, e: say("writable once", call("get_fd_state", ctypes.c_int, e) & WRITE), writer)
    watcher("timeout", 0, lambda c, e: watcher("io", PERSIST | WRITE, writable, writer), ctypes.c_long(10))
    call("run", None, context)
    os.close(reader)


def signals():
    came = []

    def caught(_, event):
        came.append(call("get_signal", ctypes.c_int, event))
        say("signal", came[-1])
        if len(came) == 3:
            call("del", None, event)
            call("break", None, context)
        else:
            os.kill(os.getpid(), signal.SIGUSR1)
    watcher("signal", PERSIST, caught, signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    call("run", None, context)


def child():
    pid = os.fork()
    if pid == 0:
        os._exit(42)

    def ended(_, event):
        say("child", call("get_proc", ctypes.c_int, event) == pid,
            os.waitstatus_to_exitcode(call("get_proc_status", ctypes.c_int, event)))
        call("break", None, context)
    watcher("child", 0, ended, pid)
    call("run", None, context)


def idle():
    turns = []

    def turn(_, event):
        turns.append(1)
        if len(turns) == 5:
            say("idle", len(turns))
            call("del", None, event)
            call("break", None, context)
    watcher("idle", PERSIST, turn)
    call("run", None, context)


def forked():
    """The same context in a child after verto_reinitialize: what persists goes on there."""
    reader, writer = os.pipe()
    watcher("io", PERSIST | READ | (1 << 6), lambda c, e: (say("in the child", os.read(reader, 10)),
                                                           call("break", None, context)), reader)
    pid = os.fork()
    if pid == 0:
        say("reinitialized", call("reinitialize", ctypes.c_int, context))
        os.write(writer, b"hello")
        call("run", None, context)
        os._exit(0)
    say("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


for part in (timers, pipes, signals, idle, child, forked):
    say(part.__name__)
    part()
call("free", None, context)
say("freed")
