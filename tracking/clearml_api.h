// Requests to a ClearML server: who we are, its envelope around answers, and its file server.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "tracking/clearml_settings.h"
#include "tracking/http.h"
#include "tracking/remote.h"

namespace millrace::tracking {

// What every function of ClearmlApi and ClearmlTarget throws where the other side does not take
// what it is given.
struct ClearmlFailure {
  Delivery delivery;  // never kDelivered
  int subcode = 0;    // the server's own number for it; 0: none
};

// One thread at a time. Logs in by itself, and once again when the server no longer knows the
// token.
class ClearmlApi {
 public:
  using Json = nlohmann::ordered_json;

  // Subcodes of answers with HTTP's status 400.
  static constexpr int kNoTask = 101;
  static constexpr int kProjectExists = 801;

  explicit ClearmlApi(ClearmlSettings settings);

  const ClearmlSettings& settings() const { return settings_; }

  // `call` is "tasks.create". Returns what the server says in "data".
  Json Call(const std::string& call, const Json& body);
  // The same for a list, one element a line.
  Json CallWithLines(const std::string& call, const Json& list);

  // Puts a file to `path` of the file server and returns its address. `path` is of letters, digits
  // and "/-_." only.
  std::string Upload(const std::string& path, std::string_view bytes);
  std::string UploadFile(const std::string& path, const std::filesystem::path& file);

 private:
  void LogIn();
  // `send` is called with a client that is logged in.
  template <typename Send>
  HttpReply WithToken(const Send& send);
  template <typename Send>
  std::string UploadBy(const std::string& path, const Send& send);
  std::string Url(const std::string& call) const;

  const ClearmlSettings settings_;
  std::unique_ptr<HttpClient> http_;  // with a token; null: not logged in
  std::string token_;                 // the last one
};

}  // namespace millrace::tracking
