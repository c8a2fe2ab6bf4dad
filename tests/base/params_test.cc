#include "base/params.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace millrace {
namespace {

// The text of the usage Error that `action` throws; a failed test when it throws none.
std::string UsageErrorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

Params Recipe(const std::string& json) { return Params::FromJson(json, "r.toml"); }

TEST(Params, ReturnsValuesOfEveryType) {
  const Params params = Recipe(R"({"flag": true, "count": -3, "rate": 0.5, "name": "résumé",
                                   "mean": [0.1, 2], "steps": [30, 60], "tags": ["a", "b"]})");
  EXPECT_TRUE(params.Flag("flag"));
  EXPECT_EQ(params.Integer("count"), -3);
  EXPECT_EQ(params.Number("rate"), 0.5);
  EXPECT_EQ(params.Text("name"), "résumé");
  EXPECT_EQ(params.Numbers("mean"), (std::vector<double>{0.1, 2.0}));
  EXPECT_EQ(params.Integers("steps"), (std::vector<std::int64_t>{30, 60}));
  EXPECT_EQ(params.Texts("tags"), (std::vector<std::string>{"a", "b"}));
  params.RefuseUnknown();
}

TEST(Params, ReturnsTheDefaultOfAMissingKey) {
  const Params params("r.toml");
  EXPECT_FALSE(params.Has("flag"));
  EXPECT_TRUE(params.Flag("flag", true));
  EXPECT_EQ(params.Integer("count", 7), 7);
  EXPECT_EQ(params.Number("rate", 0.25), 0.25);
  EXPECT_EQ(params.Text("name", "sgd"), "sgd");
  EXPECT_EQ(params.Numbers("mean", {{1.0}}), (std::vector<double>{1.0}));
  EXPECT_EQ(params.Integers("steps", {{1}}), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(params.Texts("tags", {{"x"}}), (std::vector<std::string>{"x"}));
}

TEST(Params, MissingKeyWithoutDefaultSaysWhatItMustBe) {
  const Params params("r.toml");
  EXPECT_EQ(UsageErrorOf([&] { params.Flag("k"); }),
            "r.toml: k: is missing; it must be true or false");
  EXPECT_EQ(UsageErrorOf([&] { params.Integer("k"); }),
            "r.toml: k: is missing; it must be a whole number");
  EXPECT_EQ(UsageErrorOf([&] { params.Number("k"); }),
            "r.toml: k: is missing; it must be a number");
  EXPECT_EQ(UsageErrorOf([&] { params.Text("k"); }),
            "r.toml: k: is missing; it must be a text in quotes");
  EXPECT_EQ(UsageErrorOf([&] { params.Numbers("k"); }),
            "r.toml: k: is missing; it must be a list of numbers");
  EXPECT_EQ(UsageErrorOf([&] { params.Integers("k"); }),
            "r.toml: k: is missing; it must be a list of whole numbers");
  EXPECT_EQ(UsageErrorOf([&] { params.Texts("k"); }),
            "r.toml: k: is missing; it must be a list of texts in quotes");
}

TEST(Params, WrongTypeShowsTheValueAndSaysWhatItMustBe) {
  const Params params = Recipe(R"({"k": "3", "n": 1.5, "l": [1, "x"], "s": {"a": 1}})");
  EXPECT_EQ(UsageErrorOf([&] { params.Flag("k"); }),
            "r.toml: k: is \"3\"; it must be true or false");
  EXPECT_EQ(UsageErrorOf([&] { params.Integer("k"); }),
            "r.toml: k: is \"3\"; it must be a whole number");
  EXPECT_EQ(UsageErrorOf([&] { params.Integer("n"); }),
            "r.toml: n: is 1.5; it must be a whole number");
  EXPECT_EQ(UsageErrorOf([&] { params.Number("k"); }), "r.toml: k: is \"3\"; it must be a number");
  EXPECT_EQ(UsageErrorOf([&] { params.Text("n"); }),
            "r.toml: n: is 1.5; it must be a text in quotes");
  EXPECT_EQ(UsageErrorOf([&] { params.Numbers("n"); }),
            "r.toml: n: is 1.5; it must be a list of numbers");
  EXPECT_EQ(UsageErrorOf([&] { params.Integers("l"); }),
            "r.toml: l: is [1,\"x\"]; it must be a list of whole numbers");
  EXPECT_EQ(UsageErrorOf([&] { params.Texts("l"); }),
            "r.toml: l: is [1,\"x\"]; it must be a list of texts in quotes");
  EXPECT_EQ(UsageErrorOf([&] { params.Text("s"); }),
            "r.toml: s: is {\"a\":1}; it must be a text in quotes");
}

TEST(Params, WrongTypeIsRefusedEvenWithADefault) {
  const Params params = Recipe(R"({"k": "3"})");
  EXPECT_EQ(UsageErrorOf([&] { params.Integer("k", 5); }),
            "r.toml: k: is \"3\"; it must be a whole number");
}

TEST(Params, WholeNumberIsAcceptedAsReal) {
  EXPECT_EQ(Recipe(R"({"lr": 1})").Number("lr"), 1.0);
  EXPECT_EQ(Recipe(R"({"l": [1, 0.5]})").Numbers("l"), (std::vector<double>{1.0, 0.5}));
}

TEST(Params, LimitsAreInclusive) {
  const Params params = Recipe(R"({"i": 4, "x": 0.5})");
  EXPECT_EQ(params.IntegerIn("i", 4, 8), 4);
  EXPECT_EQ(params.IntegerIn("i", 0, 4), 4);
  EXPECT_EQ(params.NumberIn("x", 0.5, 1.0), 0.5);
  EXPECT_EQ(params.NumberIn("x", 0.0, 0.5), 0.5);
}

TEST(Params, ValueOutsideItsLimitsNamesThem) {
  const Params params = Recipe(R"({"i": 4, "x": -0.5})");
  EXPECT_EQ(UsageErrorOf([&] { params.IntegerIn("i", 5, 8); }),
            "r.toml: i: is 4; it must be between 5 and 8");
  EXPECT_EQ(UsageErrorOf([&] { params.IntegerIn("i", 0, 3); }),
            "r.toml: i: is 4; it must be between 0 and 3");
  EXPECT_EQ(UsageErrorOf([&] { params.NumberIn("x", 0, 1); }),
            "r.toml: x: is -0.5; it must be between 0 and 1");
}

TEST(Params, ValueBelowItsOnlyLimitNamesIt) {
  const Params params = Recipe(R"({"i": 4, "x": -0.5})");
  EXPECT_EQ(
      UsageErrorOf([&] { params.IntegerIn("i", 5, std::numeric_limits<std::int64_t>::max()); }),
      "r.toml: i: is 4; it must be at least 5");
  EXPECT_EQ(UsageErrorOf([&] { params.NumberIn("x", 0, std::numeric_limits<double>::max()); }),
            "r.toml: x: is -0.5; it must be at least 0");
}

TEST(Params, ChoiceListsAllAndSuggestsTheNearest) {
  const Params params = Recipe(R"({"name": "one_cycl", "other": "zzz"})");
  EXPECT_EQ(UsageErrorOf([&] {
              params.Choice("name", {"cosine", "one_cycle"});
            }),
            "r.toml: name: is \"one_cycl\"; it must be one of cosine, one_cycle; did you mean "
            "\"one_cycle\"?");
  EXPECT_EQ(UsageErrorOf([&] {
              params.Choice("other", {"cosine", "one_cycle"});
            }),
            "r.toml: other: is \"zzz\"; it must be one of cosine, one_cycle");
  EXPECT_EQ(params.Choice("absent", {"cosine", "one_cycle"}, "cosine"), "cosine");
}

TEST(Params, SectionsAreNamedByTheirPath) {
  const Params params = Recipe(R"({"data": {"train": {"split": 3}}})");
  const Params train = params.Section("data").Section("train");
  EXPECT_EQ(train.Where("split"), "r.toml: data.train.split");
  EXPECT_EQ(UsageErrorOf([&] { train.Text("split"); }),
            "r.toml: data.train.split: is 3; it must be a text in quotes");
}

TEST(Params, MissingSectionIsEmpty) {
  const Params params("r.toml");
  EXPECT_EQ(params.Section("loss").Number("label_smoothing", 0.0), 0.0);
  EXPECT_TRUE(params.Sections("ops").empty());
  params.RefuseUnknown();
}

TEST(Params, ListOfSectionsKeepsOrderAndNamesEntries) {
  const Params params = Recipe(R"({"ops": [{"op": "crop"}, {"op": "flip", "p": "half"}]})");
  const std::vector<Params> ops = params.Sections("ops");
  ASSERT_EQ(ops.size(), 2u);
  EXPECT_EQ(ops[0].Text("op"), "crop");
  EXPECT_EQ(ops[1].Text("op"), "flip");
  EXPECT_EQ(UsageErrorOf([&] { ops[1].Number("p"); }),
            "r.toml: ops[1].p: is \"half\"; it must be a number");
}

TEST(Params, ValueInPlaceOfASectionIsRefused) {
  const Params params = Recipe(R"({"loss": "ce", "ops": {"op": 1}, "list": [{}, 5]})");
  EXPECT_EQ(UsageErrorOf([&] { params.Section("loss"); }),
            "r.toml: loss: is \"ce\"; it must be a section");
  EXPECT_EQ(UsageErrorOf([&] { params.Sections("ops"); }),
            "r.toml: ops: must be a list of sections");
  EXPECT_EQ(UsageErrorOf([&] { params.Sections("list"); }),
            "r.toml: list: entry 1 is 5; it must be a section { ... }");
}

TEST(Params, KeyThatNobodyAskedForIsRefusedWithAHint) {
  const Params params = Recipe(R"({"momentun": 0.9})");
  params.Number("momentum", 0.0);
  EXPECT_EQ(UsageErrorOf([&] { params.RefuseUnknown(); }),
            "r.toml: momentun: is not a setting that is read here; did you mean \"momentum\"?");
}

TEST(Params, KeyUnlikeAnyOtherIsRefusedWithAllThatWereAskedFor) {
  const Params params = Recipe(R"({"learning_rate": 0.1})");
  params.Number("lr", 0.0);
  params.Number("momentum", 0.0);
  EXPECT_EQ(UsageErrorOf([&] { params.RefuseUnknown(); }),
            "r.toml: learning_rate: is not a setting that is read here; there are lr, momentum");
}

TEST(Params, SectionThatNobodyAskedForIsRefused) {
  const Params params = Recipe(R"({"plugins": {"a": 1}})");
  EXPECT_EQ(UsageErrorOf([&] { params.RefuseUnknown(); }),
            "r.toml: plugins: is not a setting that is read here");
}

TEST(Params, UnknownKeysAreFoundInEverySection) {
  const Params params = Recipe(R"({"optimizer": {"lr": 1, "wd": 2}, "ops": [{}, {"q": 1}]})");
  params.Section("optimizer").Number("lr");
  params.Sections("ops");
  EXPECT_EQ(UsageErrorOf([&] { params.RefuseUnknown(); }),
            "r.toml: ops[1].q: is not a setting that is read here");
  for (const Params& op : params.Sections("ops")) op.Integer("q", 0);
  EXPECT_EQ(UsageErrorOf([&] { params.RefuseUnknown(); }),
            "r.toml: optimizer.wd: is not a setting that is read here; there are lr");
}

TEST(Params, CopiesShareWhatWasAsked) {
  const Params params = Recipe(R"({"a": {"x": 1}})");
  {
    Params copy("other.toml");
    copy = params;
    copy.Section("a").Integer("x");
  }
  params.RefuseUnknown();
}

TEST(Params, AskingWhetherAKeyIsThereCountsAsReading) {
  const Params params = Recipe(R"({"x": 1})");
  EXPECT_TRUE(params.Has("x"));
  params.RefuseUnknown();
}

TEST(Params, BlameNamesTheKey) {
  EXPECT_EQ(UsageErrorOf([&] { Recipe("{}").Section("batch").Blame("global", "divides by 0"); }),
            "r.toml: batch.global: divides by 0");
}

TEST(Params, TextThatIsNoObjectIsRefused) {
  for (const char* text : {"", "[1]", "3", "{\"a\": ", "null"}) {
    EXPECT_EQ(UsageErrorOf([&] { Recipe(text); }), "r.toml: not an object of settings") << text;
  }
}

}  // namespace
}  // namespace millrace
