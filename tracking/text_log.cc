#include "tracking/text_log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>

#include "base/error.h"

namespace millrace::tracking {

TextLog::TextLog(const std::filesystem::path& path) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
    logger_ = std::make_unique<spdlog::logger>("run", std::move(sink));
  } catch (const spdlog::spdlog_ex& error) {
    Fail("cannot open {}: {}", path.string(), error.what());
  }
  logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z  %v");
  logger_->flush_on(spdlog::level::info);
  // Its own handler prints to standard error, once a second, and goes on.
  logger_->set_error_handler([](const std::string& problem) { Fail("{}", problem); });
}

TextLog::~TextLog() = default;

void TextLog::OnScalars(const Scalars& scalars) {
  if (scalars.kind != Scalars::Kind::kResult || scalars.group == "train") return;
  if (scalars.values.empty()) return;  // digests are for metrics.jsonl
  std::string text = fmt::format("{} step {}:", scalars.group, scalars.step);
  for (const auto& [name, value] : scalars.values) text += fmt::format(" {} {:.6g}", name, value);
  logger_->info(text);
}

void TextLog::OnText(const std::string& line) { logger_->info(line); }

}  // namespace millrace::tracking
