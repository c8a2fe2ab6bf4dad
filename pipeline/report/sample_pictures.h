// The samples of a run's report as pictures, made again from its dataset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline/evaluation_record.h"
#include "pipeline/run_record.h"

namespace millrace::pipeline {

// A picture as an <img> can show it.
struct SamplePicture {
  std::string uri;          // "data:image/jpeg;base64,..."; empty: there is none
  std::string fault;        // why
  std::uint32_t width = 0;  // [pixels]
  std::uint32_t height = 0;
};

struct SamplePictures {
  std::string fault;                                 // why there are none at all
  std::map<std::uint64_t, SamplePicture> of_sample;  // by id
};

// As the evaluation had them: decoded and cut as the run's recipe says, from the dataset that its
// environment names. Whatever stands in the way is a text of the result: the dataset is gone or
// another one, a record is damaged.
SamplePictures MakeSamplePictures(const RunRecord& run, const EvaluationRecord& evaluation);

}  // namespace millrace::pipeline
