#include "tracking/clearml_api.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace millrace::tracking {
namespace {

using Json = ClearmlApi::Json;
using enum Delivery::Outcome;

// The version of the interface that the requests are written for; newer servers keep it.
constexpr std::string_view kVersion = "v2.23";

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// {"meta": {"result_code", "result_subcode", "result_msg"}, "data": {}}, which the servers put
// around everything.
struct Envelope {
  bool valid = false;
  int subcode = 0;
  std::string message;
  Json data;

  explicit Envelope(const std::string& body) {
    const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("meta") || !json["meta"].is_object()) return;
    const Json& meta = json["meta"];
    valid = true;
    if (meta.contains("result_subcode") && meta["result_subcode"].is_number_integer()) {
      subcode = meta["result_subcode"];
    }
    if (meta.contains("result_msg") && meta["result_msg"].is_string()) message = meta["result_msg"];
    if (json.contains("data")) data = json["data"];
  }
};

[[noreturn]] void Fail(const HttpReply& reply) {
  if (reply.status == 0) throw ClearmlFailure{{kTryLater, reply.error}};
  if (reply.status == 401 || reply.status == 403) {
    throw ClearmlFailure{{kTryLater, fmt::format("it answers {}: set CLEARML_API_ACCESS_KEY and "
                                                 "CLEARML_API_SECRET_KEY, or CLEARML_AUTH_TOKEN",
                                                 reply.status)}};
  }
  const Envelope envelope(reply.body);
  const std::string reason = envelope.message.empty()
                                 ? fmt::format("it answers {}", reply.status)
                                 : fmt::format("{}: {}", reply.status, envelope.message);
  // What it does not want, it says so; a proxy may come right.
  const bool refused = envelope.valid && reply.status == 400;
  throw ClearmlFailure{{refused ? kRefused : kTryLater, reason}, envelope.subcode};
}

Json DataOf(const HttpReply& reply) {
  if (reply.status != 200) Fail(reply);
  Envelope envelope(reply.body);
  if (!envelope.valid) throw ClearmlFailure{{kTryLater, "its answer is not a ClearML server's"}};
  return std::move(envelope.data);
}

}  // namespace

ClearmlApi::ClearmlApi(ClearmlSettings settings) : settings_(std::move(settings)) {}

void ClearmlApi::LogIn() {
  HttpOptions options = settings_.Http();
  if (!settings_.access_key.empty() && settings_.token.empty()) {
    options.user = settings_.access_key;
    options.password = settings_.secret_key;
  } else {
    options.token = token_.empty() ? settings_.token : token_;
  }
  HttpClient http(options);
  const Json data = DataOf(http.PostJson(settings_.api + "/auth.login", "{}"));
  if (!data.is_object() || !data.contains("token") || !data["token"].is_string()) {
    throw ClearmlFailure{{kTryLater, "its answer is not a ClearML server's"}};
  }
  token_ = data["token"];
  options = settings_.Http();
  options.token = token_;
  http_ = std::make_unique<HttpClient>(options);
}

template <typename Send>
HttpReply ClearmlApi::WithToken(const Send& send) {
  const bool fresh = http_ == nullptr;
  if (fresh) LogIn();
  HttpReply reply = send(*http_);
  if (reply.status == 401 && !fresh) {
    http_.reset();
    LogIn();
    reply = send(*http_);
  }
  if (reply.status == 401) http_.reset();
  return reply;
}

std::string ClearmlApi::Url(const std::string& call) const {
  return fmt::format("{}/{}/{}", settings_.api, kVersion, call);
}

Json ClearmlApi::Call(const std::string& call, const Json& body) {
  return DataOf(WithToken([&](HttpClient& http) { return http.PostJson(Url(call), Dump(body)); }));
}

Json ClearmlApi::CallWithLines(const std::string& call, const Json& list) {
  std::string body;
  for (const Json& element : list) body += Dump(element) + "\n";
  return DataOf(WithToken([&](HttpClient& http) { return http.PostJsonLines(Url(call), body); }));
}

template <typename Send>
std::string ClearmlApi::UploadBy(const std::string& path, const Send& send) {
  const HttpReply reply = WithToken(send);
  if (reply.status != 200) Fail(reply);
  return settings_.files + "/" + PercentEncode(path, /*keep_slash=*/true);
}

std::string ClearmlApi::Upload(const std::string& path, std::string_view bytes) {
  return UploadBy(
      path, [&](HttpClient& http) { return http.PostForm(settings_.files + "/", path, bytes); });
}

std::string ClearmlApi::UploadFile(const std::string& path, const std::filesystem::path& file) {
  return UploadBy(
      path, [&](HttpClient& http) { return http.PostFormFile(settings_.files + "/", path, file); });
}

}  // namespace millrace::tracking
