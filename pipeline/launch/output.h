// What the processes of one run print, made readable in one stream.
#pragma once

#include <string>
#include <string_view>

namespace millrace::pipeline::launch {

// Puts a text, which may be empty, in front of each line of a stream that comes in pieces. One
// thread at a time.
class LinePrefix {
 public:
  explicit LinePrefix(std::string prefix = "") : prefix_(std::move(prefix)) {}

  // The lines that `piece` completes, each with the prefix. A line longer than 64 KiB is cut.
  std::string Add(std::string_view piece);
  // What has come since the last line's end, as a line; "" when there is nothing.
  std::string Rest();

 private:
  std::string prefix_;
  std::string begun_;  // of a line whose end has not come
};

// Remembers the error message with which a process of millrace ends: what it prints from its last
// line that begins with "millrace: " on. At most 4 KiB of it. One thread at a time.
class LastMessage {
 public:
  void Add(std::string_view piece);
  // Without "millrace: " and the last line's end; "" when there was none.
  std::string Text() const;

 private:
  std::string kept_;  // from the last message's beginning, or from the last line's
};

}  // namespace millrace::pipeline::launch
