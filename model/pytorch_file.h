// Weights that `torch.save` wrote (.pth, .pt, .bin): PyTorch's archive since 1.6, and the format
// before it.
//
// Nothing in the file is run (pickle.h). What is taken: a state dict, alone or under one of the
// names that training scripts give it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/named_tensor.h"

namespace millrace::model {

struct PyTorchState {
  std::vector<NamedTensor> tensors;  // in the file's order, contiguous, owning their memory
  std::string part;                  // the name that it had in the file; "": the file is the state
};

// Whether the file begins as those of torch.save do.
bool IsPyTorchFile(const std::filesystem::path& path);

// Reads the state. Where there are several, averages of weights come first, as in timm:
// "state_dict_ema", "model_ema", "state_dict", "model". Prefixes that wrappers put in front of all
// names ("module.", "_orig_mod.") are taken off, and the "n_averaged" of an average is left out.
// Throws Error naming the file and saying what to do when it holds no state, is cut or damaged.
PyTorchState ReadPyTorchFile(const std::filesystem::path& path);

}  // namespace millrace::model
