# Finds LibTorch inside a Python environment that holds PyPI's `torch` wheel.
#
# torch's own CMake package needs a CUDA toolkit whenever the wheel was built with CUDA, and trips over CMake 3.25;
# millrace links the shared libraries themselves and needs neither.
#
# Input:   LibTorch_VENV   the environment (default: <source>/.venv)
# Targets: LibTorch::c10, LibTorch::cpu; and where the nvidia wheels beside torch hold the CUDA headers LibTorch::cuda,
#          LibTorch::cudart (CUDA's runtime alone) and LibTorch::nvrtc (its compiler for kernels)
# Result:  LibTorch_FOUND, LibTorch_VERSION, LibTorch_LIBRARY_DIR, LibTorch_CUDA_FOUND

set(LibTorch_VENV "${PROJECT_SOURCE_DIR}/.venv" CACHE PATH "Python environment that holds the torch wheel")
file(GLOB _libtorch_sites "${LibTorch_VENV}/lib/python3*/site-packages")
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h
  PATHS ${_libtorch_sites} PATH_SUFFIXES torch/include NO_DEFAULT_PATH)
if(LibTorch_INCLUDE_DIR)
  get_filename_component(_libtorch_root "${LibTorch_INCLUDE_DIR}" DIRECTORY)
  get_filename_component(_libtorch_site "${_libtorch_root}" DIRECTORY)
  set(LibTorch_LIBRARY_DIR "${_libtorch_root}/lib")
  find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH)
  find_library(LibTorch_C10_LIBRARY c10 PATHS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH)
  if(EXISTS "${_libtorch_root}/version.py")
    file(STRINGS "${_libtorch_root}/version.py" _libtorch_version_line REGEX "^__version__ = ")
    string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" LibTorch_VERSION "${_libtorch_version_line}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run './check setup', which puts the torch wheel into ${LibTorch_VENV}")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  # The wheel carries headers of its own {fmt}, whose library is not ours. A link to the system's headers, searched
  # first, keeps one {fmt} in the program; torch's few uses of it compile with either.
  find_path(LibTorch_SYSTEM_FMT fmt/format.h REQUIRED)
  set(_libtorch_first "${CMAKE_BINARY_DIR}/libtorch_first")
  file(MAKE_DIRECTORY "${_libtorch_first}")
  file(CREATE_LINK "${LibTorch_SYSTEM_FMT}/fmt" "${_libtorch_first}/fmt" SYMBOLIC)

  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES
    IMPORTED_LOCATION "${LibTorch_C10_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${_libtorch_first};${LibTorch_INCLUDE_DIR}")
  add_library(LibTorch::cpu SHARED IMPORTED)
  set_target_properties(LibTorch::cpu PROPERTIES
    IMPORTED_LOCATION "${LibTorch_CPU_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${_libtorch_first};${LibTorch_INCLUDE_DIR};${LibTorch_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES LibTorch::c10)

  find_library(LibTorch_CUDA_LIBRARY torch_cuda PATHS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH)
  find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda PATHS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH)
  find_path(LibTorch_CUDA_INCLUDE_DIR cuda_runtime_api.h
    PATHS "${_libtorch_site}/nvidia" PATH_SUFFIXES cu13/include cuda_runtime/include NO_DEFAULT_PATH)
  find_path(LibTorch_NCCL_INCLUDE_DIR nccl.h
    PATHS "${_libtorch_site}/nvidia/nccl" PATH_SUFFIXES include NO_DEFAULT_PATH)
  find_library(LibTorch_CUDART_LIBRARY NAMES libcudart.so.13 libcudart.so.12
    PATHS "${_libtorch_site}/nvidia" PATH_SUFFIXES cu13/lib cuda_runtime/lib NO_DEFAULT_PATH)
  find_library(LibTorch_NVRTC_LIBRARY NAMES libnvrtc.so.13 libnvrtc.so.12
    PATHS "${_libtorch_site}/nvidia" PATH_SUFFIXES cu13/lib cuda_nvrtc/lib NO_DEFAULT_PATH)
  if(LibTorch_CUDA_LIBRARY AND LibTorch_C10_CUDA_LIBRARY AND LibTorch_CUDA_INCLUDE_DIR AND LibTorch_NCCL_INCLUDE_DIR
      AND LibTorch_CUDART_LIBRARY AND LibTorch_NVRTC_LIBRARY)
    set(LibTorch_CUDA_FOUND TRUE)
    foreach(name cudart nvrtc)
      string(TOUPPER ${name} upper)
      add_library(LibTorch::${name} SHARED IMPORTED)
      set_target_properties(LibTorch::${name} PROPERTIES
        IMPORTED_LOCATION "${LibTorch_${upper}_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_CUDA_INCLUDE_DIR}")
    endforeach()
    add_library(LibTorch::cuda SHARED IMPORTED)
    set_target_properties(LibTorch::cuda PROPERTIES
      IMPORTED_LOCATION "${LibTorch_CUDA_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_NCCL_INCLUDE_DIR}"
      INTERFACE_LINK_LIBRARIES "LibTorch::cpu;${LibTorch_C10_CUDA_LIBRARY};LibTorch::cudart")
  endif()
endif()
mark_as_advanced(LibTorch_SYSTEM_FMT LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_CUDA_LIBRARY
  LibTorch_C10_CUDA_LIBRARY LibTorch_CUDA_INCLUDE_DIR LibTorch_CUDART_LIBRARY LibTorch_NVRTC_LIBRARY
  LibTorch_NCCL_INCLUDE_DIR)
