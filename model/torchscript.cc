#include "model/torchscript.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "base/sha256.h"

namespace millrace::model {
namespace {

namespace jit = torch::jit;

// What only the networks that are built here have.
constexpr std::array<std::string_view, 3> kFlagsOfBuiltIn = {"blurpool", "zero_init_residual",
                                                             "sync_batch_norm"};

// The interpreter tells of an operator's failure in several lines, of which the last that names an
// error says what went wrong.
std::string Reason(const std::string& text) {
  const std::size_t found = text.rfind("Error: ");
  const std::size_t begin =
      found == std::string::npos ? 0 : found + std::string_view("Error: ").size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

// A tensor attribute of a module somewhere in the tree.
struct Slot {
  c10::intrusive_ptr<c10::ivalue::Object> object;
  std::size_t index = 0;
  at::Tensor tensor;
};

// Calls visit(name, object, slot, whether it is a parameter) for all tensors in the order of
// `state_dict()`: of each module its parameters, its buffers, its children.
using VisitTensor = std::function<void(const std::string& name, const jit::ObjectPtr& object,
                                       std::size_t slot, bool parameter)>;
void ForEachTensor(const jit::Module& module, const std::string& prefix, const VisitTensor& visit) {
  const jit::ObjectPtr object = module._ivalue();
  const c10::ClassTypePtr type = module.type();
  for (const bool parameters : {true, false}) {
    for (std::size_t i = 0; i < type->numAttributes(); ++i) {
      if (type->is_parameter(i) != parameters || !object->getSlot(i).isTensor()) continue;
      if (!object->getSlot(i).toTensor().defined()) continue;
      visit(prefix + type->getAttributeName(i), object, i, parameters);
    }
  }
  for (const auto& child : module.named_children()) {
    ForEachTensor(child.value, prefix + child.name + ".", visit);
  }
}

void ForEachNode(const jit::Block& block, const std::function<void(const jit::Node&)>& visit) {
  for (const jit::Node* node : block.nodes()) {
    visit(*node);
    for (const jit::Block* inner : node->blocks()) ForEachNode(*inner, visit);
  }
}

bool DrawsRandomNumbers(const jit::Node& node) {
  // What could not be inlined may do anything.
  if (node.kind() == c10::prim::CallMethod || node.kind() == c10::prim::CallFunction) return true;
  const c10::FunctionSchema* schema = node.maybeSchema();
  if (schema == nullptr) return false;
  const auto found = c10::Dispatcher::singleton().findSchema(schema->operator_name());
  return found && found->hasTag(at::Tag::nondeterministic_seeded);
}

std::optional<c10::IValue> Constant(const jit::Node& node, std::string_view input) {
  const c10::FunctionSchema* schema = node.maybeSchema();
  if (schema == nullptr) return {};
  const auto index = schema->argumentIndexWithName(input);
  if (!index) return {};
  return jit::toIValue(node.input(static_cast<std::size_t>(*index)));
}

// Whether an operator that does one thing in training and another in evaluation always does the
// same, as in a program that was traced.
bool HasFixedMode(const jit::Node& node) {
  const std::string_view name = node.kind().toQualString();
  if (name == "aten::batch_norm") {
    const auto mean = Constant(node, "running_mean");
    return Constant(node, "training").has_value() && !(mean && mean->isNone());
  }
  if (name.find("dropout") == std::string_view::npos) return false;
  const auto share = Constant(node, "p");
  const bool drops = !share || !share->isDouble() || share->toDouble() > 0;
  return drops && Constant(node, "train").has_value();
}

// What safetensors can hold, and with it checkpoints.
bool CanBeWritten(at::ScalarType type) {
  constexpr std::array kTypes = {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16,
                                 at::kLong,   at::kInt,   at::kByte, at::kBool};
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

std::string FileOf(const Params& section) { return section.Text("torchscript"); }

jit::Module LoadModule(const Params& section) {
  const std::string file = FileOf(section);
  std::error_code code;
  if (!std::filesystem::is_regular_file(file, code)) {
    section.Blame("torchscript", fmt::format("there is no file {}", file));
  }
  try {
    return jit::load(file, c10::Device(c10::kCPU));
  } catch (const std::exception& error) {
    const std::string text = error.what();
    section.Blame("torchscript",
                  fmt::format("{} is no TorchScript module, as torch.jit.script(model).save(FILE) "
                              "writes it: {}",
                              file, text.substr(0, text.find('\n'))));
  }
}

class TorchScriptNetwork final : public Network {
 public:
  TorchScriptNetwork(const Params& section, jit::Module module, std::int64_t classes,
                     std::uint64_t seed)
      : Network("TorchScript " + NameOf(module), classes, /*sync_batch_norm=*/false),
        file_(FileOf(section)),
        memory_format_(ReadMemoryFormat(section)),
        seed_(seed),
        module_(std::move(module)) {
    Inspect(section);
    Register(section);
    module_.train(training_);
  }

  at::Tensor Forward(const at::Tensor& images, bool training) override {
    if (training != training_) module_.train(training_ = training);
    if (!training || !random_ || !images.is_cpu()) return Run(images);
    // All lanes on CPUs draw from one generator.
    static std::mutex generator;
    const std::lock_guard lock(generator);
    SeedGenerator(images.device());
    return Run(images);
  }

  void DrawParts(std::uint32_t epoch, std::span<const std::uint64_t> sample_ids) override {
    if (!random_) return;
    Hasher hasher;
    hasher.AddU64(seed_);
    hasher.AddU64(epoch);
    for (const std::uint64_t id : sample_ids) hasher.AddU64(id);
    draws_ = hasher.Digest();
    const c10::Device device = state().front().tensor.device();
    if (!device.is_cpu()) SeedGenerator(device);
  }

  void SynchronizeNorms(ProcessGroup&) override { MILLRACE_CHECK(false); }

 private:
  static std::string NameOf(const jit::Module& module) {
    const auto name = module.type()->name();
    return name ? name->name() : "module";
  }

  // Finds what the program does that must be known beforehand.
  void Inspect(const Params& section) {
    const auto method = module_.find_method("forward");
    if (!method || method->num_inputs() != 2) {
      section.Blame("torchscript",
                    fmt::format("{} has no forward(images) with one argument", file_));
    }
    const std::shared_ptr<jit::Graph> graph = method->graph()->copy();
    jit::Inline(*graph);
    ForEachNode(*graph->block(), [&](const jit::Node& node) {
      random_ = random_ || DrawsRandomNumbers(node);
      if (!HasFixedMode(node)) return;
      section.Blame("torchscript",
                    fmt::format("{} does the same in training and in evaluation ({}): it was "
                                "traced; export it with torch.jit.script(model) instead",
                                file_, node.kind().toQualString()));
    });
  }

  void Register(const Params& section) {
    const c10::NoGradGuard no_grad;
    std::vector<std::pair<const at::TensorImpl*, std::string>> seen;
    const auto refuse = [&](const std::string& problem) {
      section.Blame("torchscript", fmt::format("{}: {}", file_, problem));
    };
    ForEachTensor(
        module_, "",
        [&](const std::string& name, const jit::ObjectPtr& object, std::size_t slot,
            bool is_parameter) {
          const at::Tensor tensor = object->getSlot(slot).toTensor();
          for (const auto& [other, other_name] : seen) {
            if (other == tensor.unsafeGetTensorImpl()) {
              refuse(fmt::format("{} and {} are one tensor, which cannot be trained here",
                                 other_name, name));
            }
          }
          seen.emplace_back(tensor.unsafeGetTensorImpl(), name);
          if (!CanBeWritten(tensor.scalar_type())) {
            refuse(fmt::format("{} holds {}, which checkpoints cannot hold", name,
                               c10::toString(tensor.scalar_type())));
          }
          if (tensor.dim() == 4) tensor.set_data(tensor.detach().contiguous(memory_format_));
          if (is_parameter && tensor.requires_grad()) {
            if (tensor.scalar_type() != at::kFloat) {
              refuse(fmt::format("{} holds {}; export the model in float32 and set precision.amp",
                                 name, c10::toString(tensor.scalar_type())));
            }
            AddParameter(name, tensor);
          } else {
            AddBuffer(name, tensor);
            slots_.push_back({.object = object, .index = slot, .tensor = tensor});
          }
        });
    if (parameters().empty()) {
      refuse(
          "no parameter is to be trained; export a model that is not frozen, with requires_grad");
    }
  }

  void SeedGenerator(c10::Device device) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard lock(generator.mutex());
    generator.set_current_seed(draws_);
  }

  at::Tensor Run(const at::Tensor& images) {
    const jit::GraphOptimizerEnabledGuard as_it_stands(false);
    c10::IValue result;
    try {
      result = module_.forward({images.contiguous(memory_format_)});
    } catch (const std::exception& error) {
      const std::string text = fmt::format("{}: {}", file_, Reason(error.what()));
      if (text.find("out of memory") != std::string::npos) {
        TORCH_CHECK_WITH(OutOfMemoryError, false, text);
      }
      TORCH_CHECK(false, text);
    }
    TORCH_CHECK(result.isTensor(), file_, ": gives a ", result.tagKind(),
                (training_ ? " in training" : ""),
                "; millrace needs one tensor of scores [N, classes]");
    KeepBuffers();
    return result.toTensor();
  }

  // Programs may put new tensors in the place of buffers instead of changing them.
  void KeepBuffers() {
    const c10::NoGradGuard no_grad;
    for (const Slot& slot : slots_) {
      const at::Tensor now = slot.object->getSlot(slot.index).toTensor();
      if (now.is_same(slot.tensor)) continue;
      slot.tensor.copy_(now);
      slot.object->setSlot(slot.index, slot.tensor);
    }
  }

  const std::string file_;
  const c10::MemoryFormat memory_format_;
  const std::uint64_t seed_;
  jit::Module module_;
  bool training_ = false;
  bool random_ = false;      // draws in training
  std::uint64_t draws_ = 0;  // the seed of the next Forward's draws
  std::vector<Slot> slots_;  // of buffers
};

}  // namespace

bool IsTorchScript(const Params& section) {
  return section.Has("torchscript") && !FileOf(section).empty();
}

std::string TorchScriptHash(const Params& section) {
  return IsTorchScript(section) ? Sha256OfFile(FileOf(section)) : "";
}

std::unique_ptr<Network> LoadTorchScript(const Params& section, std::int64_t classes,
                                         std::uint64_t seed) {
  constexpr std::string_view kOnlyBuiltIn =
      "belongs to the networks that are built in; remove it, for model.torchscript brings its own";
  if (section.Has("name") && !section.Text("name").empty()) {
    section.Blame("name",
                  "and model.torchscript are two models; leave out one (name = \"\" where a "
                  "recipe that is extended has it)");
  }
  for (const std::string_view key : kFlagsOfBuiltIn) {
    if (section.Has(key) && section.Flag(key)) section.Blame(key, kOnlyBuiltIn);
  }
  if (section.Has("stochastic_depth") && section.Number("stochastic_depth") != 0) {
    section.Blame("stochastic_depth", kOnlyBuiltIn);
  }
  if (section.Has("width")) section.Blame("width", kOnlyBuiltIn);
  return std::make_unique<TorchScriptNetwork>(section, LoadModule(section), classes, seed);
}

void RehearseTorchScript(const Params& section, std::int64_t classes, std::int64_t height,
                         std::int64_t width, bool trains) {
  if (!IsTorchScript(section)) return;
  // A number that hardly anybody traces with.
  constexpr std::int64_t kPictures = 3;
  const auto network = LoadTorchScript(section, classes, /*seed=*/0);
  const at::Tensor images = at::zeros({kPictures, 3, height, width});
  const auto check = [&](const at::Tensor& scores) {
    if (scores.dim() == 2 && scores.size(0) == kPictures && scores.size(1) == classes) return;
    if (scores.dim() == 2 && scores.size(0) == kPictures) {
      section.Blame("torchscript",
                    fmt::format("{} gives {} scores for a picture, but the dataset has {} classes; "
                                "export it with as many",
                                FileOf(section), scores.size(1), classes));
    }
    section.Blame("torchscript", fmt::format("{} gives {} for {} pictures of {} x {}; needed are "
                                             "scores [{}, {}]",
                                             FileOf(section), ShapeText(scores), kPictures, width,
                                             height, kPictures, classes));
  };
  try {
    if (trains) {
      const at::Tensor scores = network->Forward(images, /*training=*/true);
      check(scores);
      scores.sum().backward();
    }
    const c10::InferenceMode inference;
    check(network->Forward(images, /*training=*/false));
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    section.Blame("torchscript", fmt::format("cannot take pictures of {} x {}: {}", width, height,
                                             text.substr(0, text.find('\n'))));
  }
  if (!trains) return;
  std::vector<std::string> idle;
  for (const NamedTensor& parameter : network->parameters()) {
    if (!parameter.tensor.grad().defined()) idle.push_back(parameter.name);
  }
  if (idle.empty()) return;
  section.Blame(
      "torchscript",
      fmt::format("{} does not use {} of its parameters in training: {}{}; set "
                  "requires_grad to False for them before the export",
                  FileOf(section), idle.size(),
                  fmt::join(idle.begin(),
                            idle.begin() + std::min<std::ptrdiff_t>(3, std::ssize(idle)), ", "),
                  idle.size() > 3 ? ", ..." : ""));
}

}  // namespace millrace::model
