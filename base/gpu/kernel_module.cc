#include "base/gpu/kernel_module.h"

#include <fmt/format.h>
#include <nvrtc.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/error.h"

namespace millrace {
namespace {

void RequireNvrtc(nvrtcResult result, std::string_view what) {
  if (result != NVRTC_SUCCESS) Fail("{}: {}", what, nvrtcGetErrorString(result));
}

struct DestroyProgram {
  using pointer = nvrtcProgram;
  void operator()(nvrtcProgram program) const { nvrtcDestroyProgram(&program); }
};
using Program = std::unique_ptr<nvrtcProgram, DestroyProgram>;

std::string LogOf(nvrtcProgram program) {
  std::size_t bytes = 0;
  if (nvrtcGetProgramLogSize(program, &bytes) != NVRTC_SUCCESS || bytes <= 1) return "no log";
  std::string log(bytes, '\0');
  nvrtcGetProgramLog(program, log.data());
  log.resize(bytes - 1);
  return log;
}

int ComputeCapability() {
  int device = 0;
  int major = 0;
  int minor = 0;
  RequireCuda(cudaGetDevice(&device), "there is no GPU");
  RequireCuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
              "the GPU's compute capability");
  RequireCuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
              "the GPU's compute capability");
  return 10 * major + minor;
}

}  // namespace

std::string CompileKernels(std::span<const KernelSource> sources, std::string_view main,
                           int compute_capability) {
  // NVRTC wants texts that end with a zero.
  std::vector<std::string> names;
  std::vector<std::string> texts;
  std::string main_text;
  for (const KernelSource& source : sources) {
    if (source.name == main) {
      main_text = source.text;
    } else {
      names.emplace_back(source.name);
      texts.emplace_back(source.text);
    }
  }
  MILLRACE_CHECK(!main_text.empty());
  const auto pointers = [](const std::vector<std::string>& strings) {
    std::vector<const char*> all;
    for (const std::string& string : strings) all.push_back(string.c_str());
    return all;
  };
  nvrtcProgram made = nullptr;
  RequireNvrtc(nvrtcCreateProgram(&made, main_text.c_str(), std::string(main).c_str(),
                                  static_cast<int>(names.size()), pointers(texts).data(),
                                  pointers(names).data()),
               "the CUDA compiler cannot be started");
  const Program program(made);
  const std::string architecture = fmt::format("--gpu-architecture=sm_{}", compute_capability);
  const std::array<const char*, 4> options = {architecture.c_str(), "--std=c++17", "--fmad=false",
                                              "--extra-device-vectorization"};
  if (nvrtcCompileProgram(made, static_cast<int>(options.size()), options.data()) !=
      NVRTC_SUCCESS) {
    Fail("the kernels {} cannot be compiled for compute capability {}.{}:\n{}", main,
         compute_capability / 10, compute_capability % 10, LogOf(made));
  }
  std::size_t bytes = 0;
  RequireNvrtc(nvrtcGetCUBINSize(made, &bytes), "the compiled kernels");
  std::string code(bytes, '\0');
  RequireNvrtc(nvrtcGetCUBIN(made, code.data()), "the compiled kernels");
  return code;
}

KernelModule::KernelModule(std::span<const KernelSource> sources, std::string_view main) {
  const std::string code = CompileKernels(sources, main, ComputeCapability());
  RequireCuda(cudaLibraryLoadData(&library_, code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
              fmt::format("the kernels {} cannot be loaded", main));
}

KernelModule::~KernelModule() { cudaLibraryUnload(library_); }

cudaKernel_t KernelModule::Find(const char* name) const {
  cudaKernel_t kernel = nullptr;
  RequireCuda(cudaLibraryGetKernel(&kernel, library_, name),
              fmt::format("there is no kernel {}", name));
  return kernel;
}

}  // namespace millrace
