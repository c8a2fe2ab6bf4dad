#include "tracking/mlflow.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/build_info.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "tracking/environment.h"
#include "tracking/tags.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// The server's own limits, and a body well below the one that its documentation gives.
constexpr std::size_t kMaxMetrics = 1000;
constexpr std::size_t kMaxParameters = 100;
constexpr std::size_t kMaxKeyBytes = 250;
constexpr std::size_t kMaxValueBytes = 6000;
constexpr std::string_view kKeyTag = "millrace.key";
constexpr std::string_view kProxy = "mlflow-artifacts:";
// Pictures are "images/<name>+step+<step>+timestamp+<ms>+<uuid>", which its pages know.
constexpr std::string_view kImages = "images";
constexpr std::string_view kStep = "+step+";

std::string Trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

// ~/.mlflow/credentials: "[mlflow]", "mlflow_tracking_username = ...", "mlflow_tracking_password =
// ...".
void ReadCredentials(HttpOptions* http) {
  std::ifstream file(fs::path(Variable("HOME")) / ".mlflow/credentials");
  for (std::string line; std::getline(file, line);) {
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = Trim(std::string_view(line).substr(0, equals));
    const std::string value = Trim(std::string_view(line).substr(equals + 1));
    if (key == "mlflow_tracking_username") http->user = value;
    if (key == "mlflow_tracking_password") http->password = value;
  }
}

// As its keys may be: letters, digits and "_-. :/".
std::string Key(std::string_view name) {
  std::string key;
  for (const char c : name.substr(0, kMaxKeyBytes)) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    key.push_back(letter || std::string_view("_-. :/").find(c) != std::string_view::npos ? c : '_');
  }
  return key;
}

// JSON has no NaN and no infinities; the server takes these texts.
Json MetricValue(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

std::string ParameterText(const Parameters::Value& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const double* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  const std::string& text = std::get<std::string>(value);
  std::string cut = text.substr(0, kMaxValueBytes);
  return IsUtf8(cut) ? cut : Printable(cut);
}

Json Tag(std::string_view key, const std::string& value) {
  return {{"key", key}, {"value", IsUtf8(value) ? value : Printable(value)}};
}

// Looks like a random UUID and is the same for the same event.
std::string UuidOf(const std::string& run, const RemoteEvent& event) {
  const std::string hex = HashToHex(Hash64(fmt::format("{} {}", run, event.number))) +
                          HashToHex(Hash64(fmt::format("{} {}", event.number, run)));
  return fmt::format("{}-{}-4{}-8{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(13, 3),
                     hex.substr(17, 3), hex.substr(20, 12));
}

// Leaves Deliver() with what becomes of the batch.
struct Failed {
  Delivery delivery;
};

}  // namespace

MlflowSettings MlflowSettings::FromEnvironment() {
  MlflowSettings settings;
  settings.uri = ServerAddress("MLFLOW_TRACKING_URI", "an MLflow server",
                               "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD");
  settings.http.user = Variable("MLFLOW_TRACKING_USERNAME");
  settings.http.password = Variable("MLFLOW_TRACKING_PASSWORD");
  if (settings.http.user.empty() && settings.http.password.empty()) {
    ReadCredentials(&settings.http);
  }
  settings.http.token = Variable("MLFLOW_TRACKING_TOKEN");
  settings.http.verify = !IsTrue(Variable("MLFLOW_TRACKING_INSECURE_TLS"));
  settings.http.certificates = Variable("MLFLOW_TRACKING_SERVER_CERT_PATH");
  settings.http.client_certificate = Variable("MLFLOW_TRACKING_CLIENT_CERT_PATH");
  settings.experiment_name = Variable("MLFLOW_EXPERIMENT_NAME");
  if (settings.experiment_name.empty()) settings.experiment_name = "Default";
  settings.experiment_id = Variable("MLFLOW_EXPERIMENT_ID");
  settings.run_id = Variable("MLFLOW_RUN_ID");
  return settings;
}

// The server's answers as JSON, and what is wrong with them as Failed.
struct Mlflow::Requests {
  HttpClient http;
  std::string base;

  explicit Requests(const MlflowSettings& settings) : http(settings.http), base(settings.uri) {}

  static std::string ErrorCode(const HttpReply& reply) {
    const Json json = Json::parse(reply.body, nullptr, false);
    return json.is_object() && json.contains("error_code") && json["error_code"].is_string()
               ? json["error_code"].get<std::string>()
               : "";
  }

  [[noreturn]] static void Refuse(const HttpReply& reply) {
    using enum Delivery::Outcome;
    if (reply.status == 0) throw Failed{{kTryLater, reply.error}};
    if (reply.status == 401 || reply.status == 403) {
      throw Failed{{kTryLater, fmt::format("it answers {}: set MLFLOW_TRACKING_USERNAME and "
                                           "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
                                           reply.status)}};
    }
    const Json json = Json::parse(reply.body, nullptr, false);
    const bool explains =
        json.is_object() && json.contains("message") && json["message"].is_string();
    const std::string reason =
        explains ? fmt::format("{}: {}", reply.status, json["message"].get<std::string>())
                 : fmt::format("it answers {}", reply.status);
    // What it does not want, it says so; a proxy, or a run that is not there now, may come right.
    const bool refused = explains && reply.status == 400;
    throw Failed{{refused ? kRefused : kTryLater, reason}};
  }

  static Json Parse(const HttpReply& reply) {
    if (reply.status != 200) Refuse(reply);
    Json json = Json::parse(reply.body, nullptr, false);
    if (!json.is_object()) {
      throw Failed{{Delivery::Outcome::kTryLater, "its answer is not an MLflow server's"}};
    }
    return json;
  }

  std::string Url(const std::string& call) const { return base + "/api/2.0/mlflow/" + call; }

  HttpReply Send(const std::string& call, const Json& body) {
    return http.PostJson(Url(call),
                         body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  Json Post(const std::string& call, const Json& body) { return Parse(Send(call, body)); }
  HttpReply Get(const std::string& call) { return http.Get(Url(call)); }
};

Mlflow::Mlflow(MlflowSettings settings, RunDescription run, std::unique_ptr<TrackerRun> ours)
    : settings_(std::move(settings)),
      run_(std::move(run)),
      ours_(std::move(ours)),
      requests_(std::make_unique<Requests>(settings_)) {}

Mlflow::~Mlflow() = default;

void Mlflow::OpenExperiment() {
  if (!experiment_id_.empty()) return;
  if (!settings_.experiment_id.empty()) {
    experiment_id_ = settings_.experiment_id;
    return;
  }
  const std::string find = "experiments/get-by-name?experiment_name=" +
                           PercentEncode(settings_.experiment_name, /*keep_slash=*/false);
  HttpReply reply = requests_->Get(find);
  if (Requests::ErrorCode(reply) == "RESOURCE_DOES_NOT_EXIST") {
    const HttpReply made =
        requests_->Send("experiments/create", {{"name", settings_.experiment_name}});
    // Another run may have made it meanwhile.
    if (Requests::ErrorCode(made) != "RESOURCE_ALREADY_EXISTS") Requests::Parse(made);
    reply = requests_->Get(find);
  }
  experiment_id_ = Requests::Parse(reply).at("experiment").at("experiment_id");
}

void Mlflow::CreateRun(std::int64_t time_ms) {
  OpenExperiment();
  TrackerRun::State state = ours_->state();
  const Json found = requests_->Post(
      "runs/search", {{"experiment_ids", Json::array({experiment_id_})},
                      {"filter", fmt::format("tags.`{}` = '{}'", kKeyTag, state.key)},
                      {"max_results", 1}});
  if (found.contains("runs") && !found["runs"].empty()) {
    state.id = found["runs"][0].at("info").at("run_id");
    ours_->Change(std::move(state));
    return;
  }
  std::string user = Variable("USER");
  if (user.empty()) user = "unknown";
  const Json made = requests_->Post(
      "runs/create",
      {{"experiment_id", experiment_id_},
       {"run_name", run_.name},
       {"start_time", time_ms},
       {"tags", Json::array({Tag(kKeyTag, state.key), Tag("mlflow.user", user),
                             Tag("mlflow.source.name", "millrace train"),
                             Tag("mlflow.source.type", "LOCAL"),
                             Tag("millrace.version", std::string(BuildVersion())),
                             Tag("mlflow.source.git.commit", std::string(BuildCommit()))})}});
  state.id = made.at("run").at("info").at("run_id");
  ours_->Change(std::move(state));
}

void Mlflow::NoteToldElsewhere(const Json& run) {
  TrackerRun::State state = ours_->state();
  state.begun_elsewhere = false;
  if (run.contains("data") && run["data"].contains("metrics")) {
    // Of each the one with the highest step.
    for (const Json& metric : run["data"]["metrics"]) {
      const auto step = std::max<std::int64_t>(metric.value("step", std::int64_t{0}), 0);
      state.told_elsewhere[metric.at("key")] = static_cast<std::uint64_t>(step);
    }
  }
  if (artifact_uri_.starts_with(kProxy)) {
    const Json list = Requests::Parse(requests_->Get(
        fmt::format("artifacts/list?path={}&run_id={}", kImages, PercentEncode(run_id(), false))));
    for (const Json& file : list.value("files", Json::array())) {
      // As Deliver() calls them.
      const std::string path = file.at("path");
      const std::size_t end = path.find(kStep);
      if (end == std::string::npos) continue;
      const std::uint64_t step = std::strtoull(path.c_str() + end + kStep.size(), nullptr, 10);
      std::uint64_t& last = state.told_elsewhere[path.substr(0, end)];
      last = std::max(last, step);
    }
  }
  ours_->Change(std::move(state));
}

bool Mlflow::ToldElsewhere(const std::string& name, std::uint64_t step) const {
  const auto& told = ours_->state().told_elsewhere;
  const auto at = told.find(name);
  return at != told.end() && step <= at->second;
}

void Mlflow::OpenRun(std::int64_t time_ms) {
  if (open_) return;
  if (run_id().empty()) CreateRun(time_ms);
  const Json run =
      Requests::Parse(requests_->Get("runs/get?run_id=" + PercentEncode(run_id(), false)))
          .at("run");
  artifact_uri_ = run.at("info").at("artifact_uri");
  if (ours_->state().begun_elsewhere) NoteToldElsewhere(run);
  parameters_.clear();
  if (run.contains("data") && run["data"].contains("params")) {
    for (const Json& parameter : run["data"]["params"]) {
      parameters_.emplace(parameter.at("key"), parameter.value("value", ""));
    }
  }
  if (!run_.fingerprint.empty()) {
    const Json source = {{"uri", run_.dataset.string()}};
    const Json input = {
        {"tags", Json::array({Tag("mlflow.data.context", "training")})},
        {"dataset",
         {{"name", run_.dataset.filename().string()},
          {"digest", run_.fingerprint},
          {"source_type", "local"},
          {"source", source.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}}}};
    requests_->Post("runs/log-inputs", {{"run_id", run_id()}, {"datasets", Json::array({input})}});
  }
  open_ = true;
}

namespace {

// What is sent together: all that one call takes.
class Batch {
 public:
  explicit Batch(std::string run_id) : run_id_(std::move(run_id)) {}

  bool Full() const { return metrics_.size() >= kMaxMetrics || tags_.size() >= kMaxParameters; }
  void AddMetric(const std::string& key, double value, std::int64_t time_ms, std::uint64_t step) {
    metrics_.push_back({{"key", Key(key)},
                        {"value", MetricValue(value)},
                        {"timestamp", time_ms},
                        {"step", static_cast<std::int64_t>(step)}});
  }
  void AddTag(const std::string& key, const std::string& value) {
    tags_.push_back(Tag(key, value));
  }
  bool Empty() const { return metrics_.empty() && tags_.empty(); }
  Json Take() {
    Json body = {{"run_id", run_id_}};
    body["metrics"] = std::exchange(metrics_, Json::array());
    body["tags"] = std::exchange(tags_, Json::array());
    return body;
  }

 private:
  const std::string run_id_;
  Json metrics_ = Json::array();
  Json tags_ = Json::array();
};

const char* StatusName(Status::State state) {
  switch (state) {
    case Status::State::kRunning:
      return "RUNNING";
    case Status::State::kFinished:
      return "FINISHED";
    case Status::State::kInterrupted:
      return "KILLED";
    case Status::State::kFailed:
      return "FAILED";
  }
  return "RUNNING";
}

}  // namespace

bool Mlflow::Takes(const RemoteEvent::What& what) const {
  return !std::holds_alternative<Message>(what) && !std::holds_alternative<Histogram>(what) &&
         !std::holds_alternative<PrCurve>(what);
}

Delivery Mlflow::Deliver(std::span<const RemoteEvent> events) {
  try {
    OpenRun(events.front().time_ms);
    Batch batch(run_id());
    const auto send = [&] {
      if (!batch.Empty()) requests_->Post("runs/log-batch", batch.Take());
    };
    const auto artifact_url = [&](const std::string& path) {
      const std::string root = artifact_uri_.substr(kProxy.size());
      return settings_.uri + "/api/2.0/mlflow-artifacts/artifacts/" +
             PercentEncode(
                 root.substr(std::min(root.find_first_not_of('/'), root.size())) + "/" + path,
                 /*keep_slash=*/true);
    };
    const auto check_put = [](const HttpReply& reply) {
      if (reply.status != 200) Requests::Refuse(reply);
    };
    const auto require_proxy = [&] {
      if (!artifact_uri_.starts_with(kProxy)) {
        throw Failed{
            {Delivery::Outcome::kRefused,
             fmt::format("its artifacts are at {}, which only a server that is started with "
                         "--serve-artifacts takes",
                         artifact_uri_)}};
      }
    };
    for (const RemoteEvent& event : events) {
      if (const auto* scalars = std::get_if<Scalars>(&event.what)) {
        for (const auto& [name, value] : scalars->values) {
          const Place place = PlaceOf(*scalars, name);
          if (ToldElsewhere(Key(place.tag), place.x)) continue;
          batch.AddMetric(place.tag, value, event.time_ms, place.x);
          if (batch.Full()) send();
        }
      } else if (const auto* note = std::get_if<Note>(&event.what)) {
        batch.AddTag(Key(note->name), note->markdown);
        if (batch.Full()) send();
      } else if (const auto* parameters = std::get_if<Parameters>(&event.what)) {
        Json fresh = Json::array();
        const auto send_parameters = [&] {
          if (!fresh.empty()) {
            requests_->Post("runs/log-batch", {{"run_id", run_id()},
                                               {"params", std::exchange(fresh, Json::array())}});
          }
        };
        for (const auto& [name, value] : parameters->values) {
          const std::string key = Key(name);
          const std::string text = ParameterText(value);
          const auto [known, added] = parameters_.try_emplace(key, text);
          if (added) {
            fresh.push_back({{"key", key}, {"value", text}});
            if (fresh.size() == kMaxParameters) send_parameters();
          } else if (known->second != text) {
            batch.AddTag("changed." + key, text);
            if (batch.Full()) send();
          }
        }
        send_parameters();
      } else if (const auto* picture = std::get_if<Picture>(&event.what)) {
        send();
        require_proxy();
        std::string name = fmt::format("{}/", kImages);
        for (const char c : Key(picture->name)) name.push_back(c == '/' ? '~' : c);
        if (ToldElsewhere(name, picture->step)) continue;
        const std::string path = fmt::format("{}{}{}+timestamp+{}+{}", name, kStep, picture->step,
                                             event.time_ms, UuidOf(run_id(), event));
        // Its pages show only the second one.
        check_put(requests_->http.Put(artifact_url(path + ".png"), picture->png));
        check_put(requests_->http.Put(artifact_url(path + "+compressed.png"), picture->png));
        batch.AddTag("mlflow.loggedImages", "true");
      } else if (const auto* artifact = std::get_if<Artifact>(&event.what)) {
        send();
        require_proxy();
        std::error_code code;
        if (!fs::is_regular_file(artifact->path, code)) {
          return {Delivery::Outcome::kRefused, artifact->path.string() + " is not there any more"};
        }
        check_put(requests_->http.PutFile(artifact_url(artifact->name), artifact->path));
      } else if (const auto* status = std::get_if<Status>(&event.what)) {
        send();
        Json body = {{"run_id", run_id()}, {"status", StatusName(status->state)}};
        if (status->state != Status::State::kRunning) body["end_time"] = event.time_ms;
        requests_->Post("runs/update", body);
        if (!status->reason.empty()) batch.AddTag("millrace.reason", status->reason);
      }
    }
    send();
    return {};
  } catch (const Failed& failed) {
    // Parameters may be there or not.
    open_ = false;
    return failed.delivery;
  } catch (const Json::exception&) {
    open_ = false;
    return {Delivery::Outcome::kTryLater, "its answer is not an MLflow server's"};
  }
}

}  // namespace millrace::tracking
