#include "model/safetensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "tests/model/test_folder.h"

namespace millrace::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string File(std::string_view header, std::string_view data) {
  const std::uint64_t size = header.size();
  std::string text(sizeof(size), '\0');
  std::memcpy(text.data(), &size, sizeof(size));
  return text.append(header).append(data);
}

class Safetensors : public TestFolder {
 protected:
  std::filesystem::path path() const { return folder() / "t.safetensors"; }

  void Put(std::string_view bytes) { WriteFileAtomically(path(), bytes); }

  // The Error's text when the file with this content is read; "" when there is none.
  std::string ErrorOf(std::string_view bytes) {
    Put(bytes);
    try {
      ReadSafetensors(path());
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path().string()));
      return error.what();
    }
    return "";
  }
};

TEST_F(Safetensors, EveryTypeComesBackBitForBit) {
  std::vector<NamedTensor> tensors;
  for (const auto type : {at::kBool, at::kByte, at::kInt, at::kLong, at::kBFloat16, at::kHalf,
                          at::kFloat, at::kDouble}) {
    tensors.push_back({c10::toString(type), (at::randn({3, 5}) * 4).to(type)});
  }
  tensors.push_back({"scalar", at::full({}, 2.5)});
  tensors.push_back({"empty", at::zeros({2, 0, 3})});
  WriteSafetensors(path(), tensors, {{"key", "a \"text\"\nof two lines"}});
  const TensorFile file = ReadSafetensors(path());
  EXPECT_EQ(file.metadata.at("key"), "a \"text\"\nof two lines");
  EXPECT_TRUE(CompareStates(tensors, file.tensors).empty());
  ASSERT_EQ(file.tensors.size(), tensors.size());
  for (const NamedTensor& read : file.tensors) {
    const auto& written = *std::find_if(tensors.begin(), tensors.end(),
                                        [&](const auto& t) { return t.name == read.name; });
    EXPECT_EQ(read.tensor.scalar_type(), written.tensor.scalar_type());
    EXPECT_TRUE(at::equal(read.tensor, written.tensor)) << read.name;
  }
}

TEST_F(Safetensors, MemoryFormatDoesNotChangeTheBytes) {
  const at::Tensor tensor = at::randn({4, 3, 5, 5});
  WriteSafetensors(path(), std::vector<NamedTensor>{{"w", tensor}}, {});
  const std::string contiguous = ReadFile(path());
  WriteSafetensors(
      path(), std::vector<NamedTensor>{{"w", tensor.contiguous(at::MemoryFormat::ChannelsLast)}},
      {});
  EXPECT_EQ(ReadFile(path()), contiguous);
}

TEST_F(Safetensors, TensorsAreAlignedInTheFile) {
  WriteSafetensors(path(),
                   std::vector<NamedTensor>{{"flags", at::ones({3}, at::kBool)},
                                            {"half", at::ones({3}, at::kHalf)},
                                            {"first", at::ones({3})},
                                            {"second", at::ones({3})},
                                            {"count", at::ones({}, at::kLong)}},
                   {});
  const std::string bytes = ReadFile(path());
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  EXPECT_EQ(header % 8, 0u);
  std::vector<std::string> names;
  for (const auto& entry : ReadSafetensors(path()).tensors) names.push_back(entry.name);
  EXPECT_THAT(names, ::testing::ElementsAre("count", "first", "second", "half", "flags"));
}

TEST_F(Safetensors, TextThatIsNotUtf8IsReplacedNotFatal) {
  WriteSafetensors(path(), {}, {{"path", "a\xff"}});
  EXPECT_EQ(ReadSafetensors(path()).metadata.at("path"), "a\xef\xbf\xbd");
}

TEST_F(Safetensors, TwoTensorsOfOneNameAreRefused) {
  const std::vector<NamedTensor> tensors = {{"a", at::ones({1})}, {"a", at::ones({1})}};
  EXPECT_THROW(WriteSafetensors(path(), tensors, {}), Error);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(Safetensors, TypeWithoutNameInTheFormatIsRefused) {
  const std::vector<NamedTensor> tensors = {{"c", at::ones({1}, at::kComplexFloat)}};
  try {
    WriteSafetensors(path(), tensors, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("\"c\""), HasSubstr("ComplexFloat")));
  }
}

TEST_F(Safetensors, CutAnywhereIsAnError) {
  WriteSafetensors(
      path(), std::vector<NamedTensor>{{"a", at::ones({3, 2})}, {"b", at::ones({1}, at::kByte)}},
      {{"k", "v"}});
  const std::string whole = ReadFile(path());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(ErrorOf(std::string_view(whole).substr(0, length)), "") << length;
  }
  EXPECT_THAT(ErrorOf(whole + "x"), HasSubstr("1 bytes after the last tensor"));
  EXPECT_EQ(ErrorOf(whole), "");
}

TEST_F(Safetensors, AnyByteOfTheHeaderChangedIsReadOrAnErrorNeverACrash) {
  WriteSafetensors(path(), std::vector<NamedTensor>{{"a", at::ones({3, 2})}}, {{"k", "v"}});
  const std::string whole = ReadFile(path());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const int change : {1, 0x10, 0x80, 0xff}) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ change);
      const std::string message = ErrorOf(bytes);
      if (i < 8) {
        EXPECT_NE(message, "") << i;
      }
    }
  }
}

TEST_F(Safetensors, HeaderThatContradictsItselfIsNamed) {
  struct Case {
    const char* header;
    std::size_t data;
    const char* message;
  };
  const Case cases[] = {
      {"[]", 0, "not a JSON object"},
      {"{", 0, "not a JSON object"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8, "\"a\" stands there twice"},
      {R"({"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}})", 4,
       "\"dtype\" stands there twice"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
       6, "tensor \"b\" starts at byte 2 of the data; 4 was expected"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
       12, "tensor \"b\" starts at byte 8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" needs 8 bytes, but its offsets are [0, 4]"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "its offsets are [4, 0]"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4,
       "the file is cut: tensor \"a\" ends at byte 8 of the data, 4 are there"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,0]}})",
       0, "tensor \"a\" has an impossible size"},
      {R"({"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}})", 0,
       "impossible size"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "not a whole number"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4, "not a whole number"},
      {R"({"a":{"dtype":"F32","shape":4,"data_offsets":[0,4]}})", 4, "no list as its shape"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "no pair of data_offsets"},
      {R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1,
       "has the type \"F8_E4M3\", which is not read here"},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", 1, "has the type 7"},
      {R"({"a":7})", 0, "is not described by"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", 4,
       "is not described by"},
      {R"({"__metadata__":7})", 0, "__metadata__ is not an object"},
      {R"({"__metadata__":{"k":7}})", 0, "metadata \"k\" is not a text"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(ErrorOf(File(c.header, std::string(c.data, '\0'))), HasSubstr(c.message))
        << c.header;
  }
}

TEST_F(Safetensors, AbsurdHeaderLengthIsAnErrorWithoutAllocation) {
  std::string bytes(64, '\xff');
  EXPECT_THAT(ErrorOf(bytes), HasSubstr("not a safetensors file"));
  bytes.assign("\x60\0\0\0\0\0\0\0{}", 10);
  EXPECT_THAT(ErrorOf(bytes), HasSubstr("the file is cut"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("only 0 bytes"));
}

TEST_F(Safetensors, FileThatCannotGrowLeavesTheOldOne) {
  WriteSafetensors(path(), std::vector<NamedTensor>{{"a", at::ones({2})}}, {});
  const std::string before = ReadFile(path());
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // the write then fails as on a full disk
  const rlimit small{.rlim_cur = 1 << 16, .rlim_max = old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(WriteSafetensors(path(), std::vector<NamedTensor>{{"a", at::ones({1 << 16})}}, {}),
               Error);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(ReadFile(path()), before);
  EXPECT_FALSE(std::filesystem::exists(path().string() + ".tmp"));
}

}  // namespace
}  // namespace millrace::model
