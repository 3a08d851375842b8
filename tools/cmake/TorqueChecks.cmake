# SPDX-License-Identifier: BSD-3-Clause
# The scripts of tools/checks as tests. They look at what is shipped, so sanitized builds leave them out.
if(TORQUE_SANITIZE)
  return()
endif()

set(checks ${PROJECT_SOURCE_DIR}/tools/checks)
get_property(tools GLOBAL PROPERTY TORQUE_TOOLS)
torque_check(layers ${checks}/layers ${PROJECT_SOURCE_DIR})
torque_check(headers ${checks}/headers ${PROJECT_SOURCE_DIR})
torque_check(symbols ${checks}/symbols ${PROJECT_SOURCE_DIR} $<TARGET_FILE:torque>)
torque_check(static-inits ${checks}/static-inits $<TARGET_FILE:torque_static>)
torque_check(needed ${checks}/needed $<TARGET_FILE:torque>)
torque_check(probes ${checks}/probes ${PROJECT_SOURCE_DIR} $<TARGET_FILE:torque>)
torque_check(man ${checks}/man ${PROJECT_SOURCE_DIR} $<TARGET_FILE:torque> ${tools})
torque_check(examples ${checks}/examples ${PROJECT_SOURCE_DIR} ${CMAKE_C_COMPILER})
torque_check(abi ${checks}/abi ${PROJECT_SOURCE_DIR} $<TARGET_FILE:torque>)
torque_check(words ${checks}/words ${PROJECT_SOURCE_DIR})
torque_check(standalone ${checks}/standalone ${PROJECT_SOURCE_DIR})
