# What a plugin (docs/plugins.md) is built with, installed: headers, and a CMake package with millrace_add_plugin().

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# Only what a plugin can need, with all that these include; tests/e2e/test_plugins.py looks at it.
set(plugin_headers
  base/check.h base/error.h base/hash.h base/params.h base/random.h base/result.h base/table.h
  model/components.h model/layers.h model/loss.h model/metric.h model/named_tensor.h model/network.h model/optimizer.h
  model/schedule.h
  pipeline/components.h pipeline/plugin.h
  stages/geometry.h stages/image.h stages/ops/geometry_op.h stages/ops/operations.h stages/ops/pixel_op.h
  stages/pixels/pixels.h
  tracking/event.h)

# Any change of a header is another ABI: the version alone would say so too late.
set(hashes)
foreach(header IN LISTS plugin_headers)
  file(SHA256 ${PROJECT_SOURCE_DIR}/${header} hash)
  string(APPEND hashes ${hash})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${header})
endforeach()
string(SHA256 MILLRACE_HEADERS_HASH "${hashes}")
string(SUBSTRING ${MILLRACE_HEADERS_HASH} 0 12 MILLRACE_HEADERS_HASH)
set(MILLRACE_GENERATED ${PROJECT_BINARY_DIR}/generated)
configure_file(${PROJECT_SOURCE_DIR}/pipeline/plugin_abi.h.in ${MILLRACE_GENERATED}/pipeline/plugin_abi.h @ONLY)

# millrace_export_to_plugins(<program>): plugins that it loads find its symbols.
function(millrace_export_to_plugins program)
  target_link_options(${program} PRIVATE LINKER:--dynamic-list=${PROJECT_SOURCE_DIR}/cmake/plugin_symbols.list)
  set_property(TARGET ${program} APPEND PROPERTY LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/plugin_symbols.list)
endfunction()

# millrace_install_package(): `cmake --install` puts program, headers and package in place.
function(millrace_install_package)
  set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/millrace)
  set(include_folder ${CMAKE_INSTALL_INCLUDEDIR}/millrace)
  # As it was linked: LibTorch stays where it was found.
  install(PROGRAMS $<TARGET_FILE:millrace> DESTINATION ${CMAKE_INSTALL_BINDIR})
  foreach(header IN LISTS plugin_headers)
    get_filename_component(folder ${header} DIRECTORY)
    install(FILES ${header} DESTINATION ${include_folder}/${folder})
  endforeach()
  install(FILES ${MILLRACE_GENERATED}/pipeline/plugin_abi.h DESTINATION ${include_folder}/pipeline)
  configure_package_config_file(cmake/millraceConfig.cmake.in ${PROJECT_BINARY_DIR}/millraceConfig.cmake
    INSTALL_DESTINATION ${package_folder} PATH_VARS include_folder)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/millraceConfigVersion.cmake COMPATIBILITY ExactVersion)
  install(FILES ${PROJECT_BINARY_DIR}/millraceConfig.cmake ${PROJECT_BINARY_DIR}/millraceConfigVersion.cmake
    cmake/FindLibTorch.cmake DESTINATION ${package_folder})
endfunction()
