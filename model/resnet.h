// The ResNet family (He et al. 2015, arXiv:1512.03385) as torchvision builds it.
//
// Parameter names, arithmetic, initialisation and the place of the stride (in the 3x3 convolution
// of a bottleneck, "v1.5") are those of torchvision/models/resnet.py; with the same seed the
// initial weights are bit-equal to `torch.manual_seed(seed);
// torchvision.models.resnet18(num_classes=K)`.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/network.h"

namespace millrace::model {

// One member of the family.
struct ResNetArchitecture {
  std::string_view name;
  bool bottleneck = false;      // three convolutions a block (50 layers and up) instead of two
  std::array<int, 4> blocks{};  // in layer1 .. layer4
  std::int64_t groups = 1;      // of the 3x3 convolutions (ResNeXt, arXiv:1611.05431)
  std::int64_t group_width =
      64;  // [channels] of each group in layer1 (torchvision's width_per_group)
};

// nullptr for an unknown name.
const ResNetArchitecture* FindResNet(std::string_view name);
std::vector<std::string> ResNetNames();

struct ResNetOptions {
  std::int64_t num_classes = 0;
  // Channels of the stem and of layer1's blocks, doubled from layer to layer. torchvision's
  // networks have 64; narrower ones suit small pictures and small machines.
  std::int64_t width = 64;
  // Convolutions of stride 2 get blurred images (Conv2d::BlurFirst()), but for the stem's, which
  // has too few channels: apply_blurpool() of ffcv-imagenet's train_imagenet.py. Names of weights
  // stay torchvision's.
  bool blurpool = false;
  // How often the last block's branch is left out in training (stochastic_depth.h).
  double stochastic_depth = 0;
  // The last normalisation of every block starts at 0, so that each block starts as the identity
  // (arXiv:1706.02677).
  bool zero_init_residual = false;
  // What the classifier's bias starts with instead of torch.nn.Linear's draw. -log(classes) gives
  // each class its share where every class is a question of its own (binary cross entropy).
  std::optional<double> fc_bias = std::nullopt;
  // Network::sync_batch_norm().
  bool sync_batch_norm = false;
  // In which images, activations and weights of convolutions lie.
  c10::MemoryFormat memory_format = c10::MemoryFormat::ChannelsLast;
  std::uint64_t seed = 0;
};
std::unique_ptr<Network> MakeResNet(const ResNetArchitecture& architecture,
                                    const ResNetOptions& options);

// The name of the ResNet of width 64 that a state belongs to, judged by its tensors' names and
// shapes; "" when it is none.
std::string_view RecognizeResNet(std::span<const NamedTensor> state);

}  // namespace millrace::model
