// NCCL, which carries tensors between GPUs.
//
// nccl_backend.cc implements it in programs that are built with CUDA, no_nccl_backend.cc in all
// others.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>

namespace millrace::model {

// Connects to the other ranks at its first use. REQUIRES: a GPU, and no other rank on it
c10::intrusive_ptr<c10d::Backend> MakeNcclBackend(const c10::intrusive_ptr<c10d::Store>& store,
                                                  int rank, int world_size,
                                                  std::chrono::milliseconds timeout);

}  // namespace millrace::model
