#include "model/resnet.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "model/block_convolution.h"
#include "model/layers.h"
#include "model/stochastic_depth.h"

namespace millrace::model {
namespace {

constexpr std::array kArchitectures = {
    ResNetArchitecture{"resnet18", false, {2, 2, 2, 2}},
    ResNetArchitecture{"resnet34", false, {3, 4, 6, 3}},
    ResNetArchitecture{"resnet50", true, {3, 4, 6, 3}},
    ResNetArchitecture{"resnet101", true, {3, 4, 23, 3}},
    ResNetArchitecture{"resnet152", true, {3, 8, 36, 3}},
    ResNetArchitecture{"resnext50_32x4d", true, {3, 4, 6, 3}, 32, 4},
    ResNetArchitecture{"resnext101_32x8d", true, {3, 4, 23, 3}, 32, 8},
    ResNetArchitecture{"resnext101_64x4d", true, {3, 4, 23, 3}, 64, 4},
    ResNetArchitecture{"wide_resnet50_2", true, {3, 4, 6, 3}, 1, 128},
    ResNetArchitecture{"wide_resnet101_2", true, {3, 4, 23, 3}, 1, 128},
};

// FFCV's, and Composer's.
constexpr std::int64_t kLeastBlurredChannels = 16;

// A convolution and the normalisation behind it.
struct ConvNorm {
  ConvNorm(const Conv2d::Shape& shape, at::Generator& generator)
      : conv(shape, generator), norm(shape.out) {}

  at::Tensor Forward(const at::Tensor& x, bool training) const {
    return norm.Forward(conv.Forward(x), training);
  }
  at::Tensor ForwardRelu(const at::Tensor& x, bool training) const {
    return norm.ForwardRelu(conv.Forward(x), training);
  }

  Conv2d conv;
  BatchNorm2d norm;
};

// A residual block: two or three convolutions beside a shortcut.
struct Block {
  // `factors`: of the branch for each sample; undefined: 1.
  Fork Forward(const Fork& x, const at::Tensor& factors, bool training) const {
    at::Tensor out = x.on;
    for (std::size_t i = 0; i + 1 < steps.size(); ++i) out = steps[i].ForwardRelu(out, training);
    out = steps.back().conv.Forward(out);
    const at::Tensor around = shortcut ? shortcut->Forward(x.shortcut, training) : x.shortcut;
    const BatchNorm2d& norm = steps.back().norm;
    if (!factors.defined()) return norm.ForwardAddRelu(out, around, training);
    out = norm.Forward(out, training);
    out = out * factors.to(out.scalar_type()).view({-1, 1, 1, 1});
    out += around;
    out.relu_();
    return {.on = out, .shortcut = out};
  }

  std::vector<ConvNorm> steps;
  std::optional<ConvNorm> shortcut;  // where channels or size change
};

class ResNet final : public Network {
 public:
  ResNet(const ResNetArchitecture& architecture, const ResNetOptions& options)
      : Network(std::string(architecture.name), options.num_classes, options.sync_batch_norm),
        memory_format_(options.memory_format),
        stochastic_depth_(options.stochastic_depth),
        seed_(options.seed) {
    at::Generator generator = at::detail::createCPUGenerator(options.seed);
    Build(architecture, options.width, generator);
    // torchvision's second round of draws, over modules() in order of registration; the classifier
    // keeps its first values.
    ForEachConvNorm([&](const std::string&, const std::string&, ConvNorm& step) {
      step.conv.DrawKaimingNormal(generator);
    });
    if (options.zero_init_residual) {
      for (Block& block : blocks_) block.steps.back().norm.weight.zero_();
    }
    if (options.fc_bias) classifier_.bias.fill_(*options.fc_bias);
    if (options.blurpool) {
      ForEachConvNorm([&](const std::string&, const std::string&, ConvNorm& step) {
        if (step.conv.shape.stride > 1 && step.conv.shape.in >= kLeastBlurredChannels) {
          step.conv.BlurFirst();
        }
      });
    }
    Register();
  }

  at::Tensor Forward(const at::Tensor& images, bool training) override {
    at::Tensor x = images.contiguous(memory_format_);
    const Conv2d& first = stem_->conv;
    x = GainsByBlocks(x, first.weight) ? ConvolveByBlocks(x, first.weight) : first.Forward(x);
    Fork fork = stem_->norm.ForwardReluPool(x, training);
    const bool leaves_out = training && stochastic_depth_ > 0;
    MILLRACE_CHECK(!leaves_out || (factors_.defined() && factors_.size(0) >= images.size(0)));
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      at::Tensor factors;
      if (leaves_out) {
        factors = factors_.narrow(0, 0, images.size(0)).select(1, static_cast<std::int64_t>(i));
      }
      fork = blocks_[i].Forward(fork, factors, training);
    }
    x = at::flatten(at::adaptive_avg_pool2d(fork.on, {1, 1}), 1);
    return classifier_.Forward(x);
  }

  void DrawParts(std::uint32_t epoch, std::span<const std::uint64_t> sample_ids) override {
    if (stochastic_depth_ == 0) return;
    const auto samples = static_cast<std::int64_t>(sample_ids.size());
    at::Tensor drawn = DrawDepth(stochastic_depth_, static_cast<std::int64_t>(blocks_.size()),
                                 seed_, epoch, sample_ids);
    const c10::Device device = classifier_.weight.device();
    // A copy from other memory would wait for what the device still has to do.
    if (!device.is_cpu()) drawn = drawn.pin_memory();
    // A recording reads them where they are.
    if (!factors_.defined() || factors_.size(0) < samples) {
      factors_ = at::empty(drawn.sizes(), drawn.options().device(device).pinned_memory(false));
    }
    factors_.narrow(0, 0, samples).copy_(drawn, /*non_blocking=*/true);
  }

  void SynchronizeNorms(ProcessGroup& ranks) override {
    MILLRACE_CHECK(sync_batch_norm());
    ForEachConvNorm(
        [&](const std::string&, const std::string&, ConvNorm& step) { step.norm.ranks = &ranks; });
  }

 private:
  // Constructs the layers in torchvision's order, which is the order of their first draws.
  void Build(const ResNetArchitecture& architecture, std::int64_t width, at::Generator& generator) {
    stem_.emplace(Conv2d::Shape{.in = 3, .out = width, .kernel = 7, .stride = 2}, generator);
    std::int64_t channels = width;
    for (std::size_t layer = 0; layer < architecture.blocks.size(); ++layer) {
      const std::int64_t planes = width << layer;
      for (int i = 0; i < architecture.blocks[layer]; ++i) {
        const std::int64_t stride = layer > 0 && i == 0 ? 2 : 1;
        blocks_.push_back(MakeBlock(architecture, channels, planes, stride, generator));
        prefixes_.push_back(fmt::format("layer{}.{}.", layer + 1, i));
        channels = blocks_.back().steps.back().conv.shape.out;
      }
    }
    classifier_ = Linear(channels, classes(), generator);
  }

  static Block MakeBlock(const ResNetArchitecture& architecture, std::int64_t in,
                         std::int64_t planes, std::int64_t stride, at::Generator& generator) {
    const std::int64_t out = architecture.bottleneck ? planes * 4 : planes;
    Block block;
    if (stride != 1 || in != out) {
      block.shortcut.emplace(Conv2d::Shape{.in = in, .out = out, .stride = stride}, generator);
    }
    const auto add = [&](const Conv2d::Shape& shape) {
      block.steps.emplace_back(shape, generator);
    };
    if (architecture.bottleneck) {
      const std::int64_t groups = architecture.groups;
      const std::int64_t width = planes * architecture.group_width / 64 * groups;
      add({.in = in, .out = width});
      add({.in = width, .out = width, .kernel = 3, .stride = stride, .groups = groups});
      add({.in = width, .out = out});
    } else {
      add({.in = in, .out = out, .kernel = 3, .stride = stride});
      add({.in = out, .out = out, .kernel = 3});
    }
    return block;
  }

  // Calls visit(name of the convolution, name of the normalisation, both) in the order of
  // torchvision's modules() and state_dict().
  template <typename Visit>
  void ForEachConvNorm(Visit visit) {
    visit("conv1", "bn1", *stem_);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const std::string& prefix = prefixes_[i];
      for (std::size_t k = 0; k < blocks_[i].steps.size(); ++k) {
        visit(fmt::format("{}conv{}", prefix, k + 1), fmt::format("{}bn{}", prefix, k + 1),
              blocks_[i].steps[k]);
      }
      if (blocks_[i].shortcut) {
        visit(prefix + "downsample.0", prefix + "downsample.1", *blocks_[i].shortcut);
      }
    }
  }

  void Register() {
    ForEachConvNorm([&](const std::string& conv, const std::string& norm, ConvNorm& step) {
      step.conv.Finish(memory_format_);
      step.norm.Finish();
      if (step.conv.blur.defined()) AddConstant(step.conv.blur);
      AddParameter(conv + ".weight", step.conv.weight);
      AddParameter(norm + ".weight", step.norm.weight);
      AddParameter(norm + ".bias", step.norm.bias);
      AddBuffer(norm + ".running_mean", step.norm.running_mean);
      AddBuffer(norm + ".running_var", step.norm.running_var);
      AddBuffer(norm + ".num_batches_tracked", step.norm.num_batches_tracked);
    });
    classifier_.Finish();
    AddParameter("fc.weight", classifier_.weight);
    AddParameter("fc.bias", classifier_.bias);
    SetHead({"fc.weight", "fc.bias"});
  }

  const c10::MemoryFormat memory_format_;
  const double stochastic_depth_;
  const std::uint64_t seed_;
  at::Tensor factors_;  // of each sample's branches, for the next Forward in training
  std::optional<ConvNorm> stem_;
  std::vector<Block> blocks_;
  std::vector<std::string> prefixes_;  // of the blocks' names: "layer1.0."
  Linear classifier_;
};

}  // namespace

const ResNetArchitecture* FindResNet(std::string_view name) {
  const auto found = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                                  [&](const auto& entry) { return entry.name == name; });
  return found == kArchitectures.end() ? nullptr : &*found;
}

std::vector<std::string> ResNetNames() {
  std::vector<std::string> names;
  for (const ResNetArchitecture& entry : kArchitectures) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Network> MakeResNet(const ResNetArchitecture& architecture,
                                    const ResNetOptions& options) {
  MILLRACE_CHECK(options.num_classes >= 1);
  return std::make_unique<ResNet>(architecture, options);
}

std::string_view RecognizeResNet(std::span<const NamedTensor> state) {
  std::unordered_map<std::string_view, const at::Tensor*> by_name;
  for (const NamedTensor& entry : state) by_name.emplace(entry.name, &entry.tensor);
  ResNetArchitecture seen;
  seen.bottleneck = by_name.contains("layer1.0.conv3.weight");
  for (std::size_t layer = 0; layer < seen.blocks.size(); ++layer) {
    while (
        by_name.contains(fmt::format("layer{}.{}.conv1.weight", layer + 1, seen.blocks[layer]))) {
      ++seen.blocks[layer];
    }
  }
  const auto second = by_name.find("layer1.0.conv2.weight");
  if (second == by_name.end() || second->second->dim() != 4) return "";
  const std::int64_t width = second->second->size(0);
  seen.group_width = second->second->size(1);  // input channels of each group
  for (const ResNetArchitecture& entry : kArchitectures) {
    if (entry.bottleneck == seen.bottleneck && entry.blocks == seen.blocks &&
        entry.group_width == seen.group_width && entry.groups * entry.group_width == width) {
      return entry.name;
    }
  }
  return "";
}

}  // namespace millrace::model
