# SPDX-License-Identifier: BSD-3-Clause
# Libraries beside libtorque.so, for what needs another library: libtorque_NAME.so.1 on the public interface alone. Each
# is a folder lib/NAME with its symbol map torque_NAME.map, and an option TORQUE_NAME: AUTO, ON, OFF.
#
#   torque_addon(NAME [OPEN] DESCRIPTION text PACKAGES pkg-config... [LINKS names...] DEBIAN packages... LIBRARIES names...
#                HEADERS files... SOURCES files...)
#
# OPEN: programs that use it use its packages' own calls too, and are linked with them.
# LINKS: libraries that pkg-config does not know, where the caller has found them.
#
# Makes the targets torque_NAME, torque_NAME_static and torque_NAME_core (the objects), libtorque-NAME.pc, and says to the
# checks, the tests and the headers' installation whose is what:
#   TORQUE_ADDONS            those that are built
#   TORQUE_ADDON_FOLDERS     all
#   TORQUE_ADDON_HEADERS     headers of all of them; TORQUE_ADDON_HEADERS_NAME of one
function(torque_addon name)
  cmake_parse_arguments(addon "OPEN" "DESCRIPTION" "PACKAGES;LINKS;DEBIAN;LIBRARIES;HEADERS;SOURCES" ${ARGN})
  string(TOUPPER ${name} upper)
  set_property(GLOBAL APPEND PROPERTY TORQUE_ADDON_FOLDERS ${name})
  set_property(GLOBAL APPEND PROPERTY TORQUE_ADDON_HEADERS ${addon_HEADERS})
  set_property(GLOBAL PROPERTY TORQUE_ADDON_HEADERS_${name} ${addon_HEADERS})
  set_property(GLOBAL PROPERTY TORQUE_ADDON_LIBRARIES_${name} ${addon_LIBRARIES})
  if(TORQUE_${upper} STREQUAL "OFF")
    return()
  endif()
  set(packages "")
  if(addon_PACKAGES)
    pkg_check_modules(TORQUE_ADDON_${upper} QUIET IMPORTED_TARGET ${addon_PACKAGES})
    set(packages PkgConfig::TORQUE_ADDON_${upper})
  endif()
  if(addon_PACKAGES AND NOT TORQUE_ADDON_${upper}_FOUND)
    list(JOIN addon_DEBIAN ", " debian)
    if(TORQUE_${upper} STREQUAL "ON")
      message(FATAL_ERROR "TORQUE_${upper}=ON, but ${addon_PACKAGES} (${debian}) was not found")
    endif()
    message(STATUS "lib/${name}: ${addon_PACKAGES} (${debian}) was not found, left out")
    return()
  endif()

  set(core torque_${name}_core)
  add_library(${core} OBJECT ${addon_SOURCES})
  target_link_libraries(${core} PRIVATE torque_lib_flags PUBLIC ${packages} ${addon_LINKS})
  target_include_directories(${core} PUBLIC ${PROJECT_SOURCE_DIR}/include)
  set_target_properties(${core} PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

  set(map ${CMAKE_CURRENT_SOURCE_DIR}/torque_${name}.map)
  add_library(torque_${name} SHARED $<TARGET_OBJECTS:${core}>)
  target_link_libraries(torque_${name} PRIVATE torque_flags ${packages} ${addon_LINKS} PUBLIC torque)
  target_link_options(torque_${name} PRIVATE
    -Wl,--version-script=${map}
    -static-libstdc++ -static-libgcc -Wl,--as-needed -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack)
  if(NOT TORQUE_SANITIZE)
    target_link_options(torque_${name} PRIVATE -Wl,-z,defs)
  endif()
  set_target_properties(torque_${name} PROPERTIES
    LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${map}
    INSTALL_RPATH "$ORIGIN")

  if(addon_OPEN)
    target_link_libraries(torque_${name} INTERFACE ${addon_LIBRARIES})
  endif()

  add_library(torque_${name}_static STATIC $<TARGET_OBJECTS:${core}>)
  set_target_properties(torque_${name}_static PROPERTIES OUTPUT_NAME torque_${name} LINKER_LANGUAGE CXX)
  target_link_libraries(torque_${name}_static INTERFACE torque_static ${addon_LIBRARIES})

  foreach(library torque_${name} torque_${name}_static)
    target_compile_definitions(${library} INTERFACE LIBTORQUE_WITH_${upper})
    target_include_directories(${library} INTERFACE
      $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    add_library(libtorque::${library} ALIAS ${library})
  endforeach()
  install(TARGETS torque_${name} torque_${name}_static EXPORT libtorque
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  list(TRANSFORM addon_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/include/libtorque/)
  install(FILES ${addon_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/libtorque)

  # Relocatable, as the others: see pkgconfig/.
  set(TORQUE_ADDON ${name})
  set(TORQUE_ADDON_UPPER ${upper})
  set(TORQUE_ADDON_DESCRIPTION ${addon_DESCRIPTION})
  list(TRANSFORM addon_PACKAGES REPLACE "[<>=].*" "" OUTPUT_VARIABLE requires)
  list(JOIN requires " " requires)
  set(TORQUE_ADDON_REQUIRES libtorque)
  set(TORQUE_ADDON_REQUIRES_PRIVATE "${requires}")
  if(addon_OPEN)
    set(TORQUE_ADDON_REQUIRES "libtorque ${requires}")
    set(TORQUE_ADDON_REQUIRES_PRIVATE "")
  endif()
  list(TRANSFORM addon_LINKS PREPEND "-l" OUTPUT_VARIABLE links)
  list(JOIN links " " TORQUE_ADDON_LINKS)
  file(RELATIVE_PATH TORQUE_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" TORQUE_PC_PREFIX "${TORQUE_PC_PREFIX}")
  configure_file(${PROJECT_SOURCE_DIR}/pkgconfig/libtorque-addon.pc.in libtorque-${name}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/libtorque-${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  set_property(GLOBAL APPEND PROPERTY TORQUE_ADDONS ${name})
endfunction()
