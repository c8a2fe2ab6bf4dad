#include "pipeline/lane_group.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/clock.h"
#include "base/format.h"
#include "base/hash.h"

namespace millrace::pipeline {
namespace {

std::vector<std::int64_t> ToNumbers(const StepReport& report) {
  return {std::bit_cast<std::int64_t>(report.loss), static_cast<std::int64_t>(report.digest),
          report.interrupted, static_cast<std::int64_t>(report.weights)};
}

StepReport FromNumbers(const std::vector<std::int64_t>& numbers) {
  return {.loss = std::bit_cast<double>(numbers[0]),
          .digest = static_cast<std::uint64_t>(numbers[1]),
          .interrupted = numbers[2] != 0,
          .weights = static_cast<std::uint64_t>(numbers[3])};
}

}  // namespace

at::Tensor SumsOfWeights(const model::Network& network) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> sums;
  for (const model::NamedTensor& parameter : network.parameters()) {
    const at::Tensor weights = parameter.tensor.detach();
    // Whole numbers, so that no order of additions enters.
    sums.push_back(weights.element_size() == 4
                       ? weights.view(at::kInt).sum(at::kLong)
                       : weights.to(at::kFloat).view(at::kInt).sum(at::kLong));
  }
  return at::stack(sums);
}

std::uint64_t HashOfSums(const at::Tensor& sums) {
  Hasher hasher;
  for (std::int64_t i = 0; i < sums.numel(); ++i) {
    hasher.AddU64(static_cast<std::uint64_t>(sums.const_data_ptr<std::int64_t>()[i]));
  }
  return std::max<std::uint64_t>(1, hasher.Digest());
}

LaneGroup::LaneGroup() : world_size_(1) {}

LaneGroup::LaneGroup(const model::ProcessGroupOptions& options, const model::Network& network,
                     bool trains)
    : world_size_(options.world_size) {
  if (world_size_ == 1) return;
  group_ = std::make_unique<model::ProcessGroup>(options);
  Gather(0, {.weights = HashOfSums(SumsOfWeights(network).cpu())});
  if (trains) {
    reducer_ = std::make_unique<model::GradientReducer>(*group_, network.parameters());
  }
}

LaneGroup::~LaneGroup() { Close(); }

void LaneGroup::Synchronize(model::Network& network) const {
  if (group_ && network.sync_batch_norm()) network.SynchronizeNorms(*group_);
}

void LaneGroup::Accumulate(std::uint64_t step, const std::function<void()>& pass) {
  if (world_size_ == 1) return pass();
  Wait("the statistics of batch normalisation", step, pass);
}

void LaneGroup::Average(std::uint64_t step, const std::function<void()>& backward) {
  if (world_size_ == 1) return backward();
  if (!reducer_) throw model::LostRank("averaging gradients: this rank has left the others");
  Wait("the means of gradients", step, [&] { reducer_->Average(backward); });
}

std::vector<StepReport> LaneGroup::Gather(std::uint64_t step, const StepReport& mine) {
  if (world_size_ == 1) return {mine};
  std::vector<StepReport> reports;
  Wait("the reports", step, [&] {
    for (const auto& numbers : group_->AllGather(ToNumbers(mine))) {
      reports.push_back(FromNumbers(numbers));
    }
  });
  RequireEqual(reports, step);
  return reports;
}

void LaneGroup::RequireEqual(const std::vector<StepReport>& reports, std::uint64_t step) const {
  for (std::size_t other = 1; other < reports.size(); ++other) {
    if (reports[other].weights == reports[0].weights) continue;
    Fail(
        "the weights of rank {} are not those of rank 0 {}: the runs that these processes began "
        "are not the same, or a device or its memory is faulty",
        other, step == 0 ? "at the start" : fmt::format("after step {}", FormatCount(step)));
  }
}

void LaneGroup::ShareFirst(std::uint64_t step, const std::vector<at::Tensor>& tensors) {
  if (world_size_ == 1) return;
  Wait("running statistics", step, [&] { group_->ShareFirst(tensors); });
}

void LaneGroup::Collect(std::uint64_t step, std::uint32_t ranks, model::EvaluationResult& result) {
  if (world_size_ == 1) return;
  Wait("the counts of an evaluation", step, [&] {
    std::vector<std::int64_t> numbers = result.ToNumbers();
    if (group_->rank() > 0) return group_->Send(numbers, /*to=*/0);
    for (std::uint32_t other = 1; other < ranks; ++other) {
      group_->Receive(numbers, other);
      result.MergeNumbers(numbers);
    }
  });
}

void LaneGroup::Close() noexcept {
  reducer_.reset();
  if (group_) group_->Close();
}

Waiting LaneGroup::waiting() const {
  const std::lock_guard lock(waiting_mutex_);
  return waiting_;
}

void LaneGroup::Wait(const char* what, std::uint64_t step, const std::function<void()>& body) {
  const auto note = [this](const Waiting& waiting) {
    const std::lock_guard lock(waiting_mutex_);
    waiting_ = waiting;
  };
  note({.since_ns = NowNs(), .step = step, .what = what});
  try {
    body();
  } catch (...) {
    note({});
    throw;
  }
  note({});
}

}  // namespace millrace::pipeline
