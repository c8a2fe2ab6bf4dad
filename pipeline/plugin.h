// What a plugin is written with: a shared library of somebody's own that adds components, which
// recipes then name as they name the program's.
//
//   MILLRACE_PLUGIN(registry) { registry.AddPixelOp("tint", &MakeTint); }
//
// built by millrace_add_plugin() of the installed CMake package and named in the recipe:
// `plugins = ["build/libmy_ops.so"]`. docs/plugins.md goes through an example.
//
// A plugin uses the program's own code and is loaded by no other build of it than the one whose
// headers it was compiled with. It stays loaded until the process ends.
#pragma once

#include <string>

#include "model/components.h"
#include "pipeline/components.h"
#include "pipeline/plugin_abi.h"
#include "stages/ops/operations.h"
#include "tracking/event.h"

namespace millrace::pipeline {

// Takes a plugin's components. Each Add throws Error (exit code 2) when a component of that kind
// has the name: one of the program's or of a plugin named before. One thread at a time.
class Registry {
 public:
  // Adds to `components`, which outlives it.
  explicit Registry(Components* components);

  // `[data.train] ops = [{ op = "<name>", ... }]`. Both kinds share their names.
  void AddGeometryOp(std::string name, stages::GeometryOpMaker make);
  void AddPixelOp(std::string name, stages::PixelOpMaker make);

  // `name` of the sections [model], [loss], [optimizer] and [schedule]: model/network.h, loss.h,
  // optimizer.h and schedule.h.
  void AddNetwork(std::string name, model::NetworkMaker make);
  void AddLoss(std::string name, model::LossMaker make);
  void AddOptimizer(std::string name, model::OptimizerMaker make);
  void AddSchedule(std::string name, model::ScheduleMaker make);

  // `[evaluation] metrics = [{ metric = "<name>", ... }]`: model/metric.h
  void AddMetric(std::string name, model::MetricMaker make);

  // `[tracking] sinks = [{ sink = "<name>", ... }]`
  void AddSink(std::string name, tracking::SinkMaker make);

 private:
  Components& components_;
};

}  // namespace millrace::pipeline

// The body of the function that a plugin is asked for its components with; once in a plugin. An
// Error thrown there ends the program's start and names the plugin.
#define MILLRACE_PLUGIN(registry)                                             \
  [[gnu::used]] static const char kMillracePluginAbi[] = MILLRACE_PLUGIN_ABI; \
  extern "C" [[gnu::visibility("default")]] void millrace_plugin_register(    \
      ::millrace::pipeline::Registry& registry)
