#include "tracking/remote_event.h"

#include "tracking/journal.pb.h"

namespace millrace::tracking {
namespace {

template <typename From, typename To>
void SetAll(const From& from, To* to) {
  to->Assign(from.begin(), from.end());
}

template <typename From>
std::vector<double> All(const From& from) {
  return {from.begin(), from.end()};
}

struct Encode {
  journal::Entry& entry;

  void operator()(const Scalars& from) const {
    auto& to = *entry.mutable_scalars();
    to.set_kind(static_cast<std::uint32_t>(from.kind));
    to.set_group(from.group);
    to.set_step(from.step);
    to.set_epoch(from.epoch);
    for (const auto& [name, number] : from.values) {
      auto& value = *to.add_values();
      value.set_name(name);
      value.set_value(number);
    }
    for (const auto& [name, text] : from.texts) {
      auto& value = *to.add_texts();
      value.set_name(name);
      value.set_text(text);
    }
  }
  void operator()(const Message& from) const { entry.set_message(from.line); }
  void operator()(const Parameters& from) const {
    auto& to = *entry.mutable_parameters();
    for (const auto& [name, parameter] : from.values) {
      auto& value = *to.add_values();
      value.set_name(name);
      if (const bool* flag = std::get_if<bool>(&parameter)) value.set_flag(*flag);
      if (const double* number = std::get_if<double>(&parameter)) value.set_number(*number);
      if (const auto* text = std::get_if<std::string>(&parameter)) value.set_text(*text);
    }
  }
  void operator()(const Picture& from) const {
    auto& to = *entry.mutable_picture();
    to.set_name(from.name);
    to.set_step(from.step);
    to.set_width(from.width);
    to.set_height(from.height);
    to.set_png(from.png);
  }
  void operator()(const Note& from) const {
    auto& to = *entry.mutable_note();
    to.set_name(from.name);
    to.set_step(from.step);
    to.set_markdown(from.markdown);
  }
  void operator()(const Histogram& from) const {
    auto& to = *entry.mutable_histogram();
    to.set_name(from.name);
    to.set_step(from.step);
    to.set_min(from.min);
    to.set_max(from.max);
    to.set_sum(from.sum);
    to.set_sum_of_squares(from.sum_of_squares);
    SetAll(from.limits, to.mutable_limits());
    SetAll(from.counts, to.mutable_counts());
  }
  void operator()(const PrCurve& from) const {
    auto& to = *entry.mutable_pr_curve();
    to.set_name(from.name);
    to.set_step(from.step);
    SetAll(from.true_positives, to.mutable_true_positives());
    SetAll(from.false_positives, to.mutable_false_positives());
    SetAll(from.true_negatives, to.mutable_true_negatives());
    SetAll(from.false_negatives, to.mutable_false_negatives());
  }
  void operator()(const Artifact& from) const {
    auto& to = *entry.mutable_artifact();
    to.set_name(from.name);
    to.set_path(from.path.string());
  }
  void operator()(const Status& from) const {
    auto& to = *entry.mutable_status();
    to.set_state(static_cast<std::uint32_t>(from.state));
    to.set_step(from.step);
    to.set_reason(from.reason);
  }
};

Scalars Decode(const journal::Scalars& from) {
  Scalars to{.kind = from.kind() == 0 ? Scalars::Kind::kResult : Scalars::Kind::kTiming,
             .group = from.group(),
             .step = from.step(),
             .epoch = from.epoch(),
             .values = {},
             .texts = {}};
  for (const auto& value : from.values()) to.values.emplace_back(value.name(), value.value());
  for (const auto& value : from.texts()) to.texts.emplace_back(value.name(), value.text());
  return to;
}

Parameters Decode(const journal::Parameters& from) {
  Parameters to;
  for (const auto& value : from.values()) {
    switch (value.value_case()) {
      case journal::Parameters::Value::kFlag:
        to.values.emplace_back(value.name(), value.flag());
        break;
      case journal::Parameters::Value::kNumber:
        to.values.emplace_back(value.name(), value.number());
        break;
      default:
        to.values.emplace_back(value.name(), value.text());
    }
  }
  return to;
}

Picture Decode(const journal::Picture& from) {
  return {.name = from.name(),
          .step = from.step(),
          .width = from.width(),
          .height = from.height(),
          .png = from.png()};
}

Note Decode(const journal::Note& from) {
  return {.name = from.name(), .step = from.step(), .markdown = from.markdown()};
}

Histogram Decode(const journal::Histogram& from) {
  return {.name = from.name(),
          .step = from.step(),
          .min = from.min(),
          .max = from.max(),
          .sum = from.sum(),
          .sum_of_squares = from.sum_of_squares(),
          .limits = All(from.limits()),
          .counts = All(from.counts())};
}

PrCurve Decode(const journal::PrCurve& from) {
  return {.name = from.name(),
          .step = from.step(),
          .true_positives = All(from.true_positives()),
          .false_positives = All(from.false_positives()),
          .true_negatives = All(from.true_negatives()),
          .false_negatives = All(from.false_negatives())};
}

Artifact Decode(const journal::Artifact& from) {
  return {.name = from.name(), .path = from.path()};
}

Status Decode(const journal::Status& from) {
  return {.state = from.state() <= static_cast<std::uint32_t>(Status::State::kFailed)
                       ? static_cast<Status::State>(from.state())
                       : Status::State::kRunning,
          .step = from.step(),
          .reason = from.reason()};
}

}  // namespace

std::string EncodeRemoteEvent(std::int64_t time_ms, const RemoteEvent::What& what) {
  journal::Entry entry;
  entry.set_time_ms(time_ms);
  std::visit(Encode{entry}, what);
  return entry.SerializeAsString();
}

std::optional<RemoteEvent> DecodeRemoteEvent(std::uint64_t number, std::string_view bytes) {
  journal::Entry entry;
  if (!entry.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  RemoteEvent event{.number = number, .time_ms = entry.time_ms(), .what = {}};
  switch (entry.what_case()) {
    case journal::Entry::kScalars:
      event.what = Decode(entry.scalars());
      return event;
    case journal::Entry::kMessage:
      event.what = Message{entry.message()};
      return event;
    case journal::Entry::kParameters:
      event.what = Decode(entry.parameters());
      return event;
    case journal::Entry::kPicture:
      event.what = Decode(entry.picture());
      return event;
    case journal::Entry::kNote:
      event.what = Decode(entry.note());
      return event;
    case journal::Entry::kHistogram:
      event.what = Decode(entry.histogram());
      return event;
    case journal::Entry::kPrCurve:
      event.what = Decode(entry.pr_curve());
      return event;
    case journal::Entry::kArtifact:
      event.what = Decode(entry.artifact());
      return event;
    case journal::Entry::kStatus:
      event.what = Decode(entry.status());
      return event;
    case journal::Entry::WHAT_NOT_SET:
      break;
  }
  return std::nullopt;
}

}  // namespace millrace::tracking
