// What the last evaluation found, in a run's report: classes, mistakes, samples.
#pragma once

#include <string>

#include "pipeline/evaluation_record.h"
#include "pipeline/report/sample_pictures.h"

namespace millrace::pipeline {

// Sections of HTML, with the ids "classes", "mistakes" and "samples". `dataset` is its path, for a
// command that opens a sample.
std::string ReportEvaluation(const EvaluationRecord& evaluation, const SamplePictures& pictures,
                             const std::string& dataset);

}  // namespace millrace::pipeline
