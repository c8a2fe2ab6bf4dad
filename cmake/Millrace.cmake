# Compiler settings, and the functions with which every folder declares its library and its tests.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

option(MILLRACE_WERROR "Treat warnings as errors" OFF)
# LibTorch's libraries are not instrumented, so the tsan preset leaves out whatever needs them.
option(MILLRACE_TORCH "Build what needs LibTorch: model/, the last stages, the trainer, tools/" ON)
option(MILLRACE_CUDA "Link the CUDA libraries of the torch wheel" OFF)
option(MILLRACE_FUZZ "Build the libFuzzer targets" OFF)
option(MILLRACE_PRECOMPILE "Precompile the headers that take longest to read" ON)
set(MILLRACE_SANITIZE "" CACHE STRING "Value of -fsanitize= (empty: none)")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Without these it refuses whatever uses a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM AND NOT MILLRACE_SANITIZE)
  add_link_options(-fuse-ld=mold)
endif()

if(MILLRACE_SANITIZE)
  # oneTBB casts its tasks to a class before their type is settled: no vptr check.
  add_compile_options(-fsanitize=${MILLRACE_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
  # GCC's warnings that follow values through code see the sanitizer's code too and are wrong about it (its manual,
  # "-fsanitize"): they stay warnings.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(MILLRACE_NO_ERROR -Wno-error=array-bounds -Wno-error=free-nonheap-object -Wno-error=maybe-uninitialized
      -Wno-error=nonnull -Wno-error=restrict -Wno-error=stringop-overflow -Wno-error=stringop-overread)
  endif()
endif()

# millrace_sanitized_loops(<target>): its loops run over pixels, bytes or weights, and are optimised even where a
# sanitizer is on. All other code is compiled as it stands there, which takes half the time.
function(millrace_sanitized_loops target)
  if(MILLRACE_SANITIZE)
    target_compile_options(${target} PRIVATE -O1)
  endif()
endfunction()

if(MILLRACE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# PRIVATE to our own targets, so that nothing leaks into users of the libraries.
add_library(millrace_warnings INTERFACE)
target_compile_options(millrace_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
  $<$<BOOL:${MILLRACE_WERROR}>:-Werror> ${MILLRACE_NO_ERROR})

# Drops libraries that exist only with LibTorch, or with its CUDA libraries, from a list of links, when millrace is
# built without them.
function(millrace_filter_links variable)
  if(NOT MILLRACE_TORCH)
    list(FILTER ${variable} EXCLUDE REGEX "^(millrace_(model|tools)|LibTorch::.*)$")
  elseif(NOT MILLRACE_CUDA)
    list(FILTER ${variable} EXCLUDE REGEX "^LibTorch::(cuda|cudart|nvrtc)$")
  endif()
  set(${variable} "${${variable}}" PARENT_SCOPE)
endfunction()

# millrace_precompile(<target> <header>): the header is compiled once, for the first target that names it; all others
# with the same options share the result.
function(millrace_precompile target header)
  if(NOT MILLRACE_PRECOMPILE)
    return()
  endif()
  get_target_property(options ${target} COMPILE_OPTIONS)
  set(made "millrace_precompiled_${header}_${options}")
  get_property(owner GLOBAL PROPERTY "${made}")
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE ${header})
    set_property(GLOBAL PROPERTY "${made}" ${target})
  endif()
endfunction()

# millrace_sees_cuda(<files>): where CUDA's and NCCL's headers are. Nothing else sees them, so that all other files have one
# compile command with and without them, and ccache compiles them once.
function(millrace_sees_cuda)
  if(MILLRACE_CUDA)
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS
      -isystem ${LibTorch_CUDA_INCLUDE_DIR} -isystem ${LibTorch_NCCL_INCLUDE_DIR})
  endif()
endfunction()

# millrace_library(<name> SOURCES <files> [TORCH_SOURCES <files>] [CUDA_SOURCES <files>]
#                  [LINKS <public libraries>] [PRIVATE_LINKS <libraries>] [TORCH] [LOOPS])
# One static library per folder. LINKS are the arrows of docs/design.md; third-party libraries are private. With TORCH
# all SOURCES need LibTorch. TORCH_SOURCES, their headers, and links to model and LibTorch are left out when
# MILLRACE_TORCH is off; CUDA_SOURCES, which need no LibTorch, and links to its CUDA libraries when MILLRACE_CUDA is.
# LOOPS: as millrace_sanitized_loops says.
function(millrace_library name)
  cmake_parse_arguments(ARG "TORCH;LOOPS" "" "SOURCES;TORCH_SOURCES;CUDA_SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  millrace_filter_links(ARG_LINKS)
  millrace_filter_links(ARG_PRIVATE_LINKS)
  set(torch_sources)
  set(left_out)
  if(MILLRACE_TORCH)
    set(torch_sources ${ARG_TORCH_SOURCES})
  else()
    set(left_out ${ARG_TORCH_SOURCES})
  endif()
  list(TRANSFORM ARG_PRIVATE_LINKS REPLACE "^LibTorch::(cuda|cudart|nvrtc)$" "$<LINK_ONLY:LibTorch::\\1>")
  if(MILLRACE_CUDA)
    list(APPEND ARG_SOURCES ${ARG_CUDA_SOURCES})
    millrace_sees_cuda(${ARG_CUDA_SOURCES})
  else()
    list(APPEND left_out ${ARG_CUDA_SOURCES})
  endif()
  add_library(millrace_${name} STATIC ${ARG_SOURCES} ${torch_sources})
  target_include_directories(millrace_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(millrace_${name} PUBLIC ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS} millrace_warnings)
  if(ARG_LOOPS)
    millrace_sanitized_loops(millrace_${name})
  endif()
  if(ARG_TORCH)
    millrace_precompile(millrace_${name} <ATen/ATen.h>)
  elseif(torch_sources)
    millrace_precompile(millrace_${name} <ATen/ATen.h>)
    set_source_files_properties(${ARG_SOURCES} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  endif()
  file(GLOB headers RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h
    ${CMAKE_CURRENT_SOURCE_DIR}/*/*.h)
  set(header_checks)
  foreach(header IN LISTS headers)
    file(RELATIVE_PATH source ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/${header})
    string(REGEX REPLACE "\\.h$" ".cc" source "${source}")
    if("${source}" IN_LIST left_out)
      continue()
    endif()
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${source})
      file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/${source} first REGEX "^#include" LIMIT_COUNT 1)
      if(first STREQUAL "#include \"${header}\"")
        continue() # Its source compiles it alone.
      endif()
    endif()
    string(REPLACE "/" "_" unique "${header}")
    set(check ${CMAKE_CURRENT_BINARY_DIR}/header_checks/${unique}.cc)
    file(CONFIGURE OUTPUT ${check} CONTENT "#include \"${header}\"\n" @ONLY)
    list(APPEND header_checks ${check})
  endforeach()
  if(header_checks)
    # Every header must compile alone; `./check layers` builds these, which no source includes first. (Where LibTorch's
    # headers are precompiled, only the tidy preset sees that one of the standard library is missing.)
    add_library(millrace_${name}_headers OBJECT EXCLUDE_FROM_ALL ${header_checks})
    target_link_libraries(millrace_${name}_headers PRIVATE millrace_${name} ${ARG_PRIVATE_LINKS} millrace_warnings)
    add_dependencies(check_headers millrace_${name}_headers)
  endif()
endfunction()
add_custom_target(check_headers)
# Everything that ctest runs.
add_custom_target(unit_tests)

# millrace_kernels(<target> <name> NAMESPACE <namespace below millrace> FILES <files>)
# Puts the text of kernels into <target>: defines `std::span<const KernelSource> <name>()` of base/gpu/kernel_source.h,
# one source a file, called as the file is.
function(millrace_kernels target name)
  cmake_parse_arguments(ARG "" "NAMESPACE" "FILES" ${ARGN})
  set(MILLRACE_KERNEL_NAMESPACE ${ARG_NAMESPACE})
  set(sources "")
  foreach(path IN LISTS ARG_FILES)
    get_filename_component(file_name "${path}" NAME)
    file(READ "${path}" text)
    string(APPEND sources "    {\"${file_name}\", R\"MILLRACE(${text})MILLRACE\"},\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${path}")
  endforeach()
  set(MILLRACE_KERNEL_SOURCES "${sources}")
  set(MILLRACE_KERNEL_FUNCTION ${name})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/kernel_source.cc.in ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc @ONLY)
  target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  set_source_files_properties(${CMAKE_CURRENT_BINARY_DIR}/${name}.cc PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# millrace_tests(<folder> SOURCES <files> [TORCH_SOURCES <files>] LINKS <libraries> [LABEL <label>] [TORCH])
# One test program per folder: <folder>_tests, each of its suites a test of ctest's. (Each case by itself would load
# LibTorch a thousand times, which takes longer than the cases.) TORCH and TORCH_SOURCES as above.
function(millrace_tests folder)
  cmake_parse_arguments(ARG "TORCH" "LABEL" "SOURCES;TORCH_SOURCES;LINKS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL cpu)
  endif()
  millrace_filter_links(ARG_LINKS)
  if(MILLRACE_TORCH)
    list(APPEND ARG_SOURCES ${ARG_TORCH_SOURCES})
  endif()
  add_executable(${folder}_tests ${ARG_SOURCES})
  target_link_libraries(${folder}_tests PRIVATE ${ARG_LINKS} GTest::gmock GTest::gtest_main millrace_warnings)
  if(ARG_TORCH)
    millrace_precompile(${folder}_tests <ATen/ATen.h>)
  else()
    millrace_precompile(${folder}_tests <gmock/gmock.h>)
  endif()
  add_dependencies(unit_tests ${folder}_tests)
  set(suites ${CMAKE_CURRENT_BINARY_DIR}/${folder}_suites.cmake)
  add_custom_command(TARGET ${folder}_tests POST_BUILD
    COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:${folder}_tests> -D LABEL=${ARG_LABEL} -D LIST=${suites}
            -P ${PROJECT_SOURCE_DIR}/cmake/list_suites.cmake
    BYPRODUCTS ${suites} VERBATIM)
  # Named before it is there: a program that was not built has a test that fails and says so.
  file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${folder}_include.cmake CONTENT
    "if(EXISTS \"${suites}\")\n  include(\"${suites}\")\nelse()\n  add_test(${folder}_tests_NOT_BUILT ${folder}_tests_NOT_BUILT)\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_CURRENT_BINARY_DIR}/${folder}_include.cmake)
endfunction()

# millrace_fuzzer(<name> SOURCES <files> LINKS <libraries>)
# The program <name>, whose LLVMFuzzerTestOneInput must survive any bytes. The fuzz preset links libFuzzer; every other
# preset replays tests/fuzz/corpus/<name> as a test, so that what was found once stays found.
function(millrace_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} millrace_warnings)
  if(MILLRACE_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_link_libraries(${name} PRIVATE fuzz_replay)
    add_dependencies(unit_tests ${name})
    add_test(NAME Fuzz.${name} COMMAND ${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(Fuzz.${name} PROPERTIES LABELS cpu TIMEOUT 600)
  endif()
endfunction()
