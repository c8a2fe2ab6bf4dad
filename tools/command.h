// How a subcommand hangs itself into the program.
#pragma once

#include <CLI/CLI.hpp>

#include <atomic>
#include <functional>

#include "base/error.h"

namespace millrace::tools {

// What the command line asked for; set by the subcommand that was named.
using Action = std::function<ExitCode()>;

// Each defines its options on `app` and, when it is named, sets `action`. One file per subcommand.
void AddConvert(CLI::App& app, Action& action);
void AddVerify(CLI::App& app, Action& action);
void AddInspect(CLI::App& app, Action& action);
void AddTrain(CLI::App& app, Action& action);
void AddEval(CLI::App& app, Action& action);
void AddExport(CLI::App& app, Action& action);
void AddProfile(CLI::App& app, Action& action);
void AddConfig(CLI::App& app, Action& action);
void AddCompare(CLI::App& app, Action& action);
void AddReport(CLI::App& app, Action& action);
void AddSync(CLI::App& app, Action& action);
void AddSynth(CLI::App& app, Action& action);
void AddLaunch(CLI::App& app, Action& action);

// Keeps freed memory in the process, in huge pages where the system has them, for work that uses
// large tensors again and again. Call it before the first tensor and the first thread.
void KeepTensorMemory();

// The opposite, where memory is measured: large blocks go back to the system as soon as they are
// freed, so that what is resident is in use.
void ReturnFreedMemory();

// From now on a read of mapped memory that has no file behind it any more (SIGBUS) ends the process
// with a sentence and exit code 1.
void ExplainBusErrors();

// Set by the first SIGINT, SIGTERM or SIGHUP after the call; a second one ends the process at once.
// What `millrace launch` passes on to its processes sets it too, but counts for none of the two:
// a scheduler may have sent the same signal to all processes of a job by itself.
const std::atomic<bool>& CatchInterrupts();

}  // namespace millrace::tools
