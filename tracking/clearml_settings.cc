#include "tracking/clearml_settings.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/process.h"
#include "tracking/environment.h"
#include "tracking/hocon.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;

// Those of a hosted ClearML, where only credentials are given.
constexpr std::string_view kHostedApi = "https://api.clear.ml";
constexpr std::string_view kDefaultProject = "millrace";
constexpr std::string_view kApiPort = ":8008";
constexpr std::string_view kFilesPort = ":8081";

// A variable as the SDK reads it: without spaces around it.
std::string Setting(const std::string& name) {
  const std::string text = Variable(name.c_str());
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

enum class Truth : std::uint8_t { kNo, kYes, kOther };

Truth TruthOf(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::array<std::string_view, 6> kYes = {"y", "yes", "t", "true", "on", "1"};
  constexpr std::array<std::string_view, 6> kNo = {"n", "no", "f", "false", "off", "0"};
  if (std::find(kYes.begin(), kYes.end(), text) != kYes.end()) return Truth::kYes;
  if (std::find(kNo.begin(), kNo.end(), text) != kNo.end()) return Truth::kNo;
  return Truth::kOther;
}

fs::path ConfigPath() {
  std::string named = Setting("CLEARML_CONFIG_FILE");
  if (named.starts_with("~/")) named = Setting("HOME") + named.substr(1);
  std::error_code code;
  if (!named.empty() && fs::is_regular_file(named, code)) return named;
  fs::path home = fs::path(Setting("HOME")) / "clearml.conf";
  if (!fs::is_regular_file(home, code)) home.clear();
  return home;
}

std::map<std::string, std::string> ReadConfig() {
  const fs::path path = ConfigPath();
  if (path.empty()) return {};
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return ReadHocon(text, Setting);
}

std::string WithoutSlashes(std::string address) {
  while (address.ends_with('/')) address.pop_back();
  return address;
}

void RequireAddress(const std::string& address, std::string_view what) {
  if (!address.starts_with("http://") && !address.starts_with("https://")) {
    FailUsage("{} is \"{}\"; it must be the http:// or https:// address of a ClearML server", what,
              address);
  }
  const std::size_t host = address.find("//") + 2;
  if (address.substr(0, address.find('/', host)).rfind('@') != std::string::npos) {
    // Credentials in an address would be shown with it.
    FailUsage(
        "{} holds a user or a password; put them into CLEARML_API_ACCESS_KEY and "
        "CLEARML_API_SECRET_KEY",
        what);
  }
}

// As the SDK derives it: of a hosted server by name, of one's own by port.
std::string FilesBeside(const std::string& api) {
  const std::size_t name = api.find("://api.");
  if (name != std::string::npos) return api.substr(0, name) + "://files." + api.substr(name + 7);
  if (api.ends_with(kApiPort)) {
    return api.substr(0, api.size() - kApiPort.size()) + std::string(kFilesPort);
  }
  return "";
}

}  // namespace

ClearmlSettings ClearmlSettings::Find() {
  const auto config = ReadConfig();
  const auto find = [&config](const char* variable, const char* key) {
    std::string value = Setting(variable);
    if (!value.empty()) return value;
    const auto at = config.find(key);
    return at == config.end() ? std::string() : at->second;
  };
  ClearmlSettings settings;
  settings.project = Setting("CLEARML_PROJECT");
  if (settings.project.empty()) settings.project = kDefaultProject;
  settings.task_id = Setting("CLEARML_TASK_ID");
  settings.worker = Setting("CLEARML_WORKER_NAME");
  if (settings.worker.empty()) settings.worker = HostName();
  settings.sends_lines = TruthOf(Setting("CLEARML_LOG_TASK_TO_BACKEND")) != Truth::kNo;
  settings.offline = TruthOf(Setting("CLEARML_OFFLINE_MODE")) == Truth::kYes;
  if (settings.offline) return settings;

  settings.api = WithoutSlashes(find("CLEARML_API_HOST", "api.api_server"));
  if (settings.api.empty()) settings.api = kHostedApi;
  RequireAddress(settings.api, "CLEARML_API_HOST (or api.api_server of clearml.conf)");
  settings.files = WithoutSlashes(find("CLEARML_FILES_HOST", "api.files_server"));
  if (settings.files.empty()) settings.files = FilesBeside(settings.api);
  if (settings.files.empty()) {
    FailUsage(
        "CLEARML_FILES_HOST is not set, and {} does not tell it: set it to the address of "
        "ClearML's file server",
        settings.api);
  }
  RequireAddress(settings.files, "CLEARML_FILES_HOST (or api.files_server of clearml.conf)");
  settings.token = Setting("CLEARML_AUTH_TOKEN");
  settings.access_key = find("CLEARML_API_ACCESS_KEY", "api.credentials.access_key");
  settings.secret_key = find("CLEARML_API_SECRET_KEY", "api.credentials.secret_key");
  if (settings.token.empty() && (settings.access_key.empty() || settings.secret_key.empty())) {
    FailUsage(
        "there are no credentials for ClearML at {}: set CLEARML_API_ACCESS_KEY and "
        "CLEARML_API_SECRET_KEY, or make ~/clearml.conf with clearml-init",
        settings.api);
  }
  const std::string verify = find("CLEARML_API_HOST_VERIFY_CERT", "api.verify_certificate");
  if (!verify.empty()) {
    settings.verify = TruthOf(verify) != Truth::kNo;
    if (TruthOf(verify) == Truth::kOther) settings.certificates = verify;
  }
  return settings;
}

std::string ClearmlSettings::Evidence() {
  if (TruthOf(Setting("CLEARML_OFFLINE_MODE")) == Truth::kYes) return "CLEARML_OFFLINE_MODE is set";
  for (const char* name :
       {"CLEARML_TASK_ID", "CLEARML_API_HOST", "CLEARML_API_ACCESS_KEY", "CLEARML_AUTH_TOKEN"}) {
    if (!Setting(name).empty()) return std::string(name) + " is set";
  }
  const auto config = ReadConfig();
  const auto key = config.find("api.credentials.access_key");
  if (key != config.end() && !key->second.empty()) return ConfigPath().string() + " is there";
  return "";
}

HttpOptions ClearmlSettings::Http() const {
  HttpOptions http;
  http.verify = verify;
  http.certificates = certificates;
  return http;
}

}  // namespace millrace::tracking
