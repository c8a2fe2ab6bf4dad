#include "tracking/tags.h"

#include <fmt/format.h>

namespace millrace::tracking {
namespace {

std::string Metric(std::string_view name) {
  if (name == "top1") return "Accuracy";
  if (name == "top5") return "Top-5 Accuracy";
  if (name == "error") return "Error";
  if (name == "images_per_s") return "Throughput";
  return std::string(name);
}

}  // namespace

std::string GpuValue(std::size_t gpu, std::string_view name) {
  return fmt::format("gpu_{}_{}", gpu, name);
}

std::string NodeName(std::size_t node) { return fmt::format("node_{}", node); }

Place PlaceOf(const Scalars& scalars, std::string_view name) {
  if (scalars.group == "train") {
    if (name == "loss") return {std::string(kLossTag), scalars.step};
    if (name == "lr") return {"lr/group_0", scalars.step};
    return {"training/" + Metric(name), scalars.step};
  }
  if (scalars.group == "val") return {"validation/" + Metric(name), scalars.epoch};
  // Samples of the training set, evaluated.
  if (scalars.group == "train_eval") return {"training/" + Metric(name), scalars.epoch};
  return {scalars.group + "/" + std::string(name), scalars.step};
}

}  // namespace millrace::tracking
