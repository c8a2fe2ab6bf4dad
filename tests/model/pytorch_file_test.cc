#include "model/pytorch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "model/pickle.h"
#include "tests/model/test_folder.h"

// What torch.save itself writes is read in tests/reference/test_weights.py.
namespace millrace::model {
namespace {

using ::testing::HasSubstr;
using Kind = PickleValue::Kind;
using std::string_literals::operator""s;

std::string PickleError(std::string_view bytes) {
  try {
    const Pickle pickle(bytes);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Pickle, ValuesOfAllKindsAreRead) {
  // pickle.dumps({"a": [1, -2, 300, 70000, 2**40], "b": (1.5, True, None, "text")}, 2)
  const Pickle pickle(
      "\x80\x02}q\0(X\x01\0\0\0aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,"
      "\x01Jp\x11\x01\0\x8a\x06\0\0\0\0\0\x01"
      "eX\x01\0\0\0bq\x03(G?\xf8\0\0\0\0\0\0\x88NX\x04\0\0\0textq\x04tq\x05u."s);
  const PickleValue* a = pickle.root().Find("a");
  ASSERT_NE(a, nullptr);
  ASSERT_EQ(a->items.size(), 5);
  EXPECT_EQ(a->items[0]->integer, 1);
  EXPECT_EQ(a->items[1]->integer, -2);
  EXPECT_EQ(a->items[2]->integer, 300);
  EXPECT_EQ(a->items[3]->integer, 70000);
  EXPECT_EQ(a->items[4]->integer, std::int64_t{1} << 40);
  const PickleValue* b = pickle.root().Find("b");
  ASSERT_NE(b, nullptr);
  ASSERT_EQ(b->items.size(), 4);
  EXPECT_EQ(b->items[0]->real, 1.5);
  EXPECT_TRUE(b->items[1]->is(Kind::kBool));
  EXPECT_TRUE(b->items[2]->is(Kind::kNone));
  EXPECT_EQ(b->items[3]->text, "text");
  EXPECT_EQ(pickle.root().Find("c"), nullptr);
}

TEST(Pickle, NothingIsCalled) {
  // What runs a command in Python: os.system("touch /tmp/x").
  const Pickle pickle(
      "\x80\x02"
      "cos\nsystem\nX\x0d\0\0\0touch /tmp/xx\x85R."s);
  EXPECT_TRUE(pickle.root().is(Kind::kObject));
  EXPECT_EQ(pickle.root().text, "os.system");
}

TEST(Pickle, DamageIsAnError) {
  EXPECT_EQ(PickleError(""), "the pickle is cut or damaged");
  EXPECT_EQ(PickleError("text"), "it does not begin as a pickle does");
  EXPECT_EQ(PickleError("\x80\x06N."), "it has protocol 6; known are 2 to 5");
  EXPECT_EQ(PickleError("\x80\x02z."),
            "the pickle holds the operation 0x7a, which is not known here");
  for (const std::string& damaged :
       {"\x80\x02"s, "\x80\x02."s, "\x80\x02N"s,
        "\x80\x02X\xff\xff\xff\xff"
        "a."s,
        "\x80\x02\x86."s, "\x80\x02u."s, "\x80\x02Nu."s, "\x80\x02}(Nu."s, "\x80\x02h\x07."s,
        "\x80\x02N(Ns."s, "\x80\x02q\0."s, "\x80\x02NQ."s,
        "\x80\x02"
        "ctorch._utils\n_rebuild_tensor_v2\n)R."s,
        "\x80\x02"
        "cno newline"s}) {
    EXPECT_EQ(PickleError(damaged), "the pickle is cut or damaged")
        << ::testing::PrintToString(damaged);
  }
}

// Whatever is cut off or changed, it is an error or a value, and no memory but its own is read (a
// sanitizer's build says so).
TEST(Pickle, CutAndChangedBytesDoNoHarm) {
  const std::string whole =
      "\x80\x02}q\0X\x01\0\0\0aq\x01"
      "ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\0\0\0storageq\x03"
      "ctorch\nFloatStorage\n"
      "q\x04X\x01\0\0\0"
      "0q\x05X\x03\0\0\0cpuq\x06K\x06tq\x07QK\0K\x02K\x03\x86K\x03K\x01\x86\x89"
      "ccollections\n"
      "OrderedDict\nq\x08)Rq\ttq\nRq\x0bs."s;
  const Pickle pickle(whole);
  const PickleValue* tensor = pickle.root().Find("a");
  ASSERT_TRUE(tensor != nullptr && tensor->is(Kind::kTensor));
  EXPECT_EQ(tensor->sizes, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(tensor->storage->integer, 6);
  EXPECT_EQ(pickle.storages().size(), 1);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_NE(PickleError(whole.substr(0, i)), "nothing was thrown") << i;
    for (int value = 0; value < 256; ++value) {
      std::string changed = whole;
      changed[i] = static_cast<char>(value);
      PickleError(changed);
    }
  }
}

class PyTorchFile : public TestFolder {
 protected:
  std::string Message(const std::string& bytes) {
    const std::filesystem::path path = folder() / "w.pth";
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      ReadPyTorchFile(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
};

TEST_F(PyTorchFile, OtherFilesAreRefused) {
  EXPECT_THAT(
      Message("\x80\x02N."),
      HasSubstr(
          "w.pth: cannot take weights from it: it is a pickle, but none that torch.save wrote"));
  EXPECT_THAT(Message("PK\x03\x04 and nothing more"), HasSubstr("it is cut or damaged ("));
  EXPECT_FALSE(IsPyTorchFile(folder() / "none"));
}

TEST_F(PyTorchFile, SafetensorsOfAnyHeaderLengthAreNone) {
  const auto begins = [&](const std::string& bytes) {
    const std::filesystem::path path = folder() / "file";
    std::ofstream(path, std::ios::binary) << bytes;
    return IsPyTorchFile(path);
  };
  EXPECT_TRUE(begins("\x80\x02}q\0X\x01\0\0\0a."s));
  EXPECT_TRUE(begins("PK\x03\x04\0\0\0\0\0\0"s));
  for (int low = 0; low < 256; ++low) {
    const std::string length = static_cast<char>(low) + "\x02\0\0\0\0\0\0"s;
    EXPECT_FALSE(begins(length + R"({"w":{"dtype":"F32")")) << low;
  }
  EXPECT_FALSE(begins("PK\x03\x04\0\0\0\0{"s));
}

}  // namespace
}  // namespace millrace::model
