# SPDX-License-Identifier: BSD-3-Clause
"""A user without a compiler: a driven context, an event of its own and a timer, through ctypes alone."""
import ctypes
import sys

torque = ctypes.CDLL(sys.argv[1])
torque.torque_version.restype = ctypes.c_char_p
torque.torque_errstr.restype = ctypes.c_char_p
FD_FN = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_uint32, ctypes.c_void_p)
TIMER_FN = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p)
seen = []


def call(name, *arguments):
    error = getattr(torque, name)(*arguments)
    if error:
        sys.exit(f"{name}: {torque.torque_errstr(error).decode()}")


@FD_FN
def on_event(source, fd, events, arg):
    seen.append("event")
    return 0


@TIMER_FN
def on_timeout(source, expirations, arg):
    seen.append("timeout")


config, ctx = ctypes.c_void_p(), ctypes.c_void_p()
event, timer = ctypes.c_uint64(), ctypes.c_uint64()
call("torque_config_new", ctypes.byref(config))
call("torque_config_set_driven", config, 1)
call("torque_ctx_new", config, ctypes.byref(ctx))
torque.torque_config_free(config)
call("torque_event_add", ctx, 0, on_event, None, ctypes.byref(event))
call("torque_timer_new", ctx, 0, on_timeout, None, ctypes.byref(timer))
call("torque_timer_set", timer, ctypes.c_uint64(1_000_000), ctypes.c_uint64(0), 0)
call("torque_trigger", event, 0)
for _ in range(1000):
    if len(seen) == 2:
        break
    call("torque_run_once", ctx, ctypes.c_uint64(10_000_000), None)
call("torque_stop", ctx)
if sorted(seen) != ["event", "timeout"]:
    sys.exit(f"callbacks that came: {seen}")
print(torque.torque_version().decode())
