// SPDX-License-Identifier: BSD-3-Clause
// CMocka for tests in C++. Include it last: cmocka.h has no extern "C" of its own and its macros fail() and skip()
// break the standard headers that come after it.
#pragma once

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

// Its assertions cast with C casts and pass plain integers: our own warnings are for our own code.
extern "C" {
#include <cmocka.h>
}
