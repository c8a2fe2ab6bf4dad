// Runs single parts of model/ for tests/reference/test_model.py, which sets them beside PyTorch.
//
// Arguments: a verb, then what the verb needs; tensors travel in safetensors files. Sections of
// settings are JSON.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/params.h"
#include "model/classification_counts.h"
#include "model/gradient_reducer.h"
#include "model/loss.h"
#include "model/loss_scaler.h"
#include "model/metric.h"
#include "model/metric_sums.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/precision.h"
#include "model/process_group.h"
#include "model/safetensors.h"
#include "model/schedule.h"
#include "model/stochastic_depth.h"
#include "model/store.h"
#include "model/threads.h"
#include "model/weight_average.h"
#include "model/weights.h"

namespace millrace::model {
namespace {

using Arguments = std::vector<std::string>;

std::unique_ptr<Network> Make(const std::string& section, std::int64_t classes,
                              std::uint64_t seed) {
  const Params params = Params::FromJson(section, "model");
  auto network = MakeNetwork(params, classes, seed);
  params.RefuseUnknown();
  return network;
}

at::Tensor Find(const TensorFile& file, const std::string& name) {
  for (const NamedTensor& entry : file.tensors) {
    if (entry.name == name) return entry.tensor;
  }
  Fail("the input lacks {}", name);
}

// init SECTION CLASSES SEED OUT: the initial weights.
void Init(const Arguments& args) {
  SaveWeights(*Make(args.at(0), std::stoll(args.at(1)), std::stoull(args.at(2))), args.at(3), {});
}

// load SECTION CLASSES SEED FILE OUT: the weights of a run that begins with FILE, and the line that
// says so.
void Load(const Arguments& args) {
  const auto network = Make(args.at(0), std::stoll(args.at(1)), std::stoull(args.at(2)));
  fmt::print("{}\n", LoadInitialWeights(*network, args.at(3)));
  SaveWeights(*network, args.at(4), {});
}

// step SECTION CLASSES WEIGHTS INPUTS OUT: logits of both modes, gradients, and buffers afterwards.
// Samples have the ids from 0 on, of epoch 3.
void Step(const Arguments& args) {
  auto network = Make(args.at(0), std::stoll(args.at(1)), 0);
  LoadWeights(*network, std::filesystem::path(args.at(2)));
  const TensorFile inputs = ReadSafetensors(args.at(3));
  const at::Tensor images = Find(inputs, "images");
  const auto loss = MakeLoss(Params::FromJson(R"({"label_smoothing": 0.1})", "loss"));

  std::vector<NamedTensor> out;
  {
    const c10::InferenceMode inference;
    out.push_back({"eval", network->Forward(images, false)});
  }
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(images.size(0)));
  std::iota(ids.begin(), ids.end(), 0);
  network->DrawParts(/*epoch=*/3, ids);
  const at::Tensor logits = network->Forward(images, true);
  const at::Tensor value = loss->Mean(logits, Find(inputs, "labels"));
  value.backward();
  out.push_back({"train", logits});
  out.push_back({"loss", value});
  for (const NamedTensor& entry : network->parameters()) {
    out.push_back({"gradient." + entry.name, entry.tensor.grad()});
  }
  for (const NamedTensor& entry : network->buffers()) out.push_back(entry);
  WriteSafetensors(args.at(4), out, {});
}

// depth RATE BLOCKS SEED EPOCH SAMPLES OUT: the "factors" of samples with ids from 0 on.
void Depth(const Arguments& args) {
  std::vector<std::uint64_t> ids(std::stoull(args.at(4)));
  std::iota(ids.begin(), ids.end(), 0);
  const at::Tensor factors =
      DrawDepth(std::stod(args.at(0)), std::stoll(args.at(1)), std::stoull(args.at(2)),
                static_cast<std::uint32_t>(std::stoul(args.at(3))), ids);
  WriteSafetensors(args.at(5), std::vector<NamedTensor>{{"factors", factors}}, {});
}

// train SECTION OPTIMIZER CLASSES WEIGHTS INPUTS OUT PRECISION SCALE INTERVAL: one update for each
// "images.<i>" and "labels.<i>", learning rate as in the section; the weights after the last, and
// all losses. With amp = "fp16" a loss scaler begins with SCALE and doubles it after INTERVAL
// steps; "scales" are then its values after each step.
void Train(const Arguments& args) {
  const Precision precision = ReadPrecision(Params::FromJson(args.at(6), "precision"));
  LossScaler scaler(c10::kCPU, {.initial_scale = std::stod(args.at(7)),
                                .growth_interval = std::stoll(args.at(8))});
  auto network = Make(args.at(0), std::stoll(args.at(2)), 0);
  LoadWeights(*network, std::filesystem::path(args.at(3)));
  const auto optimizer =
      MakeOptimizer(Params::FromJson(args.at(1), "optimizer"), network->parameters());
  const auto loss = MakeLoss(Params::FromJson(R"({"label_smoothing": 0.1})", "loss"));
  const TensorFile inputs = ReadSafetensors(args.at(4));
  const std::size_t steps = inputs.tensors.size() / 2;
  at::Tensor losses = at::zeros({static_cast<std::int64_t>(steps)});
  at::Tensor scales = at::zeros({static_cast<std::int64_t>(steps)});
  std::vector<at::Tensor> gradients;
  for (const NamedTensor& parameter : network->parameters()) {
    gradients.push_back(parameter.tensor.grad());
  }
  for (std::size_t i = 0; i < steps; ++i) {
    const auto row = static_cast<std::int64_t>(i);
    optimizer->ZeroGradients();
    at::Tensor value;
    {
      const Autocast autocast(precision.amp, c10::kCPU);
      const at::Tensor logits = network->Forward(Find(inputs, fmt::format("images.{}", i)), true);
      value = loss->Mean(logits.to(at::kFloat), Find(inputs, fmt::format("labels.{}", i)));
    }
    losses[row] = value.detach();
    if (precision.amp != Amp::kFp16) {
      value.backward();
      optimizer->Step();
      continue;
    }
    scaler.Scale(value).backward();
    scaler.Unscale(gradients);
    optimizer->Step(scaler.found_inf());
    scaler.Update();
    scales[row] = scaler.StateTensors()[0].tensor;
  }
  std::vector<NamedTensor> out = network->state();
  out.push_back({"losses", losses});
  out.push_back({"scales", scales});
  WriteSafetensors(args.at(5), out, {});
}

// updates OPTIMIZER SCHEDULE STEPS_PER_EPOCH INPUTS OUT: parameters "parameter.<name>" follow
// gradients "gradient.<step>.<name>" at the schedule's rates; "<step>.<name>" after each, and
// "rates". With "found_inf" [steps] the optimizer is told each time whether the update counts.
void Updates(const Arguments& args) {
  const std::string prefix = "parameter.";
  const TensorFile inputs = ReadSafetensors(args.at(3));
  std::vector<NamedTensor> parameters;
  at::Tensor found_inf;
  for (const NamedTensor& entry : inputs.tensors) {
    if (entry.name == "found_inf") found_inf = entry.tensor;
    if (!entry.name.starts_with(prefix)) continue;
    parameters.push_back({entry.name.substr(prefix.size()), entry.tensor.clone()});
    parameters.back().tensor.set_requires_grad(true);
  }
  const std::size_t others = parameters.size() + (found_inf.defined() ? 1 : 0);
  const auto steps =
      static_cast<std::int64_t>((inputs.tensors.size() - others) / parameters.size());
  const Params params = Params::FromJson(args.at(0), "optimizer");
  const auto optimizer = MakeOptimizer(params, parameters);
  params.RefuseUnknown();
  const auto schedule = MakeSchedule(Params::FromJson(args.at(1), "schedule"),
                                     optimizer->learning_rate(), std::stoll(args.at(2)), steps);
  at::Tensor rates = at::zeros({steps}, at::kDouble);
  std::vector<NamedTensor> out;
  for (std::int64_t step = 0; step < steps; ++step) {
    rates[step] = schedule->LearningRateAt(step);
    for (const NamedTensor& parameter : parameters) {
      parameter.tensor.grad().copy_(
          Find(inputs, fmt::format("gradient.{}.{}", step, parameter.name)));
    }
    optimizer->SetLearningRate(schedule->LearningRateAt(step));
    optimizer->Step(found_inf.defined() ? found_inf[step] : at::Tensor());
    for (const NamedTensor& parameter : parameters) {
      out.push_back(
          {fmt::format("{}.{}", step, parameter.name), parameter.tensor.detach().clone()});
    }
  }
  out.push_back({"rates", rates});
  WriteSafetensors(args.at(4), out, {});
}

// average SECTION STEPS_PER_EPOCH WARMUP_STEPS INPUTS OUT: a network with the weights
// "<step>.<name>" after each step; "<step>.<name>" of its average.
void Average(const Arguments& args) {
  const Params params = Params::FromJson(args.at(0), "model");
  const auto settings = ReadWeightAverage(params);
  if (!settings) Fail("the section wants no average");
  const auto network = MakeNetwork(params, 10, 0);
  WeightAverage average(*settings, std::stoll(args.at(1)), std::stoll(args.at(2)), *network,
                        MakeNetwork(params, 10, 1));
  const TensorFile inputs = ReadSafetensors(args.at(3));
  const std::size_t steps = inputs.tensors.size() / network->state().size();
  std::vector<NamedTensor> out;
  for (std::size_t step = 0; step < steps; ++step) {
    std::vector<NamedTensor> weights;
    for (const NamedTensor& entry : network->state()) {
      weights.push_back({entry.name, Find(inputs, fmt::format("{}.{}", step, entry.name))});
    }
    CopyState(network->state(), weights);
    average.Follow(static_cast<std::int64_t>(step));
    for (const NamedTensor& entry : average.network().state()) {
      out.push_back({fmt::format("{}.{}", step, entry.name), entry.tensor.detach().clone()});
    }
  }
  WriteSafetensors(args.at(4), out, {});
}

// ranks SECTION OPTIMIZER CLASSES WEIGHTS INPUTS RANKS OUT: the same in float32 on so many ranks,
// each with its part of every batch; the mean loss of each step, and rank 0's weights.
void Ranks(const Arguments& args) {
  const TensorFile inputs = ReadSafetensors(args.at(4));
  const auto ranks = static_cast<std::uint32_t>(std::stoul(args.at(5)));
  const auto steps = static_cast<std::int64_t>(inputs.tensors.size() / 2);
  const auto loss = MakeLoss(Params::FromJson(R"({"label_smoothing": 0.1})", "loss"));
  const Store store = Store::InProcess();
  at::Tensor losses = at::zeros({ranks, steps});
  std::vector<std::unique_ptr<Network>> networks;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    networks.push_back(Make(args.at(0), std::stoll(args.at(2)), 0));
    LoadWeights(*networks.back(), std::filesystem::path(args.at(3)));
  }
  const auto work = [&](std::uint32_t rank) {
    SetComputeThreads(1);
    Network& network = *networks[rank];
    const auto optimizer =
        MakeOptimizer(Params::FromJson(args.at(1), "optimizer"), network.parameters());
    ProcessGroup group({.store = store, .rank = rank, .world_size = ranks});
    GradientReducer reducer(group, network.parameters());
    for (std::int64_t i = 0; i < steps; ++i) {
      const auto part = [&](const char* name) {
        return Find(inputs, fmt::format("{}.{}", name, i)).chunk(ranks)[rank];
      };
      reducer.Average([&] {
        optimizer->ZeroGradients();
        const at::Tensor value = loss->Mean(network.Forward(part("images"), true), part("labels"));
        value.backward();
        losses[rank][i] = value.detach();
      });
      optimizer->Step();
    }
    // None leaves while others still need it.
    store.Add("done", 1);
    while (store.Add("done", 0) < ranks) std::this_thread::yield();
  };
  {
    std::vector<std::jthread> threads;
    for (std::uint32_t rank = 0; rank < ranks; ++rank) threads.emplace_back(work, rank);
  }
  std::vector<NamedTensor> out = networks[0]->state();
  out.push_back({"losses", losses.mean(0)});
  WriteSafetensors(args.at(6), out, {});
}

// schedule SECTION LR STEPS_PER_EPOCH TOTAL: the rate of every step, one a line.
void PrintSchedule(const Arguments& args) {
  const Params params = Params::FromJson(args.at(0), "schedule");
  const std::int64_t total = std::stoll(args.at(3));
  const auto schedule = MakeSchedule(params, std::stod(args.at(1)), std::stoll(args.at(2)), total);
  params.RefuseUnknown();
  for (std::int64_t i = 0; i < total; ++i) {
    fmt::print("{:.17g}\n", schedule->LearningRateAt(i));
  }
}

// loss SECTION INPUTS OUT: the loss of each sample, their "mean" and its "gradient" of "logits" and
// "targets" (labels or shares).
void JudgeLoss(const Arguments& args) {
  const Params params = Params::FromJson(args.at(0), "loss");
  const auto loss = MakeLoss(params);
  params.RefuseUnknown();
  const TensorFile inputs = ReadSafetensors(args.at(1));
  const at::Tensor logits = Find(inputs, "logits").set_requires_grad(true);
  const at::Tensor targets = Find(inputs, "targets");
  const at::Tensor mean = loss->Mean(logits, targets);
  mean.backward();
  WriteSafetensors(args.at(2),
                   std::vector<NamedTensor>{{"samples", loss->PerSample(logits, targets).detach()},
                                            {"mean", mean.detach()},
                                            {"gradient", logits.grad()}},
                   {});
}

// counts CLASSES INPUTS: samples, top-1, top-5 and mean loss of "logits" and "labels".
void Counts(const Arguments& args) {
  const TensorFile inputs = ReadSafetensors(args.at(1));
  const at::Tensor logits = Find(inputs, "logits");
  const at::Tensor labels = Find(inputs, "labels");
  ClassificationCounts counts(std::stoll(args.at(0)));
  counts.Add(logits, labels, MakeLoss(Params("loss"))->PerSample(logits, labels));
  fmt::print("{} {} {} {:.17g}\n", counts.samples(), counts.top1(), counts.top5(),
             counts.MeanLoss());
}

// metrics SECTION CLASSES INPUTS: each metric's name and value for "logits" and "labels".
void MetricValues(const Arguments& args) {
  const Params params = Params::FromJson(args.at(0), "evaluation");
  const Metrics metrics = MakeMetrics(params, std::stoll(args.at(1)));
  params.RefuseUnknown();
  const TensorFile inputs = ReadSafetensors(args.at(2));
  MetricSums sums(metrics);
  sums.Add(Find(inputs, "logits"), Find(inputs, "labels"));
  for (const auto& [name, value] : sums.Values()) fmt::print("{} {:.17g}\n", name, value);
}

// copy IN OUT: a safetensors file read and written again.
void Copy(const Arguments& args) {
  const TensorFile file = ReadSafetensors(args.at(0));
  WriteSafetensors(args.at(1), file.tensors, file.metadata);
}

// bench SECTION BATCH PIXELS THREADS STEPS: the median of a train step after two of warm-up, in
// seconds of the clock and of the processor (which others on the machine change less).
void Bench(const Arguments& args) {
  constexpr std::int64_t kClasses = 10;
  const std::int64_t batch = std::stoll(args.at(1));
  const std::int64_t pixels = std::stoll(args.at(2));
  SetComputeThreads(std::stoi(args.at(3)));
  const auto network = Make(args.at(0), kClasses, 0);
  const auto optimizer = MakeOptimizer(
      Params::FromJson(
          R"({"name":"sgd","lr":0.01,"momentum":0.9,"nesterov":true,"weight_decay":5e-4})", "o"),
      network->parameters());
  const auto loss = MakeLoss(Params::FromJson(R"({"label_smoothing": 0.1})", "loss"));
  const at::Tensor images =
      at::randn({batch, 3, pixels, pixels}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor labels = at::randint(kClasses, {batch}, at::kLong);
  std::vector<double> wall, cpu;
  for (int i = 0; i < std::stoi(args.at(4)) + 2; ++i) {
    const auto wall_begin = std::chrono::steady_clock::now();
    const std::clock_t cpu_begin = std::clock();
    optimizer->ZeroGradients();
    const at::Tensor value = loss->Mean(network->Forward(images, true), labels);
    value.backward();
    optimizer->Step();
    if (i < 2) continue;
    cpu.push_back(static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC);
    wall.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_begin).count());
  }
  std::sort(wall.begin(), wall.end());
  std::sort(cpu.begin(), cpu.end());
  fmt::print("{:.6f} {:.6f}\n", wall.at(wall.size() / 2), cpu.at(cpu.size() / 2));
}

int Run(const Arguments& all) {
  const std::string verb = all.empty() ? "" : all.front();
  const Arguments args(all.begin() + (all.empty() ? 0 : 1), all.end());
  if (verb == "init") {
    Init(args);
  } else if (verb == "load") {
    Load(args);
  } else if (verb == "step") {
    Step(args);
  } else if (verb == "depth") {
    Depth(args);
  } else if (verb == "train") {
    Train(args);
  } else if (verb == "updates") {
    Updates(args);
  } else if (verb == "average") {
    Average(args);
  } else if (verb == "ranks") {
    Ranks(args);
  } else if (verb == "schedule") {
    PrintSchedule(args);
  } else if (verb == "loss") {
    JudgeLoss(args);
  } else if (verb == "metrics") {
    MetricValues(args);
  } else if (verb == "counts") {
    Counts(args);
  } else if (verb == "copy") {
    Copy(args);
  } else if (verb == "bench") {
    Bench(args);
  } else {
    fmt::print(stderr,
               "verbs: init load step depth train updates average ranks schedule loss counts copy "
               "bench\n");
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace millrace::model

int main(int argc, char** argv) {
  try {
    return millrace::model::Run({argv + 1, argv + argc});
  } catch (const millrace::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
