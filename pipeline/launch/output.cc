#include "pipeline/launch/output.h"

namespace millrace::pipeline::launch {
namespace {

constexpr std::size_t kLongestLine = 64 << 10;
constexpr std::size_t kLongestMessage = 4 << 10;
constexpr std::string_view kMark = "millrace: ";

// Where the last line that begins with the mark begins.
std::size_t FindMessage(std::string_view text) {
  for (std::size_t at = text.rfind(kMark); at != std::string_view::npos;
       at = at == 0 ? std::string_view::npos : text.rfind(kMark, at - 1)) {
    if (at == 0 || text[at - 1] == '\n') return at;
  }
  return std::string_view::npos;
}

}  // namespace

std::string LinePrefix::Add(std::string_view piece) {
  std::string lines;
  for (const char letter : piece) {
    if (letter != '\n') begun_ += letter;
    if (letter == '\n' || begun_.size() >= kLongestLine) {
      lines += prefix_ + begun_ + '\n';
      begun_.clear();
    }
  }
  return lines;
}

std::string LinePrefix::Rest() {
  if (begun_.empty()) return "";
  std::string line = prefix_ + begun_ + '\n';
  begun_.clear();
  return line;
}

void LastMessage::Add(std::string_view piece) {
  kept_ += piece;
  if (const std::size_t begin = FindMessage(kept_); begin != std::string::npos) {
    kept_.erase(0, begin);
    if (kept_.size() > kLongestMessage) kept_.resize(kLongestMessage);
    return;
  }
  // A message may begin in the line that is under way.
  const std::size_t end = kept_.rfind('\n');
  if (end != std::string::npos) kept_.erase(0, end + 1);
  if (kept_.size() > kLongestMessage) kept_.resize(kLongestMessage);
}

std::string LastMessage::Text() const {
  if (!kept_.starts_with(kMark)) return "";
  std::string text = kept_.substr(kMark.size());
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace millrace::pipeline::launch
