#include "tracking/polyaxon.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "tracking/polyaxon_format.h"
#include "tracking/polyaxon_offline.h"
#include "tracking/polyaxon_record.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Mode = PolyaxonSettings::Mode;

// Of a reason that a server or a proxy gives.
constexpr std::size_t kMaxReasonBytes = 300;
constexpr int kTooLarge = 413;
constexpr int kMissing = 404;
// Entries of the lineage in one answer.
constexpr std::size_t kPage = 500;

// Leaves Deliver() with what becomes of the batch.
struct Failed {
  Delivery delivery;
};

// A random UUID (version 4) as Polyaxon writes it, without dashes.
std::string RandomUuid() {
  std::random_device random;
  const auto draw = [&random] { return static_cast<std::uint32_t>(random()); };
  return fmt::format("{:08x}{:04x}4{:03x}{:x}{:03x}{:08x}{:04x}", draw(), draw() & 0xffff,
                     draw() & 0xfff, 8 + (draw() & 3), draw() & 0xfff, draw(), draw() & 0xffff);
}

}  // namespace

// The server's answers as JSON, and what is wrong with them as Failed.
struct Polyaxon::Requests {
  HttpClient http;
  std::string host;
  std::string project;  // "owner/project"

  explicit Requests(const PolyaxonSettings& settings)
      : http(settings.http),
        host(settings.host),
        project(settings.owner + "/" + settings.project) {}

  std::string Api(const std::string& call) const { return host + "/api/v1/" + call; }

  // Puts credentials, words and faults of the connection apart from what only this run did wrong.
  [[noreturn]] static void Refuse(const HttpReply& reply, bool may_refuse) {
    using enum Delivery::Outcome;
    if (reply.status == 0) throw Failed{{kTryLater, reply.error}};
    if (reply.status == 401 || reply.status == 403) {
      throw Failed{
          {kTryLater, fmt::format("it answers {}: set POLYAXON_AUTH_TOKEN", reply.status)}};
    }
    const bool explains = !Json::parse(reply.body, nullptr, false).is_discarded();
    // What it does not want, it says so; a proxy, or a run that is not there now, may come right.
    throw Failed{{may_refuse && explains && reply.status == 400 ? kRefused : kTryLater,
                  fmt::format("it answers {}: {}", reply.status,
                              Printable(reply.body.substr(0, kMaxReasonBytes)))}};
  }

  static void Check(const HttpReply& reply) {
    if (reply.status != 200 && reply.status != 201) Refuse(reply, /*may_refuse=*/true);
  }

  static Json Parse(const HttpReply& reply) {
    Check(reply);
    Json json = Json::parse(reply.body, nullptr, false);
    if (!json.is_object()) {
      throw Failed{{Delivery::Outcome::kTryLater, "its answer is not a Polyaxon server's"}};
    }
    return json;
  }

  // The server says that there is no such thing; a proxy would say it in other words.
  static bool IsMissing(const HttpReply& reply) {
    const Json json = Json::parse(reply.body, nullptr, false);
    return reply.status == 404 && json.is_object() && json.contains("detail");
  }

  // The server says so of a project or run that another has made, or we before we were killed.
  static bool IsThere(const HttpReply& reply) {
    return reply.status == 400 && reply.body.find("already exists") != std::string::npos;
  }

  HttpReply Post(const std::string& call, const Json& body) {
    return http.PostJson(Api(call), PolyaxonJson(body));
  }
  HttpReply Patch(const std::string& call, const Json& body) {
    return http.PatchJson(Api(call), PolyaxonJson(body));
  }
};

Polyaxon::Polyaxon(PolyaxonSettings settings, RunDescription run, std::unique_ptr<TrackerRun> ours)
    : settings_(std::move(settings)),
      run_(std::move(run)),
      ours_(std::move(ours)),
      requests_(std::make_unique<Requests>(settings_)) {
  TrackerRun::State state = ours_->state();
  const fs::path runs = ours_->folder() / "runs";
  const std::string before = state.id;
  if (state.id.empty()) state.id = RandomUuid();
  const bool another = !before.empty() && !settings_.uuid.empty() && before != settings_.uuid;
  if (another) {
    // As where Polyaxon starts another run of its own over the same folder: it gets all of it.
    state.id = settings_.uuid;
    state.told = 0;
    std::error_code code;
    fs::rename(runs / before, runs / state.id, code);
    if (code && fs::exists(runs / before)) {
      Fail("cannot rename {}: {}", (runs / before).string(), code.message());
    }
  }
  // What a run says that Polyaxon has started is in its logs already.
  files_ = std::make_unique<PolyaxonFiles>(runs / state.id, ours_->folder() / "files.json",
                                           /*with_log=*/settings_.mode != Mode::kManaged);
  if (another) files_->DeliverAgain();
  if (state.id != before) ours_->Change(std::move(state));
}

Polyaxon::~Polyaxon() = default;

std::string Polyaxon::name() const {
  return settings_.mode == Mode::kOffline ? "Polyaxon's folder " + files_->folder().string()
                                          : "Polyaxon at " + settings_.host;
}

bool Polyaxon::Takes(const RemoteEvent::What& what) const {
  // What a run says and how it stands Polyaxon knows by itself where it has started the run.
  return settings_.mode != Mode::kManaged ||
         (!std::holds_alternative<Message>(what) && !std::holds_alternative<Status>(what));
}

void Polyaxon::CreateRun(std::int64_t time_ms) {
  const std::string& project = requests_->project;
  if (Requests::IsMissing(requests_->http.Get(requests_->Api(project)))) {
    const HttpReply made =
        requests_->Post(settings_.owner + "/projects/create", {{"name", settings_.project}});
    if (!Requests::IsThere(made)) Requests::Check(made);
  }
  const HttpReply made =
      requests_->Post(project + "/runs/sync", PolyaxonRun(run_, uuid(), time_ms));
  if (!Requests::IsThere(made)) Requests::Check(made);
}

void Polyaxon::OpenRun(std::int64_t time_ms) {
  if (open_) return;
  const std::string call = requests_->project + "/runs/" + uuid();
  HttpReply reply = requests_->http.Get(requests_->Api(call));
  if (Requests::IsMissing(reply) && settings_.mode == Mode::kOwn) {
    CreateRun(time_ms);
    reply = requests_->http.Get(requests_->Api(call));
  }
  const Json run = Requests::Parse(reply);
  namespace_ = "polyaxon";
  if (run.contains("settings") && run["settings"].is_object()) {
    namespace_ = run["settings"].value("namespace", namespace_);
  }
  if (!run_.fingerprint.empty()) {
    Requests::Check(requests_->Post(call + "/lineage/artifacts",
                                    {{"artifacts", Json::array({PolyaxonDataset(run_)})}}));
  }
  if (ours_->state().begun_elsewhere) FetchFiles();
  open_ = true;
}

void Polyaxon::FetchFiles() {
  const std::string streams =
      fmt::format("{}/streams/v1/{}/{}/runs/{}/", settings_.host,
                  PercentEncode(namespace_, /*keep_slash=*/false), requests_->project, uuid());
  std::vector<std::string> paths{std::string(PolyaxonFiles::kLog)};
  const std::string lineage =
      requests_->Api(requests_->project + "/runs/" + uuid() + "/lineage/artifacts");
  for (std::size_t offset = 0, count = 1; offset < count; offset += kPage) {
    const Json page = Requests::Parse(
        requests_->http.Get(fmt::format("{}?limit={}&offset={}", lineage, kPage, offset)));
    count = page.at("count");
    for (const Json& entry : page.at("results")) {
      const std::string path = entry.value("path", "");
      if (PolyaxonFiles::IsOfEvents(path)) paths.push_back(path);
    }
  }
  // Files that are no events are in no lineage.
  const Json tree = Requests::Parse(requests_->http.Get(
      streams +
      "artifacts/tree?path=" + PercentEncode(PolyaxonFiles::kResources, /*keep_slash=*/true)));
  if (tree.contains("files") && tree["files"].is_object()) {
    for (const auto& [name, size] : tree["files"].items()) {
      const fs::path file = fs::path(name).filename();
      if (file.extension() == ".plx") {
        paths.push_back((fs::path(PolyaxonFiles::kResources) / file).string());
      }
    }
  }
  std::vector<std::string> there;
  for (const std::string& path : paths) {
    const fs::path target = files_->folder() / path;
    // Those that are there were had before, or written here.
    if (std::error_code code; !fs::exists(target, code)) {
      CreateFolders(target.parent_path());
      // By force: otherwise it shows what it was asked for once.
      const HttpReply reply = requests_->http.GetFile(
          streams + "artifact?stream=true&force=true&path=" + PercentEncode(path, true), target);
      if (reply.status == kMissing) continue;
      if (reply.status != 200) Requests::Refuse(reply, /*may_refuse=*/false);
    }
    there.push_back(path);
  }
  files_->GoOnWith(there);
  TrackerRun::State state = ours_->state();
  state.begun_elsewhere = false;
  ours_->Change(std::move(state));
}

bool Polyaxon::BringFile(const std::string& path) {
  const fs::path from = files_->folder() / path;
  if (settings_.mode == Mode::kManaged) {
    const fs::path to = settings_.artifacts / path;
    CreateFolders(to.parent_path());
    std::error_code code;
    fs::copy_file(from, to, fs::copy_options::overwrite_existing, code);
    if (code) Fail("cannot write {}: {}", to.string(), code.message());
    return true;
  }
  const std::string url =
      fmt::format("{}/streams/v1/{}/{}/runs/{}/artifact", settings_.host,
                  PercentEncode(namespace_, /*keep_slash=*/false), requests_->project, uuid());
  const HttpReply reply =
      requests_->http.PostUpload(url, from, from.filename().string(),
                                 PolyaxonJson({{"untar", false},
                                               {"path", fs::path(path).parent_path().string()},
                                               {"overwrite", true}}));
  if (reply.status == kTooLarge) return false;
  // It answers 400 to whatever fails in it, as when its disk is full.
  if (reply.status != 200) Requests::Refuse(reply, /*may_refuse=*/false);
  return true;
}

std::string Polyaxon::Bring(bool at_the_end) {
  std::string too_large;
  std::vector<std::string> brought;
  Json lineage = Json::array();
  for (const auto& [path, file] : files_->files()) {
    if (!file.waiting || (!at_the_end && PolyaxonFiles::Gathers(file))) continue;
    brought.push_back(path);
    if (!BringFile(path)) {
      too_large = path + " is larger than it, or a proxy before it, takes";
      continue;
    }
    // Where it watches a folder, it makes the entries of event files itself.
    const bool ours = settings_.mode == Mode::kOwn || !path.starts_with("events/");
    if (!file.kind.empty() && ours) lineage.push_back(PolyaxonLineage(path, file));
  }
  if (brought.empty()) return too_large;
  const std::string run = requests_->project + "/runs/" + uuid();
  if (!lineage.empty()) {
    Requests::Check(requests_->Post(run + "/lineage/artifacts", {{"artifacts", lineage}}));
  }
  Json body = {{"meta_info", PolyaxonMeta(*files_)}, {"merge", true}};
  if (settings_.mode == Mode::kOwn) body["outputs"] = PolyaxonOutputs(*files_);
  Requests::Check(requests_->Patch(run, body));
  for (const std::string& path : brought) files_->Delivered(path);
  return too_large;
}

void Polyaxon::Tell(std::span<const RemoteEvent> events) {
  const std::string run = requests_->project + "/runs/" + uuid();
  TrackerRun::State state = ours_->state();
  const std::uint64_t before = state.told;
  for (const RemoteEvent& event : events) {
    if (event.number <= state.told) continue;
    if (const auto* parameters = std::get_if<Parameters>(&event.what)) {
      Requests::Check(
          requests_->Patch(run, {{"inputs", PolyaxonInputs(*parameters)}, {"merge", true}}));
    } else if (const auto* status = std::get_if<Status>(&event.what)) {
      // A run that Polyaxon has started ends when the process ends.
      if (settings_.mode == Mode::kManaged) continue;
      // By force: a run that has ended may go on.
      Requests::Check(requests_->Post(
          run + "/statuses",
          {{"condition", PolyaxonCondition(*status, event.time_ms)}, {"force", true}}));
    } else {
      continue;
    }
    state.told = event.number;
  }
  if (state.told != before) ours_->Change(std::move(state));
}

Delivery Polyaxon::Deliver(std::span<const RemoteEvent> events) {
  try {
    // Rows come after those that the server has.
    if (ours_->state().begun_elsewhere && settings_.mode != Mode::kOffline) {
      OpenRun(events.front().time_ms);
    }
    left_out_.merge(files_->Write(events));
    if (settings_.mode == Mode::kOffline) {
      WriteOffline(settings_, run_, uuid(), *files_, events);
    } else {
      OpenRun(events.front().time_ms);
      // Of a run that Polyaxon has started the end is not told.
      const bool at_the_end =
          settings_.mode == Mode::kManaged ||
          std::any_of(events.begin(), events.end(), [](const RemoteEvent& event) {
            const auto* status = std::get_if<Status>(&event.what);
            return status != nullptr && status->state != Status::State::kRunning;
          });
      const std::string too_large = Bring(at_the_end);
      if (!too_large.empty()) left_out_.emplace(events.back().number, too_large);
      Tell(events);
    }
    // All else is done, and does no harm when it is done again with fewer events.
    for (const RemoteEvent& event : events) {
      const auto at = left_out_.find(event.number);
      if (at == left_out_.end()) continue;
      Delivery refused{.outcome = Delivery::Outcome::kRefused, .reason = at->second};
      if (events.size() == 1) left_out_.erase(at);
      return refused;
    }
    return {};
  } catch (const Failed& failed) {
    open_ = false;
    return failed.delivery;
  } catch (const Json::exception&) {
    open_ = false;
    return {Delivery::Outcome::kTryLater, "its answer is not a Polyaxon server's"};
  }
}

}  // namespace millrace::tracking
