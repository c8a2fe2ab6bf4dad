#include "model/rank_memory.h"

#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/mean_in_order.h"

namespace millrace::model {
namespace {

constexpr const char* kLines = "lines";

std::string BlockName(std::uint32_t rank, std::uint32_t number) {
  return fmt::format("block/{}/{}", rank, number);
}

// What another rank has left there; it may have ended since.
SharedMemory OpenOf(std::uint32_t rank, const std::string& address) {
  try {
    return SharedMemory::Open(address);
  } catch (const Error& error) {
    throw LostMember(fmt::format(
        "rank {} of this machine: {}; processes that share memory have one user and see each other "
        "in /proc",
        rank, error.what()));
  }
}

}  // namespace

// The memory of one tensor.
struct RankMemory::Block {
  Block(SharedMemory mine, std::uint32_t its_number, std::int64_t its_numel,
        at::ScalarType its_type)
      : memory(std::move(mine)), number(its_number), numel(its_numel), type(its_type) {}

  SharedMemory memory;
  std::uint32_t number;
  std::int64_t numel;
  at::ScalarType type;
  std::vector<SharedMemory> others;  // in the order of ranks; empty: not mapped yet
};

RankMemory::RankMemory(const c10::intrusive_ptr<c10d::Store>& store, std::uint32_t rank,
                       std::uint32_t world_size, std::chrono::milliseconds timeout)
    : store_(store), rank_(rank), world_size_(world_size) {
  const std::size_t bytes = world_size * sizeof(SharedRounds::Line);
  if (rank == 0) {
    lines_ = std::make_unique<SharedMemory>(SharedMemory::Create(bytes));
    store_->set(kLines, lines_->address());
  } else {
    lines_ = std::make_unique<SharedMemory>(OpenOf(0, store_->get_to_str(kLines)));
  }
  MILLRACE_CHECK(lines_->bytes().size() == bytes);
  alive_ = std::make_unique<Alive>(lines_->path(), rank);
  // Zeros are what a line begins with; another rank may already have changed its own.
  auto* const first = reinterpret_cast<SharedRounds::Line*>(lines_->bytes().data());
  rounds_ = std::make_unique<SharedRounds>(SharedRounds::Options{
      .lines = {first, world_size},
      .member = rank,
      .timeout = timeout,
      .alive = [this](std::uint32_t other) { return other == rank_ || alive_->Has(other); }});
}

RankMemory::~RankMemory() { Leave(); }

void RankMemory::Share(const at::Tensor& tensor) {
  MILLRACE_CHECK(tensor.is_cpu() && tensor.is_contiguous() && tensor.storage_offset() == 0 &&
                 tensor.numel() > 0 && CanAverage(tensor.scalar_type()));
  const auto block = std::make_shared<Block>(SharedMemory::Create(tensor.nbytes()), shared_++,
                                             tensor.numel(), tensor.scalar_type());
  store_->set(BlockName(rank_, block->number), block->memory.address());
  std::erase_if(blocks_, [](const auto& entry) { return entry.second.expired(); });
  void* const data = block->memory.bytes().data();
  blocks_[data] = block;
  std::memcpy(data, tensor.const_data_ptr(), tensor.nbytes());
  using Owner = std::shared_ptr<Block>;
  tensor.storage().set_data_ptr_noswap(at::DataPtr(
      data, new Owner(block), [](void* owner) { delete static_cast<Owner*>(owner); },
      tensor.device()));
  tensor.storage().set_nbytes(tensor.nbytes());
}

std::shared_ptr<RankMemory::Block> RankMemory::Find(const at::Tensor& tensor) {
  const auto found = blocks_.find(tensor.const_data_ptr());
  auto block = found == blocks_.end() ? nullptr : found->second.lock();
  MILLRACE_CHECK(block && block->numel == tensor.numel() && block->type == tensor.scalar_type());
  if (!block->others.empty() || world_size_ == 1) return block;
  for (std::uint32_t rank = 0; rank < world_size_; ++rank) {
    if (rank == rank_) continue;
    block->others.push_back(OpenOf(rank, store_->get_to_str(BlockName(rank, block->number))));
    if (block->others.back().bytes().size() != block->memory.bytes().size()) {
      Fail("rank {} and rank {} have gradients of different sizes", rank_, rank);
    }
  }
  return block;
}

void RankMemory::StartMean(const at::Tensor& tensor) {
  under_way_.push_back(Find(tensor));
  rounds_->Post();
  while (!under_way_.empty() && rounds_->AllPosted(rounds_->finished())) {
    Average(*under_way_.front());
    under_way_.pop_front();
    rounds_->Finish();
  }
}

void RankMemory::FinishMeans() {
  for (; !under_way_.empty(); under_way_.pop_front()) {
    rounds_->AwaitPosted(rounds_->finished());
    Average(*under_way_.front());
    rounds_->Finish();
  }
  if (rounds_->posted() > 0) rounds_->AwaitFinished(rounds_->posted() - 1);
}

void RankMemory::Average(const Block& block) const {
  if (block.type == at::kDouble) {
    AverageAs<double>(block);
  } else {
    AverageAs<float>(block);
  }
}

template <typename T>
void RankMemory::AverageAs(const Block& block) const {
  std::vector<T*> lists;
  const auto add = [&](const SharedMemory& memory) {
    lists.push_back(reinterpret_cast<T*>(memory.bytes().data()));
  };
  for (std::uint32_t rank = 0; rank < world_size_; ++rank) {
    add(rank == rank_ ? block.memory : block.others[rank < rank_ ? rank : rank - 1]);
  }
  // No two ranks write into one line of the cache.
  constexpr std::size_t kLine = 64 / sizeof(T);
  const auto size = static_cast<std::size_t>(block.numel);
  const auto edge = [&](std::size_t rank) {
    return rank == world_size_ ? size : size * rank / world_size_ / kLine * kLine;
  };
  MeanInOrder<T>(lists, edge(rank_), edge(rank_ + 1), T{1} / static_cast<T>(world_size_));
}

}  // namespace millrace::model
