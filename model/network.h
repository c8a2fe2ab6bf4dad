// A network: images in, class scores out, with its weights under the names that PyTorch users know.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/MemoryFormat.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/params.h"
#include "model/components.h"
#include "model/named_tensor.h"

namespace millrace::model {

class ProcessGroup;

// Weights are leaf tensors of autograd: after `loss.backward()` the gradients lie in
// `parameters()[i].tensor.grad()`. Whoever only evaluates holds a c10::InferenceMode (or
// c10::NoGradGuard) around Forward. One thread at a time.
class Network {
 public:
  virtual ~Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Scores (logits) [N, classes] of `images`, [N, 3, H, W] in any memory format (the network's own
  // spares a copy), float32 or, under an Autocast (precision.h), its type; on the network's device.
  // With `training`, batch statistics are used and the running ones updated. Throws c10::Error for
  // a wrong shape.
  virtual at::Tensor Forward(const at::Tensor& images, bool training) = 0;

  // Draws which parts of it the samples of the next Forward in training leave out (stochastic
  // depth), in this order: a function of the network's seed, the epoch and each sample's id. Called
  // before each such Forward, outside of a recording (CUDA graph), which takes what was drawn last.
  // Does nothing for a network that always takes all of its parts.
  virtual void DrawParts(std::uint32_t /*epoch*/, std::span<const std::uint64_t> /*sample_ids*/) {}

  // What the optimizer changes, and what it does not (running statistics); both in the order of
  // torchvision's `state_dict()`, which state() interleaves. The tensors are the network's own.
  const std::vector<NamedTensor>& parameters() const { return parameters_; }
  const std::vector<NamedTensor>& buffers() const { return buffers_; }
  const std::vector<NamedTensor>& state() const { return state_; }

  // Names of the parameters that have a row for each class; empty: not known.
  const std::vector<std::string>& head() const { return head_; }

  // Whether the [model] section has batch normalisation in training use the statistics of all ranks
  // (`sync_batch_norm`). It uses those of this rank until it is given the others.
  bool sync_batch_norm() const { return sync_batch_norm_; }
  // Gives it the ranks. Forward in training, and backward through it, then talk to them: all make
  // the same calls, with batches of any size, and both may throw LostRank. `ranks` outlives those
  // calls. REQUIRES: sync_batch_norm()
  virtual void SynchronizeNorms(ProcessGroup& ranks);

  // Moves all weights to `device`: tensors that were handed out go with them, their values and
  // memory formats stay. Before an optimizer is made for them.
  void MoveTo(c10::Device device);

  const std::string& name() const { return name_; }  // "resnet18"
  std::int64_t classes() const { return classes_; }

 protected:
  Network(std::string name, std::int64_t classes, bool sync_batch_norm)
      : name_(std::move(name)), classes_(classes), sync_batch_norm_(sync_batch_norm) {}

  // Called by the constructors of derived classes, in the order of state_dict().
  void AddParameter(std::string name, at::Tensor tensor);
  void AddBuffer(std::string name, at::Tensor tensor);
  void SetHead(std::vector<std::string> names) { head_ = std::move(names); }
  // What moves with the network and is not part of its state.
  void AddConstant(at::Tensor tensor) { constants_.push_back(std::move(tensor)); }

 private:
  std::string name_;
  std::int64_t classes_;
  bool sync_batch_norm_;
  std::vector<NamedTensor> parameters_;
  std::vector<NamedTensor> buffers_;
  std::vector<NamedTensor> state_;
  std::vector<std::string> head_;
  std::vector<at::Tensor> constants_;
};

// In which memory format the network that the [model] section asks for has its images: key
// `memory_format`, "channels_last" (the faster one for convolutions on GPUs and CPUs alike) or
// "contiguous". Throws Error (exit code 2) for another one.
c10::MemoryFormat ReadMemoryFormat(const Params& section);

// The network that the [model] section asks for, on the CPU, with initial weights that depend on
// `seed` alone; a file's own where it names one (torchscript.h). Keys: `name`, `width`, `blurpool`,
// `stochastic_depth`, `zero_init_residual`, `fc_bias`, `memory_format`, `sync_batch_norm`. Throws
// Error (exit code 2) for an unknown name, listing the known ones. REQUIRES: num_classes >= 1
std::unique_ptr<Network> MakeNetwork(const Params& section, std::int64_t num_classes,
                                     std::uint64_t seed,
                                     const Components& known = BuiltInComponents());

Table<NetworkMaker> BuiltInNetworks();

}  // namespace millrace::model
