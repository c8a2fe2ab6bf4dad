#include "pipeline/plugin.h"

#include <utility>

#include "base/error.h"

namespace millrace::pipeline {
namespace {

template <typename Maker>
void RequireFree(const char* kind, const std::string& name, const Table<Maker>& table) {
  if (table.Find(name) == nullptr) return;
  FailUsage("adds {} \"{}\", which there is already; give it another name", kind, name);
}

template <typename Maker>
void Add(const char* kind, std::string name, Maker make, Table<Maker>* table) {
  RequireFree(kind, name, *table);
  table->Add(std::move(name), make);
}

constexpr const char* kOperation = "the operation";

}  // namespace

// Here, so that the program, which makes a registry, links what plugins call of it.
Registry::Registry(Components* components) : components_(*components) {}

void Registry::AddGeometryOp(std::string name, stages::GeometryOpMaker make) {
  stages::Operations& operations = components_.operations;
  RequireFree(kOperation, name, operations.pixels);
  Add(kOperation, std::move(name), make, &operations.geometry);
}

void Registry::AddPixelOp(std::string name, stages::PixelOpMaker make) {
  stages::Operations& operations = components_.operations;
  RequireFree(kOperation, name, operations.geometry);
  Add(kOperation, std::move(name), make, &operations.pixels);
}

void Registry::AddNetwork(std::string name, model::NetworkMaker make) {
  Add("the network", std::move(name), make, &components_.model.networks);
}

void Registry::AddLoss(std::string name, model::LossMaker make) {
  Add("the loss", std::move(name), make, &components_.model.losses);
}

void Registry::AddOptimizer(std::string name, model::OptimizerMaker make) {
  Add("the optimizer", std::move(name), make, &components_.model.optimizers);
}

void Registry::AddSchedule(std::string name, model::ScheduleMaker make) {
  Add("the schedule", std::move(name), make, &components_.model.schedules);
}

void Registry::AddMetric(std::string name, model::MetricMaker make) {
  Add("the metric", std::move(name), make, &components_.model.metrics);
}

void Registry::AddSink(std::string name, tracking::SinkMaker make) {
  Add("the sink", std::move(name), make, &components_.sinks);
}

}  // namespace millrace::pipeline
