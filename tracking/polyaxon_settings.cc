#include "tracking/polyaxon_settings.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "tracking/environment.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;

std::string VariableOr(const char* name, std::string_view otherwise) {
  std::string value = Variable(name);
  return value.empty() ? std::string(otherwise) : value;
}

// As Polyaxon's names are; they become parts of paths and addresses.
void CheckName(const char* variable, const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), allowed)) {
    FailUsage("{} holds the name \"{}\"; names are letters, digits, - and _", variable, name);
  }
}

// "owner.project.runs.uuid".
void ReadInstance(const std::string& instance, PolyaxonSettings* settings) {
  std::array<std::string, 4> parts;
  std::size_t count = 0;
  for (std::size_t begin = 0; begin <= instance.size(); ++count) {
    const std::size_t end = std::min(instance.find('.', begin), instance.size());
    if (count < parts.size()) parts[count] = instance.substr(begin, end - begin);
    begin = end + 1;
  }
  if (count != parts.size()) {
    FailUsage(R"(POLYAXON_RUN_INSTANCE is "{}"; it must be "owner.project.runs.uuid")", instance);
  }
  for (const std::string& part : parts) CheckName("POLYAXON_RUN_INSTANCE", part);
  settings->owner = parts[0];
  settings->project = parts[1];
  settings->uuid = parts[3];
}

// {"POLYAXON_AUTH_TOKEN": ...}, as Polyaxon leaves it for its jobs and after `polyaxon login`.
std::string ReadToken(const fs::path& path) {
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("POLYAXON_AUTH_TOKEN")) return "";
  const auto& token = json["POLYAXON_AUTH_TOKEN"];
  return token.is_string() ? token.get<std::string>() : "";
}

void AddHeader(const std::string& name, const std::string& value, HttpOptions* http) {
  const auto breaks = [](char c) { return c == '\r' || c == '\n'; };
  if (std::any_of(name.begin(), name.end(), breaks) ||
      std::any_of(value.begin(), value.end(), breaks)) {
    FailUsage("the token, POLYAXON_HEADER or POLYAXON_HEADER_SERVICE holds a line break");
  }
  http->headers.push_back(name + ": " + value);
}

}  // namespace

std::string PolyaxonSettings::VariableThatIsSet() {
  if (IsTrue(Variable("POLYAXON_IS_OFFLINE"))) return "POLYAXON_IS_OFFLINE";
  for (const char* name : {"POLYAXON_RUN_INSTANCE", "POLYAXON_HOST"}) {
    if (!Variable(name).empty()) return name;
  }
  return "";
}

PolyaxonSettings PolyaxonSettings::FromEnvironment() {
  PolyaxonSettings settings;
  if (IsTrue(Variable("POLYAXON_IS_OFFLINE"))) {
    settings.mode = Mode::kOffline;
  } else if (IsTrue(Variable("POLYAXON_IS_MANAGED"))) {
    settings.mode = Mode::kManaged;
  }
  const std::string instance = Variable("POLYAXON_RUN_INSTANCE");
  if (!instance.empty()) {
    ReadInstance(instance, &settings);
  } else {
    if (settings.mode == Mode::kManaged) {
      FailUsage("POLYAXON_IS_MANAGED is set, but POLYAXON_RUN_INSTANCE does not say which run");
    }
    const std::string project = VariableOr("POLYAXON_PROJECT", "millrace");
    const std::size_t slash = project.find('/');
    settings.owner = slash == std::string::npos ? "default" : project.substr(0, slash);
    settings.project = slash == std::string::npos ? project : project.substr(slash + 1);
    CheckName("POLYAXON_PROJECT", settings.owner);
    CheckName("POLYAXON_PROJECT", settings.project);
  }
  if (settings.mode == Mode::kOffline) return settings;
  settings.host =
      ServerAddress("POLYAXON_HOST", "a Polyaxon server", "POLYAXON_AUTH_TOKEN (a token)");

  const fs::path context = VariableOr("POLYAXON_CONTEXT_ROOT", "/plx-context");
  std::string token = Variable("POLYAXON_AUTH_TOKEN");
  if (settings.mode == Mode::kManaged) {
    settings.artifacts = context / "artifacts" / settings.uuid;
    if (token.empty()) token = ReadToken(context / ".configs/.auth");
  }
  if (token.empty()) {
    token = ReadToken(fs::path(Variable("HOME")) / ".polyaxon/.auth");
  }
  if (!token.empty()) {
    AddHeader("Authorization", VariableOr("POLYAXON_AUTHENTICATION_TYPE", "Token") + " " + token,
              &settings.http);
  }
  const std::string header = Variable("POLYAXON_HEADER");
  const std::string service = Variable("POLYAXON_HEADER_SERVICE");
  if (!header.empty() && !service.empty()) AddHeader(header, service, &settings.http);
  const std::string verify = Variable("POLYAXON_VERIFY_SSL");
  settings.http.verify = verify.empty() || IsTrue(verify);
  settings.http.certificates = Variable("POLYAXON_SSL_CA_CERT");
  settings.http.client_certificate = Variable("POLYAXON_CERT_FILE");
  return settings;
}

}  // namespace millrace::tracking
