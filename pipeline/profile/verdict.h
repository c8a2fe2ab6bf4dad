// What limits a graph, in one sentence, and what to do about it.
#pragma once

#include <string>

#include "pipeline/profile/profile.h"

namespace millrace::pipeline {

struct Verdict {
  std::string limit;     // the name of the stage, or "slots" where neither workers nor lanes are
                         // busy
  std::string sentence;  // "decode-bound: ..."
  std::string advice;
};

// `cores`: that the process may run on.
Verdict Judge(const Measurements& measured, int workers, int cores);

}  // namespace millrace::pipeline
