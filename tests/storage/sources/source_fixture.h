// Sources for tests: written into a folder of the test's own, opened and read to the end.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/sources/open_source.h"
#include "tests/support/error_text.h"
#include "tests/support/source_maker.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {

inline bool Everything(std::uint64_t) { return true; }

// All wanted items of a source. Positions must ascend and progress end at the total.
inline std::vector<SourceItem> Drain(SampleSource& source,
                                     const SampleSource::Wanted& wanted = Everything) {
  std::vector<SourceItem> items;
  std::uint64_t passed = 0;
  while (auto item = source.Next(wanted)) {
    EXPECT_TRUE(items.empty() || items.back().position < item->position);
    EXPECT_GE(source.passed_bytes(), passed);
    EXPECT_LE(source.passed_bytes(), source.facts().total_bytes);
    passed = source.passed_bytes();
    items.push_back(std::move(*item));
  }
  EXPECT_EQ(source.passed_bytes(), source.facts().total_bytes);
  EXPECT_FALSE(source.Next(wanted)) << "a source that has ended goes on";
  return items;
}

// What the fingerprint of a dataset comes from: each picture's class and content, in any order.
using Contents = std::multiset<std::pair<std::string, std::vector<std::byte>>>;

inline Contents ContentsOf(std::vector<SourceItem> items) {
  Contents contents;
  for (SourceItem& item : items) {
    const auto bytes = TakeContent(item);
    EXPECT_TRUE(bytes.ok()) << item.origin;
    if (!bytes.ok()) continue;
    EXPECT_EQ(bytes->size(), item.bytes);
    EXPECT_TRUE(item.path.starts_with(item.class_id + "/")) << item.path;
    contents.emplace(item.class_id, *bytes);
  }
  return contents;
}

inline Contents ContentsOf(std::span<const test::MadePicture> pictures) {
  Contents contents;
  for (const auto& picture : pictures) contents.emplace(picture.class_id, picture.bytes);
  return contents;
}

class SourceTest : public testing::Test {
 protected:
  std::filesystem::path Write(const std::string& name, std::span<const std::byte> bytes) const {
    test::WriteBytes(folder_ / name, bytes);
    return folder_ / name;
  }
  std::filesystem::path Write(const std::string& name, std::string_view text) const {
    test::WriteText(folder_ / name, text);
    return folder_ / name;
  }
  // The tars, as "<name>-000.tar" and so on; returns the pattern that means them.
  std::string WriteTars(const std::string& name, const std::vector<std::vector<std::byte>>& tars,
                        const std::string& extension = ".tar") const {
    for (std::size_t i = 0; i < tars.size(); ++i) {
      Write(fmt::format("{}-{:03}{}", name, i, extension), tars[i]);
    }
    return (folder_ / fmt::format("{}-{{000..{:03}}}{}", name, tars.size() - 1, extension))
        .string();
  }

  // Opens and reads everything; the error if there is one.
  static std::string ErrorOf(const std::string& source, const SourceOptions& options = {}) {
    return test::ErrorOf([&] {
      const auto opened = OpenSource(source, options);
      while (opened->Next(Everything)) {
      }
    });
  }
  static std::string UsageErrorOf(const std::string& source, const SourceOptions& options = {}) {
    return test::UsageErrorOf([&] { OpenSource(source, options); });
  }

  std::string At(const std::string& name) const { return (folder_ / name).string(); }

  test::TemporaryFolder folder_;
};

inline std::vector<std::byte> Bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// Bytes that this process has read from files so far; nullopt where the system does not say.
inline std::optional<std::uint64_t> BytesReadSoFar() {
  std::FILE* file = std::fopen("/proc/self/io", "r");
  if (file == nullptr) return std::nullopt;
  unsigned long long bytes = 0;
  const int found = std::fscanf(file, "rchar: %llu", &bytes);
  static_cast<void>(std::fclose(file));
  return found == 1 ? std::optional<std::uint64_t>(bytes) : std::nullopt;
}

}  // namespace millrace::storage
