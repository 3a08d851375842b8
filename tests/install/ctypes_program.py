# SPDX-License-Identifier: BSD-3-Clause
"""A user without a compiler: the library through ctypes alone."""
import ctypes
import sys

torque = ctypes.CDLL(sys.argv[1])
torque.torque_version.restype = ctypes.c_char_p
torque.torque_version_number.restype = ctypes.c_uint32
print(torque.torque_version().decode())
