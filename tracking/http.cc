#include "tracking/http.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cstdio>
#include <mutex>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace millrace::tracking {
namespace {

constexpr std::size_t kMaxReplyBytes = std::size_t{16} << 20;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct FreeForm {
  void operator()(curl_mime* form) const { curl_mime_free(form); }
};

// A reply that is too long ends the transfer: fewer bytes taken than given.
std::size_t TakeReply(char* data, std::size_t size, std::size_t count, void* user) {
  auto& body = *static_cast<std::string*>(user);
  if (body.size() + size * count > kMaxReplyBytes) return 0;
  body.append(data, size * count);
  return size * count;
}

std::size_t TakeFile(char* data, std::size_t size, std::size_t count, void* user) {
  return std::fwrite(data, size, count, static_cast<std::FILE*>(user));
}

std::size_t GiveFile(char* data, std::size_t size, std::size_t count, void* user) {
  auto* file = static_cast<std::FILE*>(user);
  const std::size_t got = std::fread(data, size, count, file);
  return std::ferror(file) != 0 ? CURL_READFUNC_ABORT : got;
}

struct Body {
  std::string_view rest;
};

std::size_t GiveBody(char* data, std::size_t size, std::size_t count, void* user) {
  auto& body = *static_cast<Body*>(user);
  const std::size_t got = body.rest.copy(data, size * count);
  body.rest.remove_prefix(got);
  return got;
}

}  // namespace

struct HttpClient::Connection {
  HttpOptions options;
  CURL* curl = nullptr;
  char error[CURL_ERROR_SIZE] = "";
  std::unique_ptr<curl_slist, FreeList> headers;  // of the request under way

  void AddHeader(const std::string& line) {
    curl_slist* list = curl_slist_append(headers.get(), line.c_str());
    if (list == nullptr) Fail("libcurl takes no header: memory is short");
    (void)headers.release();
    headers.reset(list);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  }

  // Everything that all requests have in common.
  void Begin(const std::string& url, std::string* reply) {
    curl_easy_reset(curl);
    error[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "millrace");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, TakeReply);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(options.connect_timeout.count()));
    // A byte a second is no life.
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                     static_cast<long>((options.timeout.count() + 999) / 1000));
    if (!options.user.empty() || !options.password.empty()) {
      curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
      curl_easy_setopt(curl, CURLOPT_USERNAME, options.user.c_str());
      curl_easy_setopt(curl, CURLOPT_PASSWORD, options.password.c_str());
    } else if (!options.token.empty()) {
      curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
      curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, options.token.c_str());
    }
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, options.verify ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, options.verify ? 2L : 0L);
    if (!options.certificates.empty()) {
      std::error_code code;
      const bool folder = std::filesystem::is_directory(options.certificates, code);
      curl_easy_setopt(curl, folder ? CURLOPT_CAPATH : CURLOPT_CAINFO,
                       options.certificates.c_str());
    }
    headers.reset();
    for (const std::string& line : options.headers) AddHeader(line);
    if (!options.client_certificate.empty()) {
      curl_easy_setopt(curl, CURLOPT_SSLCERT, options.client_certificate.c_str());
    }
  }

  void LimitTime() {
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
  }

  HttpReply Perform() {
    HttpReply reply;
    const CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
      reply.error = error[0] != '\0' ? error : curl_easy_strerror(code);
      return reply;
    }
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    reply.status = static_cast<int>(status);
    return reply;
  }
};

HttpClient::HttpClient(HttpOptions options) : connection_(std::make_unique<Connection>()) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  connection_->options = std::move(options);
  connection_->curl = curl_easy_init();
  if (connection_->curl == nullptr) Fail("libcurl could not be started");
}

HttpClient::~HttpClient() { curl_easy_cleanup(connection_->curl); }

HttpReply HttpClient::Get(const std::string& url) {
  std::string body;
  connection_->Begin(url, &body);
  connection_->LimitTime();
  HttpReply reply = connection_->Perform();
  reply.body = std::move(body);
  return reply;
}

HttpReply HttpClient::GetFile(const std::string& url, const std::filesystem::path& path) {
  std::filesystem::path part = path;
  part += ".part";
  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(part.c_str(), "wb"));
  const HttpReply failed{
      .status = 0, .body = "", .error = fmt::format("{} cannot be written", part.string())};
  if (file == nullptr) return failed;
  std::string unused;
  connection_->Begin(url, &unused);
  curl_easy_setopt(connection_->curl, CURLOPT_WRITEFUNCTION, TakeFile);
  curl_easy_setopt(connection_->curl, CURLOPT_WRITEDATA, file.get());
  HttpReply reply = connection_->Perform();
  if (std::fclose(file.release()) != 0) return failed;
  std::error_code code;
  if (reply.status == 200) {
    std::filesystem::rename(part, path, code);
    return code ? failed : reply;
  }
  std::filesystem::remove(part, code);
  return reply;
}

HttpReply HttpClient::PostJson(const std::string& url, std::string_view body) {
  return Send("POST", "application/json", url, body);
}

HttpReply HttpClient::PostJsonLines(const std::string& url, std::string_view body) {
  return Send("POST", "application/json-lines", url, body);
}

HttpReply HttpClient::PatchJson(const std::string& url, std::string_view body) {
  return Send("PATCH", "application/json", url, body);
}

HttpReply HttpClient::Send(const char* method, const char* type, const std::string& url,
                           std::string_view body) {
  std::string answer;
  connection_->Begin(url, &answer);
  connection_->LimitTime();
  // Over a kept connection that the server closes, libcurl sends a request once more by itself:
  // what makes something would then make two.
  curl_easy_setopt(connection_->curl, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(connection_->curl, CURLOPT_FORBID_REUSE, 1L);
  connection_->AddHeader(fmt::format("Content-Type: {}", type));
  curl_easy_setopt(connection_->curl, CURLOPT_POST, 1L);
  curl_easy_setopt(connection_->curl, CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(connection_->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                   static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(connection_->curl, CURLOPT_POSTFIELDS, body.data());
  HttpReply reply = connection_->Perform();
  reply.body = std::move(answer);
  return reply;
}

HttpReply HttpClient::PostForm(const std::string& url, const std::string& name,
                               std::string_view bytes) {
  std::string answer;
  connection_->Begin(url, &answer);
  const std::unique_ptr<curl_mime, FreeForm> form(curl_mime_init(connection_->curl));
  curl_mimepart* part = curl_mime_addpart(form.get());
  curl_mime_name(part, name.c_str());
  curl_mime_data(part, bytes.data(), bytes.size());
  curl_mime_filename(part, name.c_str());
  curl_easy_setopt(connection_->curl, CURLOPT_MIMEPOST, form.get());
  HttpReply reply = connection_->Perform();
  reply.body = std::move(answer);
  return reply;
}

HttpReply HttpClient::PostFormFile(const std::string& url, const std::string& name,
                                   const std::filesystem::path& path) {
  std::string answer;
  connection_->Begin(url, &answer);
  const std::unique_ptr<curl_mime, FreeForm> form(curl_mime_init(connection_->curl));
  curl_mimepart* part = curl_mime_addpart(form.get());
  curl_mime_name(part, name.c_str());
  if (curl_mime_filedata(part, path.c_str()) != CURLE_OK) {
    return {.status = 0, .body = "", .error = fmt::format("{} cannot be read", path.string())};
  }
  curl_mime_filename(part, name.c_str());
  curl_easy_setopt(connection_->curl, CURLOPT_MIMEPOST, form.get());
  HttpReply reply = connection_->Perform();
  reply.body = std::move(answer);
  return reply;
}

HttpReply HttpClient::Put(const std::string& url, std::string_view body) {
  std::string answer;
  connection_->Begin(url, &answer);
  Body given{body};
  curl_easy_setopt(connection_->curl, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(connection_->curl, CURLOPT_INFILESIZE_LARGE,
                   static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(connection_->curl, CURLOPT_READFUNCTION, GiveBody);
  curl_easy_setopt(connection_->curl, CURLOPT_READDATA, &given);
  HttpReply reply = connection_->Perform();
  reply.body = std::move(answer);
  return reply;
}

HttpReply HttpClient::PutFile(const std::string& url, const std::filesystem::path& path) {
  std::error_code code;
  const auto size = std::filesystem::file_size(path, code);
  const std::unique_ptr<std::FILE, CloseFile> file(code ? nullptr : std::fopen(path.c_str(), "rb"));
  if (file == nullptr) {
    return {.status = 0, .body = "", .error = fmt::format("{} cannot be read", path.string())};
  }
  std::string answer;
  connection_->Begin(url, &answer);
  curl_easy_setopt(connection_->curl, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(connection_->curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size));
  curl_easy_setopt(connection_->curl, CURLOPT_READFUNCTION, GiveFile);
  curl_easy_setopt(connection_->curl, CURLOPT_READDATA, file.get());
  HttpReply reply = connection_->Perform();
  reply.body = std::move(answer);
  return reply;
}

HttpReply HttpClient::PostUpload(const std::string& url, const std::filesystem::path& path,
                                 const std::string& name, const std::string& json) {
  std::string answer;
  connection_->Begin(url, &answer);
  const std::unique_ptr<curl_mime, FreeForm> form(curl_mime_init(connection_->curl));
  curl_mimepart* file = curl_mime_addpart(form.get());
  curl_mime_name(file, "upload_file");
  if (curl_mime_filedata(file, path.c_str()) != CURLE_OK) {
    return {.status = 0, .body = "", .error = fmt::format("{} cannot be read", path.string())};
  }
  curl_mime_filename(file, name.c_str());
  curl_mimepart* about = curl_mime_addpart(form.get());
  curl_mime_name(about, "json");
  curl_mime_data(about, json.data(), json.size());
  curl_easy_setopt(connection_->curl, CURLOPT_MIMEPOST, form.get());
  HttpReply reply = connection_->Perform();
  reply.body = std::move(answer);
  return reply;
}

std::string PercentEncode(std::string_view text, bool keep_slash) {
  std::string encoded;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash)) {
      encoded.push_back(c);
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace millrace::tracking
