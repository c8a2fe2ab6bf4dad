// ClearML: a run's events as what its pages show.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tracking/clearml_target.h"
#include "tracking/remote.h"

namespace millrace::tracking {

// Scalars arrive under the tags and axes of tags.h, "graph/series"; pictures and notes as debug
// samples, histograms and curves as plots, settings as parameters of the section "General", the
// dataset as those of the section "Dataset", files as artifacts, lines for people as the task's
// console. ClearML knows no NaN and nothing beyond 32-bit floats: in place of the first one of a
// tag a line says so, and all are left out.
//
// What comes again is the same as before, down to the names of files: the server knows points,
// pictures and plots by task, iteration, metric, variant and key.
class Clearml final : public RemoteSink {
 public:
  // `sends_lines` is false where somebody else gives the server what the run prints.
  Clearml(std::unique_ptr<ClearmlTarget> target, ClearmlRun run, std::string worker,
          bool sends_lines);

  std::string name() const override { return target_->name(); }
  bool Takes(const RemoteEvent::What& what) const override;
  Delivery Deliver(std::span<const RemoteEvent> events) override;
  void KeepAlive() override;
  std::string ForCheckpoint() const override { return target_->ForCheckpoint(); }

 private:
  using Json = ClearmlTarget::Json;

  void Take(const RemoteEvent& event);
  void Take(const RemoteEvent& event, const Scalars& scalars);
  void Take(const RemoteEvent& event, const Message& message);
  void Take(const RemoteEvent& event, const Parameters& parameters);
  void Take(const RemoteEvent& event, const Picture& picture);
  void Take(const RemoteEvent& event, const Note& note);
  void Take(const RemoteEvent& event, const Histogram& histogram);
  void Take(const RemoteEvent& event, const PrCurve& curve);
  void Take(const RemoteEvent& event, const Artifact& artifact);
  void Take(const RemoteEvent& event, const Status& status);

  void AddPoint(const RemoteEvent& event, const char* type, const std::string& tag,
                std::uint64_t step, const Json& content);
  void AddSample(const RemoteEvent& event, const std::string& tag, std::uint64_t step,
                 std::string_view bytes, std::string_view extension);
  void AddLine(const RemoteEvent& event, const std::string& line);
  // Sends what is gathered.
  void Flush();

  const std::unique_ptr<ClearmlTarget> target_;
  const ClearmlRun run_;
  const std::string worker_;
  const bool sends_lines_;
  std::unique_ptr<Json> events_;  // gathered
  // Tags of which a line has told it, with the number of the event.
  std::map<std::string, std::uint64_t> no_number_;
};

}  // namespace millrace::tracking
