#include "model/gradient_reducer.h"

#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "model/c10d_types.h"

namespace millrace::model {

namespace {

// Averages buckets in memory that all ranks map, on the thread of backward: the first ones as soon
// as the others have them too, the rest when the last one comes.
class MeansInMemory final : public c10d::CppCommHookInterface<std::shared_ptr<RankMemory>> {
 public:
  using CppCommHookInterface::CppCommHookInterface;

  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    state_->StartMean(bucket.getBuffer());
    if (bucket.isLast()) state_->FinishMeans();
    // Nobody waits for it before the last bucket has come.
    auto mean = c10::make_intrusive<c10::ivalue::Future>(c10::TensorType::get());
    mean->markCompleted(bucket.getBuffer());
    return mean;
  }
};

}  // namespace

struct GradientReducer::Impl {
  explicit Impl(std::unique_ptr<c10d::Reducer> made) : reducer(std::move(made)) {}
  ~Impl() {
    // Its own destructor may throw.
    try {
      reducer.reset();
    } catch (const std::exception&) {
    }
  }

  std::unique_ptr<c10d::Reducer> reducer;
};

GradientReducer::GradientReducer(ProcessGroup& group, std::span<const NamedTensor> parameters) {
  std::vector<at::Tensor> tensors;
  std::unordered_map<std::size_t, std::string> names;
  for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
    names[tensors.size()] = parameter->name;
    tensors.push_back(parameter->tensor);
  }
  const std::vector<bool> none_sparse(tensors.size(), false);
  constexpr std::int64_t kFirstBucket = c10d::kDefaultFirstBucketBytes;
  constexpr std::int64_t kBucket = c10d::kDefaultBucketBytesCap;
  const auto buckets = std::get<0>(
      c10d::compute_bucket_assignment_by_size(tensors, {kFirstBucket, kBucket}, none_sparse));
  BetweenRanks("agreeing on buckets of gradients", [&] {
    impl_ = std::make_unique<Impl>(std::make_unique<c10d::Reducer>(
        tensors, buckets, group.impl().group, none_sparse, kBucket,
        /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/true, names, kFirstBucket,
        /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false,
        std::vector<std::int64_t>{}));
    // Otherwise it would put them together anew in the second step, in the order in which gradients
    // happened to come in the first one, and gradients would move.
    impl_->reducer->push_rebuilt_params_for_all_indices();
    impl_->reducer->rebuild_buckets();
    const auto& memory = group.impl().memory;
    if (memory && std::ranges::all_of(tensors, [](const at::Tensor& tensor) {
          return RankMemory::CanAverage(tensor.scalar_type());
        })) {
      for (const c10d::GradBucket& bucket :
           impl_->reducer->get_grad_buckets(/*return_zero_tensors=*/false)) {
        memory->Share(bucket.getBuffer());
      }
      impl_->reducer->register_comm_hook(std::make_unique<MeansInMemory>(memory));
    }
  });
}

GradientReducer::~GradientReducer() = default;

void GradientReducer::Average(const std::function<void()>& backward) {
  BetweenRanks("averaging gradients", [&] {
    // It wants to know what backward begins with only to find parameters that it leaves out.
    impl_->reducer->prepare_for_backward({});
    backward();
  });
}

}  // namespace millrace::model
