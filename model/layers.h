// The layers that convolutional networks are made of: weights, PyTorch's initial values,
// arithmetic.
//
// Random draws come from the given generator in the order and number in which PyTorch's modules of
// the same names make them, so that networks built here start bit-equal to PyTorch's.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/MemoryFormat.h>

#include <cstdint>

namespace millrace::model {

class ProcessGroup;

// Two-dimensional convolution without bias, padded so that stride 1 keeps height and width.
struct Conv2d {
  struct Shape {
    std::int64_t in = 0;      // channels
    std::int64_t out = 0;     // channels
    std::int64_t kernel = 1;  // [pixels] each way, odd
    std::int64_t stride = 1;
    std::int64_t groups = 1;
  };

  Conv2d() = default;
  // Draws torch.nn.Conv2d's own initial weights.
  Conv2d(const Shape& shape, at::Generator& generator);

  // Draws new weights: torch.nn.init.kaiming_normal_(mode="fan_out", nonlinearity="relu") (He et
  // al. 2015, arXiv:1502.01852).
  void DrawKaimingNormal(at::Generator& generator);

  // From now on what it convolves goes through a binomial filter of 3 x 3 pixels first, each
  // channel by itself, so that the stride leaves out pixels that others stand for (Zhang 2019,
  // arXiv:1904.11486).
  void BlurFirst();

  // Ends initialisation: memory in this format, and the weight becomes a leaf of autograd.
  void Finish(c10::MemoryFormat format);

  at::Tensor Forward(const at::Tensor& x) const;

  Shape shape;
  at::Tensor weight;  // [out, in / groups, kernel, kernel]
  at::Tensor blur;    // [in, 1, 3, 3], a constant; undefined: none
};

// What two take: the layers that follow, and a shortcut around them. The same numbers; apart, so
// that their gradients come apart.
struct Fork {
  at::Tensor on;
  at::Tensor shortcut;
};

// Batch normalisation over N, H and W with PyTorch's momentum and epsilon. On a GPU by the kernels
// of fused_norm.h, where they take `x`; in training over `ranks` as sync_norm.h says, if there are
// any.
struct BatchNorm2d {
  static constexpr double kMomentum = 0.1;
  static constexpr double kEpsilon = 1e-5;

  BatchNorm2d() = default;
  explicit BatchNorm2d(std::int64_t channels);

  void Finish();

  at::Tensor Forward(const at::Tensor& x, bool training) const;
  // With a rectifier behind it.
  at::Tensor ForwardRelu(const at::Tensor& x, bool training) const;
  // With a rectifier and a pooling behind it: the largest of 3 x 3 pixels, every other one, with a
  // border of one.
  Fork ForwardReluPool(const at::Tensor& x, bool training) const;
  // With `shortcut` added before the rectifier.
  Fork ForwardAddRelu(const at::Tensor& x, const at::Tensor& shortcut, bool training) const;

  at::Tensor weight;
  at::Tensor bias;
  at::Tensor running_mean;
  at::Tensor running_var;
  at::Tensor num_batches_tracked;  // int64 scalar, as PyTorch saves it
  ProcessGroup* ranks = nullptr;   // whose batches are normalised together; nullptr: this one's
};

// Fully connected layer with bias.
struct Linear {
  Linear() = default;
  // Draws torch.nn.Linear's initial weights.
  Linear(std::int64_t in, std::int64_t out, at::Generator& generator);

  void Finish();

  at::Tensor Forward(const at::Tensor& x) const;

  at::Tensor weight;  // [out, in]
  at::Tensor bias;
};

}  // namespace millrace::model
