#include "pipeline/weight_histograms.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <string>

namespace millrace::pipeline {
namespace {

using Histograms = std::map<std::string, tracking::Histogram>;

class Recorder final : public tracking::Sink {
 public:
  explicit Recorder(Histograms& told) : told_(told) {}
  void OnHistogram(const tracking::Histogram& histogram) override {
    EXPECT_TRUE(told_.emplace(histogram.name, histogram).second) << histogram.name;
  }

 private:
  Histograms& told_;
};

std::unique_ptr<model::Network> MakeSmallNetwork() {
  auto network =
      model::MakeNetwork(Params::FromJson(R"({"name": "resnet18", "width": 8})", "model"), 3, 1);
  double scale = 1;
  for (const auto& parameter : network->parameters()) {
    parameter.tensor.mutable_grad() = at::full_like(parameter.tensor, scale++);
  }
  return network;
}

Histograms Tell(const model::Network& network, bool gradients) {
  Histograms told;
  tracking::RunLog log;
  log.Add(std::make_unique<Recorder>(told));
  TellHistograms(network, 12, gradients, log);
  log.Flush();
  return told;
}

TEST(WeightHistograms, EveryParameterAndItsGradientHasOne) {
  const auto network = MakeSmallNetwork();
  const Histograms told = Tell(*network, true);
  EXPECT_EQ(told.size(), 2 * network->parameters().size());
  EXPECT_TRUE(told.contains("weights/layer1/0/conv1/weight"));
  double scale = 1;
  for (const auto& parameter : network->parameters()) {
    std::string name = parameter.name;
    std::replace(name.begin(), name.end(), '.', '/');
    const auto& weights = told.at("weights/" + name);
    EXPECT_EQ(weights.step, 12u);
    EXPECT_EQ(weights.min, parameter.tensor.min().item<double>());
    EXPECT_EQ(weights.max, parameter.tensor.max().item<double>());
    EXPECT_EQ(std::accumulate(weights.counts.begin(), weights.counts.end(), 0.0),
              static_cast<double>(parameter.tensor.numel()));
    const auto& gradients = told.at("grads/" + name);
    EXPECT_EQ(gradients.min, scale);
    EXPECT_EQ(gradients.max, scale++);
  }
}

TEST(WeightHistograms, GradientsAreToldOnlyWhereThereAreSome) {
  const auto network = MakeSmallNetwork();
  const Histograms told = Tell(*network, false);
  EXPECT_EQ(told.size(), network->parameters().size());
  for (const auto& [name, histogram] : told) EXPECT_THAT(name, testing::StartsWith("weights/"));
}

TEST(WeightHistograms, WhatIsNotFiniteHasNone) {
  const auto network = MakeSmallNetwork();
  network->parameters()[0].tensor.mutable_grad().fill_(std::numeric_limits<float>::infinity());
  const Histograms told = Tell(*network, true);
  EXPECT_FALSE(told.contains("grads/conv1/weight"));
  EXPECT_TRUE(told.contains("weights/conv1/weight"));
}

}  // namespace
}  // namespace millrace::pipeline
