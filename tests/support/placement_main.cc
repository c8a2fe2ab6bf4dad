// Prints where a process stands, as one line of JSON, so that tests can start it under real
// launchers.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/process.h"
#include "pipeline/placement.h"

int main() {
  try {
    const millrace::pipeline::Placement placement = millrace::pipeline::ThisPlacement();
    const nlohmann::json json = {
        {"process", placement.process},
        {"num_processes", placement.num_processes},
        {"local_process", placement.local_process},
        {"num_local_processes", placement.num_local_processes},
        {"store_file", placement.store_file.string()},
        {"store_folder_is_there",
         std::filesystem::is_directory(placement.store_file.parent_path())},
        {"master_address", placement.master_address},
        {"master_port", placement.master_port},
        {"master_is_agent", placement.master_is_agent},
        {"run_id", placement.run_id},
        {"source", placement.source},
        {"owns_cores", placement.owns_cores},
        {"cores", millrace::pipeline::CoresOfProcess(millrace::AvailableCores(), placement)}};
    // One write, so that lines of processes that share a file stay whole.
    std::fputs((json.dump() + "\n").c_str(), stdout);
    return 0;
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "millrace: %s\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
