// What a recipe means on given devices: batch sizes, threads, slots, learning rate. Training,
// evaluation and profiling decide it alike.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/loss_scaler.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/precision.h"
#include "model/schedule.h"
#include "model/weight_average.h"
#include "pipeline/batch_plan.h"
#include "pipeline/devices.h"
#include "pipeline/graph.h"
#include "pipeline/lane_device.h"
#include "pipeline/lane_groups.h"
#include "pipeline/loader_stages.h"
#include "pipeline/read_ahead.h"
#include "pipeline/recipe.h"
#include "stages/mix.h"
#include "storage/split_reader.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

// How the recipe's batch section works out. [samples]
struct BatchSizes {
  std::uint32_t per_device = 0;
  std::uint32_t accumulation = 1;
  std::uint32_t evaluate_per_device = 0;
};

// Throws Error (exit code 2) when so many devices cannot make the recipe's global batch.
BatchSizes ResolveBatch(const Recipe& recipe, std::uint32_t world_size);

// Throws Error (exit code 2) when a global batch of these sizes cannot hold samples as often as the
// recipe repeats them, or a picture would be mixed with a copy of itself.
void CheckRepeats(const Recipe& recipe, const BatchSizes& batch, std::uint32_t world_size);

// Workers, slots and their sizes for a graph that trains, evaluates or both, in memory that the
// devices copy from. What the recipe leaves to "auto": a worker for each core of the budget, dealt
// to NUMA nodes where there are several, and fewer while the graph runs where lanes need no more
// (worker_limit.h); four slots for each lane, or as many as keep all workers
// busy, and more while the graph runs where lanes wait (slot_growth.h). Throws Error (exit code 2)
// when there are fewer slots than lanes, and when the recipe decodes on a GPU that no lane has.
GraphOptions MakeGraphOptions(const Recipe& recipe, const SampleWork& samples,
                              const BatchSizes& batch, const Devices& devices, bool trains,
                              bool evaluates);

// Whether a run of so many processes should read training samples past the page cache: in block
// order, of a split that does not fit into the memory, so that the page cache would keep nothing
// until the next epoch. Several processes would each read every block.
bool ShouldBypassPageCache(const Recipe& recipe, const storage::SplitReader& train,
                           std::uint32_t processes, std::uint64_t memory_bytes);

// The read-ahead for batches of the split that `reader` reads: "auto" begins with what is in flight
// and goes up to a sixteenth of the memory, which is wanted as page cache. `loaders` must outlive
// it.
ReadAheadOptions MakeReadAheadOptions(const Recipe& recipe, LoaderStages& loaders,
                                      const storage::SplitReader& reader, std::uint32_t batch,
                                      tracking::RunLog& log);

// What was chosen for the graph, and why, in a line for people.
std::string DescribeGraph(const Recipe& recipe, const GraphOptions& options, std::uint32_t lanes);

// The same of training samples that are read past the page cache.
std::string DescribeBypass(const storage::SplitReader& train);

// The same for changes that were made while the graph ran.
std::string DescribeMoreSlots(const MoreSlots& more);
std::string DescribeWorkers(const WorkersAtWork& change);
std::string DescribeDeeperReadAhead(const DeeperReadAhead& deeper);

// Compute threads of each lane.
int ComputeThreads(const Devices& devices);

// Throws Error (exit code 2) when the recipe asks for another number of classes than the data has.
void RefuseOtherClasses(const storage::SplitReader& reader, const Recipe& recipe);

// Throws Error (exit code 2) when a model that the recipe takes from a file does not fit the
// pictures and classes, in training or in evaluation.
void RehearseModel(const Recipe& recipe, std::int64_t classes, const SampleWork& samples,
                   bool trains, bool evaluates);

// The recipe's precision, and whether float32 may be TensorFloat-32, which holds for the whole
// process from then on. Throws Error (exit code 2) for a wrong value.
model::Precision UsePrecision(const Recipe& recipe);

// How a lane gets its images: as the recipe's network has them. For an autocast whose first
// operation would make them so in its 16 bits, at half the memory.
stages::ImageFormat FormatOfImages(const Recipe& recipe, const Devices& devices,
                                   const model::Precision& precision);

// The device of a lane for batches of `loaders`. Lines about what it decides go to `log`. Both must
// outlive it.
std::unique_ptr<LaneDevice> MakeLaneDevice(const Recipe& recipe, const Devices& devices,
                                           std::uint32_t lane, const model::Precision& precision,
                                           LoaderStages& loaders, tracking::RunLog& log);

// What each lane has of its own, on its device: equal for all at the start.
struct Replica {
  std::unique_ptr<model::Network> network;
  std::unique_ptr<model::Optimizer> optimizer;
  std::unique_ptr<model::LossScaler> scaler;      // for float16
  std::unique_ptr<model::WeightAverage> average;  // where the recipe wants one
};
struct Replicas {
  std::vector<Replica> lanes;
  std::unique_ptr<model::Schedule> schedule;
  model::Precision precision;
  stages::Mixing mixing;
};

// What LaneGroups wants to know of them.
std::vector<LaneGroups::Replica> ReplicasOf(const Replicas& replicas, const Devices& devices);

// Kernels are from then on as deterministic as the recipe asks for. Throws Error (exit code 2) for
// what is wrong with the recipe's sections.
Replicas MakeReplicas(const Recipe& recipe, std::int64_t classes, const Devices& devices,
                      const BatchPlan& plan);

}  // namespace millrace::pipeline
