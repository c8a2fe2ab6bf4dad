// What the host tells the kernels of batch normalisation. Numbers of a layer are [rows, channels],
// rows all pixels of a batch; what has 16 bits there is float32 here.
#ifndef MILLRACE_MODEL_GPU_KERNELS_NORM_WORK_INL_
#define MILLRACE_MODEL_GPU_KERNELS_NORM_WORK_INL_

#include "columns.inl"

namespace millrace::model::gpu {

// What the rest of a step needs of the statistics and the weights, float32 [4, channels].
enum Coefficient : u32 { kMean, kScale, kBias, kInverseDeviation, kCoefficients };
// And of a gradient, float32 [2, channels]: dx = scale g + slope (x - mean) + offset.
enum GradientCoefficient : u32 { kSlope, kOffset, kGradientCoefficients };

// Two numbers of every part and channel, [parts, 2, channels].
constexpr u32 kPartials = 2;

// What puts the parts together: blocks of so many channels, with a thread for every 32nd part.
constexpr u32 kFinishChannels = 32;
constexpr u32 kSlices = 32;
constexpr u32 kFinishThreads = kFinishChannels * kSlices;

struct StatisticsWork {
  Grid grid;
  const void* x;
  float* partials;  // mean and squares
  float* counts;    // [parts]
};

struct FinishWork {
  Grid grid;
  const float* partials;
  const float* counts;
  const float* weight;
  const float* bias;
  float* running_mean;
  float* running_var;
  i64* batches;
  float momentum;
  float epsilon;
  float* coefficients;
};

// In evaluation, in place of the statistics of a batch.
struct RunningWork {
  u32 channels;
  const float* weight;
  const float* bias;
  const float* running_mean;
  const float* running_var;
  float epsilon;
  float* coefficients;
};

struct ApplyWork {
  Grid grid;
  const void* x;
  const float* coefficients;
  const void* residual;  // what is added, if anything
  void* y;
  // With a residual: a bit for each number, whether the rectifier let it through; nullptr: nobody
  // wants to know.
  u8* mask;
};

// How the gradient of what a normalisation gives comes from that of what follows it.
enum class After {
  kNothing,
  kRelu,        // whether it was let through is computed again
  kAddAndRelu,  // the mask says so
};

struct ReduceWork {
  Grid grid;
  const void* x;
  const float* coefficients;
  const void* dy;
  const void* dy_too;  // what is added to it; nullptr: nothing
  const u8* mask;
  void* g;          // with a mask: the gradient that was let through
  float* partials;  // the sums of g and of g (x - mean)
};

struct FinishGradientWork {
  Grid grid;
  u64 rows;  // of x
  const float* partials;
  const float* coefficients;
  float* weight_gradient;
  float* bias_gradient;
  float* gradient_coefficients;
};

struct InputWork {
  Grid grid;
  const void* x;
  const void* g;
  const float* coefficients;
  const float* gradient_coefficients;
  void* dx;
};

// Pictures before and behind the pooling [pixels].
struct PoolShape {
  u32 height;
  u32 width;
  u32 pooled_height;
  u32 pooled_width;
};

// Rows of the grids are pixels behind the pooling: fewer than 2^32.
struct PoolWork {
  Grid grid;
  PoolShape shape;
  const void* x;
  const float* coefficients;
  void* y;
  void* choices;  // a byte for each number; nullptr: nobody wants to know
};

struct PoolGradientWork {
  Grid grid;
  PoolShape shape;
  const void* x;
  const float* coefficients;
  const void* dy;
  const void* dy_too;  // what is added to it; nullptr: nothing
  const void* choices;
  float* partials;                     // written by the first pass
  const float* gradient_coefficients;  // read by the second
  void* dx;
};

}  // namespace millrace::model::gpu

#endif  // MILLRACE_MODEL_GPU_KERNELS_NORM_WORK_INL_
