// Requests to a tracker's server.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::tracking {

struct HttpOptions {
  std::string user;  // with `password`: HTTP's basic authentication
  std::string password;
  std::string token;                 // otherwise, where it is not empty: a bearer token
  std::vector<std::string> headers;  // lines that every request carries: "Authorization: Token x"
  bool verify = true;                // the server's certificate
  std::string certificates;          // file or folder of trusted ones; empty: the system's
  std::string client_certificate;    // PEM file; empty: none
  std::chrono::milliseconds connect_timeout{5000};
  // Without a byte in either direction; and, where a request carries no picture or file, all in
  // all.
  std::chrono::milliseconds timeout{10000};
};

struct HttpReply {
  int status = 0;     // HTTP's; 0: there was no answer
  std::string body;   // at most 16 MiB
  std::string error;  // why there was none, for people
};

// One connection, kept open between requests, and one of its own for each JSON body, which is sent
// once and never again. One thread at a time. Redirections are not followed,
// so that credentials stay where they were meant for.
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpReply Get(const std::string& url);
  // Puts the answer's body into the file `path`, of any size, when its status is 200. No answer,
  // with the reason, when that cannot be written.
  HttpReply GetFile(const std::string& url, const std::filesystem::path& path);
  HttpReply PostJson(const std::string& url, std::string_view body);
  HttpReply PatchJson(const std::string& url, std::string_view body);
  // JSON, one value a line.
  HttpReply PostJsonLines(const std::string& url, std::string_view body);
  // As a form with one field called `name`, which is a file: `bytes`, or what is in the file
  // `path`. No answer, with the reason, when that cannot be read.
  HttpReply PostForm(const std::string& url, const std::string& name, std::string_view bytes);
  HttpReply PostFormFile(const std::string& url, const std::string& name,
                         const std::filesystem::path& path);
  HttpReply Put(const std::string& url, std::string_view body);
  // The file's bytes. No answer, with the reason, when it cannot be read.
  HttpReply PutFile(const std::string& url, const std::filesystem::path& path);
  // A form: the file in its field `upload_file` under the name `name`, and `json`. No answer, with
  // the reason, when the file cannot be read.
  HttpReply PostUpload(const std::string& url, const std::filesystem::path& path,
                       const std::string& name, const std::string& json);

 private:
  struct Connection;

  HttpReply Send(const char* method, const char* type, const std::string& url,
                 std::string_view body);

  std::unique_ptr<Connection> connection_;
};

// For a part of a URL: everything but letters, digits and "-._~" as %XX; '/' stays where
// `keep_slash`.
std::string PercentEncode(std::string_view text, bool keep_slash);

}  // namespace millrace::tracking
