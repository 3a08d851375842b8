# SPDX-License-Identifier: BSD-3-Clause
# How everything here is compiled. torque_flags is for all our code, torque_lib_flags for lib/ on top of it.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)

# The standard flags of this build type define NDEBUG; our assertions have levels of their own and tests use assert().
get_property(torque_build_type_is_set CACHE CMAKE_BUILD_TYPE PROPERTY VALUE)
if(NOT torque_build_type_is_set AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g")
  set(CMAKE_C_FLAGS_DEBUG "-Og -g")
  set(CMAKE_CXX_FLAGS_DEBUG "-Og -g")
endif()

find_package(PkgConfig REQUIRED)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
pkg_check_modules(HWLOC REQUIRED IMPORTED_TARGET hwloc>=2.0)

add_library(torque_flags INTERFACE)
target_compile_options(torque_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wthread-safety>
  $<$<BOOL:${TORQUE_WERROR}>:-Werror>
  -fno-omit-frame-pointer
  # No machine paths in assertions and debug information.
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_compile_definitions(torque_flags INTERFACE
  TORQUE_CHECK_LEVEL=${TORQUE_CHECK_LEVEL}
  # Empty, as in a source that says it itself.
  $<$<COMPILE_LANGUAGE:C>:_GNU_SOURCE=>)
target_link_libraries(torque_flags INTERFACE Threads::Threads)

if(TORQUE_SANITIZE)
  # vptr checks need the type information that the library does without.
  target_compile_options(torque_flags INTERFACE
    -fsanitize=${TORQUE_SANITIZE} -fno-sanitize-recover=all $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=vptr>)
  target_link_options(torque_flags INTERFACE -fsanitize=${TORQUE_SANITIZE})
endif()

add_library(torque_lib_flags INTERFACE)
target_compile_options(torque_lib_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti>)
target_link_libraries(torque_lib_flags INTERFACE torque_flags)

if(NOT TORQUE_USDT STREQUAL "OFF")
  try_compile(TORQUE_HAVE_SDT ${CMAKE_CURRENT_BINARY_DIR}/probe/sdt
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/probe/sdt.c)
  if(TORQUE_HAVE_SDT)
    target_compile_definitions(torque_lib_flags INTERFACE TORQUE_USDT=1)
  elseif(TORQUE_USDT STREQUAL "ON")
    message(FATAL_ERROR "TORQUE_USDT=ON, but sys/sdt.h (systemtap-sdt-dev) is not usable")
  endif()
endif()
