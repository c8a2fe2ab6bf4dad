// A run in the files of Polyaxon's library traceml, which its server, its sidecar and its command
// line read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/append_file.h"
#include "tracking/remote_event.h"

namespace millrace::tracking {

// In `folder`:
//   events/metric/<name>.plx         "step|timestamp|metric", one row a point; also image, text,
//                                    histogram and curve
//   resources/metric/<name>.plx      the same of what nodes use
//   assets/image/<name>_<step>.png   what the rows of images name
//   outputs/<name>                   artifacts, until they are elsewhere
//   plxlogs/logs.jsonl               lines for people
// What was written stands in the file `state` beside them. A killed process leaves each row once: a
// new one cuts what is not in the state, and takes events again that it may have lost.
class PolyaxonFiles {
 public:
  struct File {
    std::string kind;  // as Polyaxon calls it: "metric", "image", ..., "model", "file"; empty: none
    std::string name;
    std::uint64_t bytes = 0;  // of a file that grows
    std::uint64_t rows = 0;
    std::uint64_t first_step = 0;
    std::uint64_t last_step = 0;
    double min = 0;  // of metrics, finite values only
    double max = 0;
    std::optional<double> last;  // nothing: no finite value yet
    bool waiting = false;        // has changed since it was last delivered
    std::uint64_t rows_delivered = 0;
    // Points up to this step were told elsewhere, and are there already; nothing: none was.
    std::optional<std::uint64_t> told_elsewhere = {};
  };

  // Throws Error naming the file that cannot be read or made.
  PolyaxonFiles(std::filesystem::path folder, std::filesystem::path state, bool with_log);
  ~PolyaxonFiles();

  // Writes the events that were not written before, and notes it on the disk. Returns the numbers
  // of artifacts that are left out, and why. Throws Error naming the file that cannot be written;
  // all is as before then.
  std::map<std::uint64_t, std::string> Write(std::span<const RemoteEvent> events);

  // By their path below `folder`.
  const std::map<std::string, File>& files() const { return files_; }
  // Whether it waits for more. Files are delivered whole, and histograms are hundreds of large rows
  // with each evaluation: theirs is delivered when it has grown by half, so that all deliveries
  // together are three times what is there at the end, instead of half the number of evaluations.
  static bool Gathers(const File& file);
  // It was delivered as it is now. What never changes, pictures and artifacts, is forgotten, and
  // artifacts are removed from the folder.
  void Delivered(const std::string& path);

  static constexpr std::string_view kLog = "plxlogs/logs.jsonl";
  // The folder of what machines use.
  static constexpr const char* kResources = "resources/metric";
  // Whether a path is that of an event file.
  static bool IsOfEvents(const std::string& path);
  // Goes on with files that were begun elsewhere and have been put below folder(); those that it
  // knows stay as they are. Throws Error naming the file that cannot be read or in which that
  // cannot be noted.
  void GoOnWith(const std::vector<std::string>& paths);

  // Everything that is there has to be delivered, to another run. Throws Error naming the file in
  // which that cannot be noted.
  void DeliverAgain();

  const std::filesystem::path& folder() const { return folder_; }

 private:
  struct Rows;  // of one Write(), by file

  void ReadState();
  void WriteState() const;
  void Append(const std::string& path, const std::string& rows);
  void Add(const RemoteEvent& event, Rows* rows);
  // Why it is left out; empty: it is not.
  std::string TakeArtifact(const Artifact& artifact);

  const std::filesystem::path folder_;
  const std::filesystem::path state_;
  const bool with_log_;
  const std::string host_;
  std::uint64_t last_ = 0;  // number of the last event that was written
  std::map<std::string, File> files_;
  std::map<std::string, std::unique_ptr<AppendFile>> open_;
};

}  // namespace millrace::tracking
