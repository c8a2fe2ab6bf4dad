// Where a ClearML server is and who we are there, as ClearML's own SDK finds it.
#pragma once

#include <string>

#include "tracking/http.h"

namespace millrace::tracking {

// From the environment and, for what is not set there, from CLEARML_CONFIG_FILE or ~/clearml.conf.
// Credentials are in here: nothing of it is written anywhere but `api` and `files`.
struct ClearmlSettings {
  std::string api;           // CLEARML_API_HOST, api.api_server: without a final slash
  std::string files;         // CLEARML_FILES_HOST, api.files_server; else the api's host, port 8081
  std::string access_key;    // CLEARML_API_ACCESS_KEY, api.credentials.access_key
  std::string secret_key;    // CLEARML_API_SECRET_KEY, api.credentials.secret_key
  std::string token;         // CLEARML_AUTH_TOKEN: instead of the keys
  std::string project;       // CLEARML_PROJECT, which is ours; "millrace"
  std::string task_id;       // CLEARML_TASK_ID, as an agent sets it: go on with this task
  std::string worker;        // CLEARML_WORKER_NAME; else the host's name
  bool sends_lines = true;   // CLEARML_LOG_TASK_TO_BACKEND: an agent sends what is printed itself
  bool offline = false;      // CLEARML_OFFLINE_MODE
  bool verify = true;        // CLEARML_API_HOST_VERIFY_CERT, api.verify_certificate
  std::string certificates;  // the same, where it is a path

  // Throws Error (exit code 2) naming what is missing or wrong.
  static ClearmlSettings Find();

  // Whether there is anything that leads to ClearML, and what: a part of a sentence for the log
  // ("CLEARML_API_HOST is set"); "" where there is not.
  static std::string Evidence();

  // Of requests with these credentials.
  HttpOptions Http() const;
};

}  // namespace millrace::tracking
