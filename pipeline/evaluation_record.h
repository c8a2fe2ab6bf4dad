// evaluation.json in a run's folder: what its last evaluation found, class by class, for people to
// look at.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace millrace::pipeline {

// Equal for equal runs, resumed or not. Labels are indices into `classes`.
struct EvaluationRecord {
  struct Class {
    std::string id;
    std::string name;
    std::uint64_t samples = 0;
    std::uint64_t right = 0;  // top-1
  };
  // Samples of one class that were taken for another.
  struct Mistake {
    std::uint64_t label = 0;
    std::uint64_t answer = 0;
    std::uint64_t count = 0;
  };
  struct Guess {
    std::uint64_t label = 0;
    double probability = 0;
  };
  // What the network said of one sample.
  struct Answer {
    std::uint64_t sample = 0;  // its id in the split
    Guess truth;
    std::optional<Guess> said;  // nothing: there was a NaN among the logits
    std::optional<Guess> next;
    double loss = 0;
  };

  std::uint64_t step = 0;   // global steps done
  std::uint32_t epoch = 0;  // counted from 1
  std::string split;
  std::uint64_t samples = 0;
  std::uint64_t top1 = 0;
  std::uint64_t top5 = 0;
  std::uint64_t unanswered = 0;
  std::vector<Class> classes;
  std::vector<Mistake> mistakes;      // the most frequent first
  std::vector<Answer> hardest;        // with the largest losses, the largest first
  std::vector<Answer> most_confused;  // whose first two classes were closest to each other

  std::string ToJson() const;
  // Throws Error naming the file where it cannot be read or is none that a run writes.
  static EvaluationRecord Read(const std::filesystem::path& file);
};

}  // namespace millrace::pipeline
