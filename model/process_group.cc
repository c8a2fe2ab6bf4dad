#include "model/process_group.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gloo/common/error.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/shared_rounds.h"
#include "model/c10d_types.h"
#include "model/nccl_backend.h"
#include "model/rank_memory.h"

namespace millrace::model {
namespace {

constexpr const char* kThisMachine = "127.0.0.1";
// Devices hold a thread each that waits on sockets: one serves all groups of a process.
constexpr int kGlooThreads = 1;

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

c10::intrusive_ptr<c10d::ProcessGroupGloo> MakeGloo(const ProcessGroupOptions& options,
                                                    const c10::intrusive_ptr<c10d::Store>& store) {
  const auto gloo = c10d::ProcessGroupGloo::Options::create(options.timeout);
  gloo->threads = kGlooThreads;
  // PyTorch's variable, for machines on several networks.
  const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (options.address != kThisMachine && interface != nullptr && *interface != '\0') {
    gloo->devices = {c10d::ProcessGroupGloo::createDeviceForInterface(interface)};
  } else if (options.address.empty()) {
    gloo->devices = {c10d::ProcessGroupGloo::createDefaultDevice()};
  } else {
    gloo->devices = {c10d::ProcessGroupGloo::createDeviceForHostname(options.address)};
  }
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, static_cast<int>(options.rank),
                                                     static_cast<int>(options.world_size), gloo);
}

at::Tensor AsTensor(std::span<const std::int64_t> numbers) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(numbers.size())}, at::kLong);
  if (!numbers.empty()) std::memcpy(tensor.data_ptr(), numbers.data(), numbers.size_bytes());
  return tensor;
}

// All ranks' first collective on `device`. LibTorch (2.11) notes a group when it first talks, in a
// map of the process that has no lock: the groups of one process do so in turns, and none goes on
// before all have.
void Meet(c10d::ProcessGroup& group, const c10::Device& device) {
  static std::mutex in_turns;
  const auto options = at::TensorOptions(at::kByte).device(device);
  at::Tensor mine = at::zeros({1}, options);
  at::Tensor all = at::empty({group.getSize()}, options);
  const auto work = [&] {
    const std::lock_guard lock(in_turns);
    return group._allgather_base(all, mine);
  }();
  work->wait();
  // Those whose bytes have come may still be at their note.
  const std::lock_guard lock(in_turns);
}

}  // namespace

void BetweenRanks(const std::string& what, const std::function<void()>& body) {
  const auto lost = [&](const std::string& text) {
    throw LostRank(fmt::format("{}: another rank is out of reach ({})", what, FirstLine(text)));
  };
  try {
    body();
  } catch (const ::gloo::Exception& error) {
    lost(error.what());
  } catch (const LostMember& error) {
    lost(error.what());
  } catch (const c10::DistError& error) {
    lost(error.what_without_backtrace());
  }
}

ProcessGroup::ProcessGroup(const ProcessGroupOptions& options)
    : rank_(options.rank), world_size_(options.world_size), impl_(std::make_unique<Impl>()) {
  using c10d::ProcessGroup;
  BetweenRanks("connecting", [&] {
    const auto& store = options.store.impl().store;
    const auto rank = static_cast<int>(rank_);
    const auto size = static_cast<int>(world_size_);
    if (options.device.is_cpu() && options.address == kThisMachine && size > 1) {
      impl_->memory =
          std::make_shared<RankMemory>(c10::make_intrusive<c10d::PrefixStore>("memory", store),
                                       rank_, world_size_, options.timeout);
    }
    impl_->group = c10::make_intrusive<ProcessGroup>(store, rank, size);
    impl_->group->setDefaultBackend(ProcessGroup::BackendType::GLOO);
    impl_->group->setBackend(c10::kCPU, ProcessGroup::BackendType::GLOO, MakeGloo(options, store));
    if (options.device.is_cuda()) {
      impl_->group->setBackend(
          c10::kCUDA, ProcessGroup::BackendType::NCCL,
          MakeNcclBackend(c10::make_intrusive<c10d::PrefixStore>("nccl", store), rank, size,
                          options.timeout));
    }
    Meet(*impl_->group, c10::kCPU);
    if (options.device.is_cuda()) Meet(*impl_->group, options.device);
  });
}

ProcessGroup::~ProcessGroup() { Close(); }

ProcessGroup::Impl& ProcessGroup::impl() {
  if (!impl_) throw LostRank("this rank has left the others");
  return *impl_;
}

std::vector<std::vector<std::int64_t>> ProcessGroup::AllGather(
    std::span<const std::int64_t> numbers) {
  at::Tensor mine = AsTensor(numbers);
  at::Tensor all = at::empty({world_size_ * mine.numel()}, at::kLong);
  BetweenRanks("gathering", [&] { impl().group->_allgather_base(all, mine)->wait(); });
  std::vector<std::vector<std::int64_t>> by_rank;
  const std::int64_t* next = all.const_data_ptr<std::int64_t>();
  for (std::uint32_t rank = 0; rank < world_size_; ++rank, next += numbers.size()) {
    by_rank.emplace_back(next, next + numbers.size());
  }
  return by_rank;
}

at::Tensor ProcessGroup::AllGather(const at::Tensor& tensor) {
  const c10::NoGradGuard no_grad;
  at::Tensor mine = tensor.flatten().contiguous();
  at::Tensor all = at::empty({world_size_ * mine.numel()}, mine.options());
  BetweenRanks("gathering", [&] { impl().group->_allgather_base(all, mine)->wait(); });
  std::vector<std::int64_t> shape = tensor.sizes().vec();
  shape.insert(shape.begin(), world_size_);
  return all.view(shape);
}

void ProcessGroup::ShareFirst(const std::vector<at::Tensor>& tensors) {
  const c10::NoGradGuard no_grad;
  BetweenRanks("sharing", [&] {
    std::vector<c10::intrusive_ptr<c10d::Work>> under_way;
    std::vector<std::vector<at::Tensor>> lists;  // as the calls want them
    lists.reserve(tensors.size());
    for (const at::Tensor& tensor : tensors) {
      lists.push_back({tensor.detach()});
      under_way.push_back(impl().group->broadcast(lists.back()));
    }
    for (const auto& work : under_way) work->wait();
  });
}

void ProcessGroup::Send(std::span<const std::int64_t> numbers, std::uint32_t to) {
  std::vector<at::Tensor> tensors{AsTensor(numbers)};
  BetweenRanks("sending",
               [&] { impl().group->send(tensors, static_cast<int>(to), /*tag=*/0)->wait(); });
}

void ProcessGroup::Receive(std::span<std::int64_t> numbers, std::uint32_t from) {
  std::vector<at::Tensor> tensors{
      at::empty({static_cast<std::int64_t>(numbers.size())}, at::kLong)};
  BetweenRanks("receiving",
               [&] { impl().group->recv(tensors, static_cast<int>(from), /*tag=*/0)->wait(); });
  std::memcpy(numbers.data(), tensors[0].const_data_ptr(), numbers.size_bytes());
}

void ProcessGroup::Close() noexcept {
  if (!impl_) return;
  if (impl_->memory) impl_->memory->Leave();
  try {
    if (impl_->group->hasBackends()) impl_->group->abort();
  } catch (const std::exception&) {
    // What cannot be ended in order ends with the process.
  }
  impl_.reset();
}

}  // namespace millrace::model
