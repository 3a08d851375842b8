# SPDX-License-Identifier: BSD-3-Clause
# One line per test. The name in CTest follows the path: tests/unit/timer/wheel_test.cc is unit.timer.wheel.
#
#   torque_unit_test(NAME file)     C++ on the library's objects, internals visible
#   torque_api_test(NAME file)      C on the shared library, public headers only
#   torque_stress_test(NAME file)   .c as api, .cc as unit; longer limit
#   torque_check(NAME command...)   a script
#
# The tests of an add-on library are in folders of its name below tests/api and tests/unit; where it is not built, neither are they.
#
# A test that cannot run here exits 77 and counts as skipped.

# Sanitizers slow programs down by up to this factor.
set(TORQUE_TEST_SLOWER 1)
set(TORQUE_TEST_ENV "TORQUE_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
if(TORQUE_SANITIZE)
  set(TORQUE_TEST_SLOWER 4)
  list(APPEND TORQUE_TEST_ENV
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=second_deadlock_stack=1:suppressions=${PROJECT_SOURCE_DIR}/tests/support/tsan.supp"
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan.supp")
endif()

function(torque_test_properties name label seconds)
  math(EXPR seconds "${seconds} * ${TORQUE_TEST_SLOWER}")
  set_tests_properties(${name} PROPERTIES
    LABELS ${label} TIMEOUT ${seconds} SKIP_RETURN_CODE 77 ENVIRONMENT "${TORQUE_TEST_ENV}")
endfunction()

function(torque_test_program name label seconds file)
  add_executable(${name} ${file})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  string(REGEX MATCH "^[^/]+" folder ${file})
  if(file MATCHES "\\.c$")
    target_link_libraries(${name} PRIVATE torque_flags torque_api_support
      $<$<TARGET_EXISTS:torque_${folder}>:torque_${folder}> torque PkgConfig::CMOCKA)
  else()
    target_link_libraries(${name} PRIVATE torque_lib_flags torque_unit_support
      $<$<TARGET_EXISTS:torque_${folder}_core>:torque_${folder}_core> torque_core PkgConfig::CMOCKA)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  torque_test_properties(${name} ${label} ${seconds})
endfunction()

function(torque_unit_test name file)
  torque_test_program(${name} unit 60 ${file})
endfunction()

function(torque_api_test name file)
  torque_test_program(${name} api 60 ${file})
endfunction()

function(torque_stress_test name file)
  torque_test_program(${name} stress 300 ${file})
endfunction()

function(torque_check name)
  add_test(NAME check.${name} COMMAND ${ARGN})
  torque_test_properties(check.${name} check 300)
endfunction()

# The tests of a folder, by name. File lists are written out elsewhere in this project; here the file's name *is* the
# test's name, so a list would only repeat it, and many hands adding tests would meet in one line of one file.
function(torque_discover_tests label)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} *.c *_test.cc)
  get_property(addons GLOBAL PROPERTY TORQUE_ADDON_FOLDERS)
  foreach(file ${files})
    string(REGEX MATCH "^[^/]+" folder ${file})
    if(folder IN_LIST addons AND NOT TARGET torque_${folder})
      continue()
    endif()
    string(REGEX REPLACE "(_test\\.cc|_test\\.c|\\.c)$" "" name ${file})
    string(REPLACE "/" "." name ${name})
    cmake_language(CALL torque_${label}_test ${label}.${name} ${file})
  endforeach()
endfunction()

# Fixtures that tests share: tests/support/*.c for the API's tests, *.cc for those that see the inside.
function(torque_test_support)
  set(folder ${PROJECT_SOURCE_DIR}/tests/support)
  foreach(kind api unit)
    if(kind STREQUAL "api")
      file(GLOB files CONFIGURE_DEPENDS ${folder}/*.c)
      set(flags torque_flags torque)
    else()
      file(GLOB files CONFIGURE_DEPENDS ${folder}/*.cc)
      set(flags torque_lib_flags)
    endif()
    if(files)
      add_library(torque_${kind}_support OBJECT ${files})
      target_include_directories(torque_${kind}_support PRIVATE
        ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/lib)
      target_link_libraries(torque_${kind}_support PRIVATE ${flags} PkgConfig::CMOCKA)
    else()
      add_library(torque_${kind}_support INTERFACE)
    endif()
  endforeach()
endfunction()
