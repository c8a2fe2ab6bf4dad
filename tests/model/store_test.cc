#include "model/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::model {
namespace {

using namespace std::chrono_literals;

enum class Kind { kInProcess, kInFile, kOverTcp };

class StoreTest : public testing::TestWithParam<Kind> {
 protected:
  Store Open() const {
    if (GetParam() == Kind::kInProcess) return Store::InProcess();
    if (GetParam() == Kind::kInFile) return Store::InFile(folder_ / "store");
    return Store::OverTcp("127.0.0.1", /*port=*/0, /*serves=*/true, 10s);
  }

  const test::TemporaryFolder folder_;
  const Store store_ = Open();
};

TEST_P(StoreTest, ValuesAreFoundUnderTheirNames) {
  const Store other = store_.Clone().Within("run");
  store_.Within("run").Set("name", "value");
  EXPECT_EQ(other.Find("name"), "value");
  EXPECT_EQ(store_.Find("name"), std::nullopt) << "without the prefix";
  store_.Within("run").Set("name", "another");
  EXPECT_EQ(other.Find("name"), "another");
}

TEST_P(StoreTest, FirstOfTwoIsKept) {
  EXPECT_EQ(store_.SetOnce("name", "first"), "first");
  EXPECT_EQ(store_.Clone().SetOnce("name", "second"), "first");
  EXPECT_EQ(store_.Find("name"), "first");
}

TEST_P(StoreTest, NumbersAreSums) {
  EXPECT_EQ(store_.Add("number", 2), 2);
  EXPECT_EQ(store_.Clone().Add("number", -5), -3);
}

TEST_P(StoreTest, WaitingHearsWhatIsSetMeanwhile) {
  const std::jthread sets([other = store_.Clone()] {
    std::this_thread::sleep_for(150ms);
    other.Set("name", "value");
  });
  EXPECT_EQ(store_.Wait("name", 1min), "value");
}

// Processes wait for each other for minutes, and users read what they write meanwhile.
TEST_P(StoreTest, WaitingInVainEndsInTimeAndWritesNothing) {
  testing::internal::CaptureStderr();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(store_.Wait("name", 100ms), std::nullopt);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 300ms);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

INSTANTIATE_TEST_SUITE_P(Kinds, StoreTest,
                         testing::Values(Kind::kInProcess, Kind::kInFile, Kind::kOverTcp),
                         [](const auto& kind) {
                           switch (kind.param) {
                             case Kind::kInProcess:
                               return "InProcess";
                             case Kind::kInFile:
                               return "InFile";
                             case Kind::kOverTcp:
                               return "OverTcp";
                           }
                           return "";
                         });

TEST(Store, InAFileIsOneForAllWhoOpenIt) {
  const test::TemporaryFolder folder;
  const Store one = Store::InFile(folder / "store");
  const Store other = Store::InFile(folder / "store").Within("run").Within("x");
  one.Within("run").Within("x").Set("a", "1");
  EXPECT_EQ(other.Find("a"), "1");
  EXPECT_EQ(one.Find("a"), std::nullopt);
  const std::jthread sets([&] { one.Set("run/x/b", "2"); });
  EXPECT_EQ(other.Wait("b", 1min), "2");
}

TEST(Store, ThatCannotBeReachedIsAnError) {
  EXPECT_EQ(test::ErrorOf([] { Store::InFile("/nowhere/store"); }),
            "the store of the ranks cannot be opened: /nowhere/store: No such file or directory");
}

}  // namespace
}  // namespace millrace::model
