#include "pipeline/verify.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/format.h"
#include "tools/command.h"
#include "tracking/console.h"

namespace millrace::tools {
namespace {

struct Options {
  pipeline::VerifyOptions verify;
  bool json = false;
};

ExitCode Run(Options& options) {
  options.verify.stop = &CatchInterrupts();
  pipeline::VerifyReport report;
  {
    tracking::ProgressLine line(stderr);
    report = pipeline::Verify(options.verify, [&line](const pipeline::VerifyProgress& progress) {
      line.Update({.label = "verify",
                   .done = progress.records,
                   .total = progress.total_records,
                   .unit = "records",
                   .detail = ""});
    });
  }
  if (options.json) {
    nlohmann::ordered_json json;
    json["ok"] = report.ok();
    json["stopped"] = report.stopped;
    json["splits"] = report.splits;
    json["shards"] = report.shards;
    json["records"] = report.records;
    json["bytes"] = report.bytes;
    json["problems"] = nlohmann::ordered_json::array();
    for (const auto& problem : report.problems) {
      json["problems"].push_back({{"where", problem.where}, {"what", problem.what}});
    }
    // Paths may hold any bytes; what is not UTF-8 is shown as a replacement character.
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    for (const auto& problem : report.problems) fmt::print("{}: {}\n", problem.where, problem.what);
    fmt::print("{}: {} records in {} shards, {}: {}\n", options.verify.dataset.string(),
               FormatCount(report.records), report.shards, FormatBytes(report.bytes),
               report.stopped ? "stopped before the end"
               : report.ok()  ? "all well"
                              : fmt::format("{} problem{}", report.problems.size(),
                                           report.problems.size() == 1 ? "" : "s"));
  }
  if (report.stopped) return ExitCode::kInterrupted;
  return report.ok() ? ExitCode::kDone : ExitCode::kFailed;
}

}  // namespace

void AddVerify(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("verify", "read a dataset again and list everything that is damaged");
  command->add_option("DIR", options->verify.dataset, "the converted dataset")->required();
  command->add_flag("--quick", options->verify.quick,
                    "structure and hashes only; no picture is decoded");
  command->add_option("--jobs", options->verify.jobs, "threads (default: one per core)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Example:\n  millrace verify data/imagenette\nExit code 1 when anything is damaged.");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
