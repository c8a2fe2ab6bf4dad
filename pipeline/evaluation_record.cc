#include "pipeline/evaluation_record.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;
using Answer = EvaluationRecord::Answer;
using Guess = EvaluationRecord::Guess;

// JSON has no numbers that are not finite; they become null.
double NumberOf(const Json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

Json ToJson(const Guess& guess) {
  return {{"label", guess.label}, {"probability", guess.probability}};
}

Json ToJson(const std::vector<Answer>& answers) {
  Json list = Json::array();
  for (const Answer& answer : answers) {
    Json json = {{"sample", answer.sample}, {"truth", ToJson(answer.truth)}};
    if (answer.said) json["said"] = ToJson(*answer.said);
    if (answer.next) json["next"] = ToJson(*answer.next);
    json["loss"] = answer.loss;
    list.push_back(std::move(json));
  }
  return list;
}

// Names may hold any bytes; what is not UTF-8 is shown as a replacement character.
std::string Text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A member whose entries have a line each.
std::string List(const char* name, const Json& list) {
  std::string text = fmt::format("\"{}\":[", name);
  for (std::size_t i = 0; i < list.size(); ++i) text += (i == 0 ? "\n" : ",\n") + Text(list[i]);
  return text + "]";
}

// Reads a record and checks that its labels are classes.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  EvaluationRecord Read() {
    json_.at("step").get_to(record_.step);
    json_.at("epoch").get_to(record_.epoch);
    json_.at("split").get_to(record_.split);
    json_.at("samples").get_to(record_.samples);
    json_.at("top1").get_to(record_.top1);
    json_.at("top5").get_to(record_.top5);
    json_.at("unanswered").get_to(record_.unanswered);
    for (const Json& row : json_.at("classes")) {
      record_.classes.push_back({.id = row.at("id"),
                                 .name = row.at("name"),
                                 .samples = row.at("samples"),
                                 .right = row.at("right")});
    }
    for (const Json& row : json_.at("mistakes")) {
      record_.mistakes.push_back({.label = LabelOf(row.at("label")),
                                  .answer = LabelOf(row.at("answer")),
                                  .count = row.at("count")});
    }
    record_.hardest = AnswersOf(json_.at("hardest"));
    record_.most_confused = AnswersOf(json_.at("most_confused"));
    return record_;
  }

 private:
  std::uint64_t LabelOf(const Json& json) const {
    const auto label = json.get<std::uint64_t>();
    (void)record_.classes.at(label);
    return label;
  }

  Guess GuessOf(const Json& json) const {
    return {.label = LabelOf(json.at("label")), .probability = NumberOf(json.at("probability"))};
  }

  std::vector<Answer> AnswersOf(const Json& list) const {
    std::vector<Answer> answers;
    for (const Json& row : list) {
      Answer answer{.sample = row.at("sample"),
                    .truth = GuessOf(row.at("truth")),
                    .said = {},
                    .next = {},
                    .loss = NumberOf(row.at("loss"))};
      if (row.contains("said")) answer.said = GuessOf(row.at("said"));
      if (row.contains("next")) answer.next = GuessOf(row.at("next"));
      answers.push_back(answer);
    }
    return answers;
  }

  const Json& json_;
  EvaluationRecord record_;
};

}  // namespace

std::string EvaluationRecord::ToJson() const {
  const Json head = {
      {"step", step}, {"epoch", epoch}, {"split", split},          {"samples", samples},
      {"top1", top1}, {"top5", top5},   {"unanswered", unanswered}};
  Json rows = Json::array();
  for (const Class& row : classes) {
    rows.push_back(
        {{"id", row.id}, {"name", row.name}, {"samples", row.samples}, {"right", row.right}});
  }
  Json pairs = Json::array();
  for (const Mistake& pair : mistakes) {
    pairs.push_back({{"label", pair.label}, {"answer", pair.answer}, {"count", pair.count}});
  }
  std::string text = "{";
  for (const auto& [name, value] : head.items())
    text += fmt::format("\"{}\":{},", name, Text(value));
  text += "\n" + List("classes", rows) + ",\n" + List("mistakes", pairs) + ",\n";
  text += List("hardest", pipeline::ToJson(hardest)) + ",\n";
  return text + List("most_confused", pipeline::ToJson(most_confused)) + "}\n";
}

EvaluationRecord EvaluationRecord::Read(const std::filesystem::path& file) {
  try {
    return Reader(Json::parse(ReadFile(file))).Read();
  } catch (const Json::exception&) {
  } catch (const std::out_of_range&) {
  }
  Fail("{}: is damaged: it is none that a run writes", file.string());
}

}  // namespace millrace::pipeline
