#include "tracking/tensorboard.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "base/utf8.h"
#include "tracking/tags.h"
#include "tracking/tensorboard.pb.h"

namespace millrace::tracking {
namespace {

using tensorboard::Experiment;
using tensorboard::HParamsPluginData;
using tensorboard::HParamValue;
using tensorboard::SessionEndInfo;
using tensorboard::Summary;
using tensorboard::TensorProto;

constexpr std::string_view kWriter = "millrace";

// Where in the run something was made, as Event::position.
std::uint64_t TrainingPosition(std::uint64_t step) { return 2 * step; }
std::uint64_t EvaluationPosition(std::uint64_t step) { return 2 * step + 1; }
// Whatever comes after the end of a run undoes it.
constexpr std::uint64_t kEndPosition = std::numeric_limits<std::uint64_t>::max();

std::uint64_t KeepPosition(const ResumePoint& resume) {
  if (resume.step == 0 && (!resume.resumed || resume.evaluation_pending)) return 0;
  return resume.evaluation_pending ? TrainingPosition(resume.step)
                                   : EvaluationPosition(resume.step);
}

// The HParams page shows five settings at first, of those that are said to differ between runs.
// Which do nobody knows who sees one run: these are the ones that mostly do.
constexpr std::array<std::string_view, 5> kMainSettings = {
    "batch.per_device", "model.name", "optimizer.lr", "optimizer.weight_decay", "train.epochs"};

double WallTime() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

tensorboard::Event MakeEvent(std::uint64_t x, std::uint64_t position) {
  tensorboard::Event event;
  event.set_step(static_cast<std::int64_t>(x));
  event.set_position(position);
  return event;
}

// Protobuf's readers refuse texts that are not UTF-8; a path may hold any bytes.
std::string Readable(const std::string& text) { return IsUtf8(text) ? text : Printable(text); }

// `tag` with nothing in it yet.
Summary::Value& AddValue(tensorboard::Event& event, const std::string& tag) {
  Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag(Readable(tag));
  return value;
}

void SetPlugin(Summary::Value& value, const char* name, std::string content = "") {
  auto& plugin = *value.mutable_metadata()->mutable_plugin_data();
  plugin.set_plugin_name(name);
  plugin.set_content(std::move(content));
}

// A value that consists of what the HParams plugin finds in its metadata.
void AddHParams(tensorboard::Event& event, const char* tag, const HParamsPluginData& data) {
  Summary::Value& value = AddValue(event, tag);
  SetPlugin(value, "hparams", data.SerializeAsString());
  value.mutable_tensor()->set_dtype(TensorProto::DT_FLOAT);
  value.mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(0);
}

struct ParameterType {
  Experiment::HParamInfo::DataType operator()(bool) const {
    return Experiment::HParamInfo::DATA_TYPE_BOOL;
  }
  Experiment::HParamInfo::DataType operator()(double) const {
    return Experiment::HParamInfo::DATA_TYPE_FLOAT64;
  }
  Experiment::HParamInfo::DataType operator()(const std::string&) const {
    return Experiment::HParamInfo::DATA_TYPE_STRING;
  }
};

struct SetParameter {
  HParamValue& to;
  void operator()(bool value) const { to.set_bool_value(value); }
  void operator()(double value) const { to.set_number_value(value); }
  void operator()(const std::string& value) const { to.set_string_value(Readable(value)); }
};

}  // namespace

TensorBoard::TensorBoard(const std::filesystem::path& folder, const ResumePoint& resume)
    : resume_(resume), file_(folder, kWriter, KeepPosition(resume)) {
  if (resume.step == 0) return;
  auto event = MakeEvent(resume.step + 1, TrainingPosition(resume.step));
  event.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  Write(event);
}

void TensorBoard::Write(tensorboard::Event& event) {
  // What takes its time, as pictures do, comes behind what was made after it.
  position_ = std::max<std::uint64_t>(position_, event.position());
  event.set_position(position_);
  file_.Write(event);
}

void TensorBoard::OnScalars(const Scalars& scalars) {
  if (scalars.values.empty()) return;
  const bool in_training = scalars.group == "train" || scalars.group == kSystemGroup;
  auto event =
      MakeEvent(0, in_training ? TrainingPosition(scalars.step) : EvaluationPosition(scalars.step));
  for (const auto& [name, number] : scalars.values) {
    const Place place = PlaceOf(scalars, name);
    event.set_step(static_cast<std::int64_t>(place.x));
    AddValue(event, place.tag).set_simple_value(static_cast<float>(number));
  }
  Write(event);
}

void TensorBoard::OnParameters(const Parameters& parameters) {
  HParamsPluginData about;
  HParamsPluginData session;
  auto& hparams = *session.mutable_session_start_info()->mutable_hparams();
  for (const auto& [name, parameter] : parameters.values) {
    auto& info = *about.mutable_experiment()->add_hparam_infos();
    info.set_name(Readable(name));
    info.set_type(std::visit(ParameterType{}, parameter));
    info.set_differs(std::find(kMainSettings.begin(), kMainSettings.end(), name) !=
                     kMainSettings.end());
    std::visit(SetParameter{hparams[info.name()]}, parameter);
  }
  session.mutable_session_start_info()->set_start_time_secs(WallTime());
  for (const std::string_view tag : {kLossTag, kAccuracyTag}) {
    about.mutable_experiment()->add_metric_infos()->mutable_name()->set_tag(std::string(tag));
  }
  auto event = MakeEvent(resume_.step, TrainingPosition(resume_.step));
  AddHParams(event, "_hparams_/experiment", about);
  AddHParams(event, "_hparams_/session_start_info", session);
  Write(event);
}

void TensorBoard::OnStatus(const Status& status) {
  // An interrupted run goes on later.
  if (status.state != Status::State::kFinished && status.state != Status::State::kFailed) return;
  HParamsPluginData data;
  data.mutable_session_end_info()->set_status(status.state == Status::State::kFinished
                                                  ? SessionEndInfo::STATUS_SUCCESS
                                                  : SessionEndInfo::STATUS_FAILURE);
  data.mutable_session_end_info()->set_end_time_secs(WallTime());
  auto event = MakeEvent(status.step, kEndPosition);
  AddHParams(event, "_hparams_/session_end_info", data);
  Write(event);
}

void TensorBoard::OnPicture(const Picture& picture) {
  auto event = MakeEvent(picture.step, EvaluationPosition(picture.step));
  Summary::Image& image = *AddValue(event, picture.name).mutable_image();
  image.set_width(static_cast<std::int32_t>(picture.width));
  image.set_height(static_cast<std::int32_t>(picture.height));
  image.set_colorspace(3);
  image.set_encoded_image_string(picture.png);
  Write(event);
}

void TensorBoard::OnNote(const Note& note) {
  auto event = MakeEvent(note.step, EvaluationPosition(note.step));
  Summary::Value& value = AddValue(event, note.name);
  SetPlugin(value, "text");
  value.mutable_tensor()->set_dtype(TensorProto::DT_STRING);
  value.mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(1);
  value.mutable_tensor()->add_string_val(Readable(note.markdown));
  Write(event);
}

void TensorBoard::OnHistogram(const Histogram& histogram) {
  MILLRACE_CHECK(histogram.limits.size() == histogram.counts.size());
  auto event = MakeEvent(histogram.step, EvaluationPosition(histogram.step));
  auto& histo = *AddValue(event, histogram.name).mutable_histo();
  histo.set_min(histogram.min);
  histo.set_max(histogram.max);
  histo.set_sum(histogram.sum);
  histo.set_sum_squares(histogram.sum_of_squares);
  double num = 0;
  for (std::size_t i = 0; i < histogram.limits.size(); ++i) {
    histo.add_bucket_limit(histogram.limits[i]);
    histo.add_bucket(histogram.counts[i]);
    num += histogram.counts[i];
  }
  histo.set_num(num);
  Write(event);
}

void TensorBoard::OnPrCurve(const PrCurve& curve) {
  const std::size_t thresholds = curve.true_positives.size();
  MILLRACE_CHECK(thresholds >= 2 && curve.false_positives.size() == thresholds &&
                 curve.true_negatives.size() == thresholds &&
                 curve.false_negatives.size() == thresholds);
  auto event = MakeEvent(curve.step, EvaluationPosition(curve.step));
  Summary::Value& value = AddValue(event, curve.name);
  tensorboard::PrCurvePluginData about;
  about.set_num_thresholds(static_cast<std::uint32_t>(thresholds));
  SetPlugin(value, "pr_curves", about.SerializeAsString());
  TensorProto& tensor = *value.mutable_tensor();
  tensor.set_dtype(TensorProto::DT_FLOAT);
  tensor.mutable_tensor_shape()->add_dim()->set_size(6);
  tensor.mutable_tensor_shape()->add_dim()->set_size(static_cast<std::int64_t>(thresholds));
  const auto add = [&tensor](double number) { tensor.add_float_val(static_cast<float>(number)); };
  for (const auto* counts : {&curve.true_positives, &curve.false_positives, &curve.true_negatives,
                             &curve.false_negatives}) {
    for (const double count : *counts) add(count);
  }
  // Where nothing is counted, precision and recall are 0, as TensorBoard's own writer has them.
  const auto share = [](double part, double rest) {
    return part + rest > 0 ? part / (part + rest) : 0;
  };
  for (std::size_t i = 0; i < thresholds; ++i) {
    add(share(curve.true_positives[i], curve.false_positives[i]));
  }
  for (std::size_t i = 0; i < thresholds; ++i) {
    add(share(curve.true_positives[i], curve.false_negatives[i]));
  }
  Write(event);
}

}  // namespace millrace::tracking
