#include "pipeline/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using test::UsageErrorOf;
using test::WriteText;
using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// The shortest recipe that says all it must.
const std::string kShortest = R"(
[data.train]
ops = [{ op = "random_resized_crop", size = 8 }]
[batch]
per_device = 4
[train]
epochs = 2
)";

class RecipeTest : public testing::Test {
 protected:
  fs::path Write(const std::string& name, const std::string& text) const {
    WriteText(folder_ / name, text);
    return folder_ / name;
  }

  Recipe Load(const std::string& text, const std::vector<std::string>& overrides = {}) const {
    return Recipe::Load(Write("recipe.toml", text), overrides);
  }

  // The error of loading `path` without the folder's name.
  std::string ErrorOfFile(const fs::path& path,
                          const std::vector<std::string>& overrides = {}) const {
    std::string text = UsageErrorOf([&] { (void)Recipe::Load(path, overrides); });
    const std::string folder = folder_.path().string() + "/";
    for (std::size_t at; (at = text.find(folder)) != std::string::npos;) {
      text.erase(at, folder.size());
    }
    return text;
  }

  std::string ErrorOf(const std::string& text,
                      const std::vector<std::string>& overrides = {}) const {
    return ErrorOfFile(Write("recipe.toml", text), overrides);
  }

  // The error of the shortest recipe with one setting more.
  std::string ErrorWith(const std::string& assignment) const {
    return ErrorOf(kShortest, {assignment});
  }

  // As the operations would.
  static void ReadOps(const Recipe& recipe) {
    for (const Params& op : recipe.train.ops) {
      op.Text("op");
      op.Integer("size");
    }
  }

  const test::TemporaryFolder folder_;
};

TEST_F(RecipeTest, WhatIsLeftOutHasTheDocumentedDefaults) {
  const Recipe recipe = Load(kShortest);
  EXPECT_EQ(recipe.name, "recipe");
  EXPECT_EQ(recipe.seed, 0u);
  EXPECT_FALSE(recipe.deterministic);
  EXPECT_EQ(recipe.data_path, "");
  EXPECT_EQ(recipe.local_copy, "");
  EXPECT_THAT(recipe.mean, ElementsAre(0.485f, 0.456f, 0.406f));
  EXPECT_THAT(recipe.std, ElementsAre(0.229f, 0.224f, 0.225f));
  EXPECT_EQ(recipe.decode_mode, stages::DecodeMode::kExact);
  EXPECT_EQ(recipe.train.split, "train");
  EXPECT_EQ(recipe.train.shuffle, Shuffle::kFull);
  EXPECT_EQ(recipe.train.ops.size(), 1u);
  EXPECT_FALSE(recipe.val);
  EXPECT_EQ(recipe.per_device, 4u);
  EXPECT_EQ(recipe.global_batch, 0u);
  EXPECT_EQ(recipe.evaluate_per_device, 0u);
  EXPECT_EQ(recipe.reference_batch, 0u);
  EXPECT_EQ(recipe.epochs, 2u);
  EXPECT_EQ(recipe.max_steps, 0u);
  EXPECT_EQ(recipe.validate_every_epochs, 1u);
  EXPECT_EQ(recipe.log_every_steps, 10u);
  EXPECT_EQ(recipe.checkpoint_every_steps, 1000u);
  EXPECT_EQ(recipe.checkpoint_keep, 1u);
  EXPECT_EQ(recipe.checkpoint_best, 1u);
  EXPECT_EQ(recipe.workers, 0u);
  EXPECT_EQ(recipe.num_slots, 0u);
  EXPECT_FALSE(recipe.read_ahead);
  EXPECT_EQ(recipe.cpu_budget, 0u);
  EXPECT_NO_THROW(Load(kShortest, {"data.train.ops = []", "data.train.ops = [{ op = 'x' }]"}));
}

TEST_F(RecipeTest, EverySettingOfThePipelineIsRead) {
  const Recipe recipe = Load(R"(
name = "full"
seed = 9223372036854775807
deterministic = true
plugins = []
[data]
path = "data/set"
local_copy = "scratch"
normalize = { mean = [0, 0.5, 1], std = [1, 2.5, 3] }
[data.train]
split = "t"
shuffle = "none"
ops = [{ op = "a" }, { op = "b" }]
[data.val]
split = "v"
shuffle = "none"
ops = [{ op = "c" }]
[decode]
mode = "fast"
[batch]
per_device = 16
global = 64
evaluate_per_device = 32
reference = 256
[precision]
amp = "off"
[train]
epochs = 90
max_steps = 5000000000
validate_every_epochs = 0
log_every_steps = 1
[checkpoint]
every_steps = 0
keep = 3
best = 0
[pipeline]
workers = 7
slots = 9
read_ahead = 3
cpu_budget = 11
[tracking]
system = "none"
)");
  EXPECT_EQ(recipe.name, "full");
  EXPECT_EQ(recipe.seed, 9223372036854775807u);
  EXPECT_TRUE(recipe.deterministic);
  EXPECT_EQ(recipe.data_path, "data/set");
  EXPECT_EQ(recipe.local_copy, "scratch");
  EXPECT_THAT(recipe.mean, ElementsAre(0, 0.5f, 1));
  EXPECT_THAT(recipe.std, ElementsAre(1, 2.5f, 3));
  EXPECT_EQ(recipe.decode_mode, stages::DecodeMode::kFast);
  EXPECT_EQ(recipe.train.split, "t");
  EXPECT_EQ(recipe.train.shuffle, Shuffle::kNone);
  EXPECT_EQ(recipe.train.ops.size(), 2u);
  ASSERT_TRUE(recipe.val);
  EXPECT_EQ(recipe.val->split, "v");
  EXPECT_EQ(recipe.val->ops.size(), 1u);
  EXPECT_EQ(recipe.per_device, 16u);
  EXPECT_EQ(recipe.global_batch, 64u);
  EXPECT_EQ(recipe.evaluate_per_device, 32u);
  EXPECT_EQ(recipe.reference_batch, 256u);
  EXPECT_EQ(recipe.epochs, 90u);
  EXPECT_EQ(recipe.max_steps, 5'000'000'000u);
  EXPECT_EQ(recipe.validate_every_epochs, 0u);
  EXPECT_EQ(recipe.log_every_steps, 1u);
  EXPECT_EQ(recipe.checkpoint_every_steps, 0u);
  EXPECT_EQ(recipe.checkpoint_keep, 3u);
  EXPECT_EQ(recipe.checkpoint_best, 0u);
  EXPECT_EQ(recipe.workers, 7u);
  EXPECT_EQ(recipe.num_slots, 9u);
  EXPECT_EQ(recipe.read_ahead, 3u);
  EXPECT_EQ(recipe.cpu_budget, 11u);
}

TEST_F(RecipeTest, ExtendsMergesSectionsAndLaterValuesWin) {
  Write("base/more/grandparent.toml", R"(
seed = 1
[train]
epochs = 1
max_steps = 7
[data.train]
ops = [{ op = "a" }, { op = "b" }]
[optimizer]
lr = 1.0
)");
  Write("base/parent.toml", R"(
extends = "more/grandparent.toml"
seed = 2
[train]
epochs = 2
[optimizer]
momentum = 0.9
)");
  const Recipe recipe = Load(R"(
extends = "base/parent.toml"
[train]
log_every_steps = 3
[batch]
per_device = 4
[data]
train.ops = [{ op = "c" }]
)");
  EXPECT_EQ(recipe.name, "recipe");
  EXPECT_EQ(recipe.seed, 2u);
  EXPECT_EQ(recipe.epochs, 2u);
  EXPECT_EQ(recipe.max_steps, 7u);
  EXPECT_EQ(recipe.log_every_steps, 3u);
  // Lists are replaced as a whole.
  ASSERT_EQ(recipe.train.ops.size(), 1u);
  EXPECT_EQ(recipe.train.ops[0].Text("op"), "c");
  const Params optimizer = recipe.params.Section("optimizer");
  EXPECT_EQ(optimizer.Number("lr"), 1.0);
  EXPECT_EQ(optimizer.Number("momentum"), 0.9);
  EXPECT_NO_THROW(recipe.RefuseUnknown());
}

TEST_F(RecipeTest, OverridesWinOverWhatIsExtendedAndLaterOverridesOverEarlierOnes) {
  Write("parent.toml", kShortest + "validate_every_epochs = 5\n");
  const Recipe recipe = Load("extends = \"parent.toml\"\n[train]\nvalidate_every_epochs = 6\n",
                             {"train.validate_every_epochs=7", "train.validate_every_epochs=8"});
  EXPECT_EQ(recipe.validate_every_epochs, 8u);
}

TEST_F(RecipeTest, FilesOfModelsAreRelativeToTheRecipeThatNamesThem) {
  fs::create_directory(folder_ / "base");
  Write("base/model.toml", kShortest + "[model]\ntorchscript = \"net.pt\"\n");
  const fs::path child = Write("child.toml", "extends = \"base/model.toml\"\n");
  const auto file = [](const Recipe& recipe) {
    return recipe.params.Section("model").Text("torchscript");
  };
  EXPECT_EQ(file(Recipe::Load(child, {})), (folder_ / "base/net.pt").string());
  EXPECT_EQ(file(Recipe::Load(child, {"model.torchscript=/else/net.pt"})), "/else/net.pt");
  EXPECT_EQ(file(Recipe::Load(child, {"model.torchscript=../net.pt"})),
            (fs::current_path().parent_path() / "net.pt").string());
  EXPECT_EQ(file(Recipe::Load(child, {"model.torchscript="})), "");
}

TEST_F(RecipeTest, CircleOfExtendsIsAnErrorThatShowsIt) {
  Write("a.toml", "extends = \"b.toml\"\n");
  const fs::path b = Write("b.toml", "extends = \"sub/../a.toml\"\n");
  fs::create_directory(folder_ / "sub");
  EXPECT_EQ(ErrorOfFile(b),
            "sub/../a.toml: extends: the recipes extend one another in a circle: b.toml -> "
            "sub/../a.toml -> sub/../b.toml");
  EXPECT_EQ(ErrorOf("extends = \"recipe.toml\""),
            "recipe.toml: extends: the recipes extend one another in a circle: recipe.toml -> "
            "recipe.toml");
  EXPECT_EQ(ErrorOf("extends = \"b.toml\""),
            "sub/../a.toml: extends: the recipes extend one another in a circle: recipe.toml -> "
            "b.toml -> sub/../a.toml -> sub/../b.toml");
}

TEST_F(RecipeTest, MissingRecipeIsNamed) {
  EXPECT_EQ(ErrorOfFile(folder_ / "none.toml"), "there is no recipe none.toml");
  EXPECT_EQ(ErrorOfFile(folder_.path()), "there is no recipe " + folder_.path().string());
  EXPECT_EQ(ErrorOf("extends = \"base/none.toml\""),
            "recipe.toml: extends: there is no recipe base/none.toml");
}

TEST_F(RecipeTest, ExtendsOfAnotherTypeIsAnError) {
  for (const char* value : {"3", "['a.toml']", "true", "{}"}) {
    EXPECT_EQ(ErrorOf(std::string("extends = ") + value),
              "recipe.toml: extends: must be the path of a recipe in quotes");
  }
}

TEST_F(RecipeTest, FaultOfAnExtendedFileNamesThatFile) {
  Write("parent.toml", "a = \n");
  EXPECT_THAT(ErrorOf("extends = \"parent.toml\""), StartsWith("parent.toml:1:"));
}

TEST_F(RecipeTest, SyntaxErrorNamesLineAndColumn) {
  EXPECT_THAT(ErrorOf("seed = 1\nname = = 2\n"), StartsWith("recipe.toml:2:8: "));
  EXPECT_THAT(ErrorOf("[train\n"), StartsWith("recipe.toml:1:"));
  EXPECT_THAT(ErrorOf("seed = 1\n\n\nseed = 2\n"), StartsWith("recipe.toml:4:"));
  EXPECT_THAT(ErrorOf("name = \"\xff\"\n"), StartsWith("recipe.toml:1:"));
}

TEST_F(RecipeTest, OverridesHaveTheTypesOfToml) {
  const Recipe recipe =
      Load(kShortest,
           {"x.flag=true", "x.count=-3", "x.rate = 5e-4", "x.text='a b'", "x.quoted=\"5\"",
            "x.list=[1, 2]", "x.table={ y = 1 }", "x.word=resnet50", "x.path=/data/my set/v1.2",
            "x.equation=a=b", "x.version=1.2.3", "x.empty=", "x.deep.er.key=1", "\"odd key\".z=2"});
  const Params x = recipe.params.Section("x");
  EXPECT_TRUE(x.Flag("flag"));
  EXPECT_EQ(x.Integer("count"), -3);
  EXPECT_EQ(x.Number("rate"), 5e-4);
  EXPECT_EQ(x.Text("text"), "a b");
  EXPECT_EQ(x.Text("quoted"), "5");
  EXPECT_THAT(x.Integers("list"), ElementsAre(1, 2));
  EXPECT_EQ(x.Section("table").Integer("y"), 1);
  EXPECT_EQ(x.Text("word"), "resnet50");
  EXPECT_EQ(x.Text("path"), "/data/my set/v1.2");
  EXPECT_EQ(x.Text("equation"), "a=b");
  EXPECT_EQ(x.Text("version"), "1.2.3");
  EXPECT_EQ(x.Text("empty"), "");
  EXPECT_EQ(x.Section("deep").Section("er").Integer("key"), 1);
  EXPECT_EQ(recipe.params.Section("odd key").Integer("z"), 2);
  ReadOps(recipe);
  EXPECT_NO_THROW(recipe.RefuseUnknown());
}

TEST_F(RecipeTest, OverrideOfOneKeyLeavesItsNeighbours) {
  const Recipe recipe = Load(kShortest, {"train.max_steps=9", "name=other"});
  EXPECT_EQ(recipe.epochs, 2u);
  EXPECT_EQ(recipe.max_steps, 9u);
  EXPECT_EQ(recipe.name, "other");
}

TEST_F(RecipeTest, OverrideThatIsNoAssignmentIsAnError) {
  EXPECT_EQ(ErrorWith("train.epochs"), "--set train.epochs: write section.key=value");
  EXPECT_EQ(ErrorWith("=5"), "--set =5: write section.key=value");
  EXPECT_EQ(ErrorWith(""), "--set : write section.key=value");
  EXPECT_THAT(ErrorWith("a b=5"), StartsWith("--set a b=5: "));
  EXPECT_THAT(ErrorWith("[train]=5"), StartsWith("--set [train]=5: "));
  EXPECT_THAT(ErrorWith("train..epochs=5"), StartsWith("--set train..epochs=5: "));
}

TEST_F(RecipeTest, OverrideThatWouldHaveNoEffectIsAnError) {
  EXPECT_EQ(ErrorWith("#seed=5"), "--set #seed=5: write section.key=value");
  EXPECT_EQ(ErrorWith("#seed=\x01"), "--set #seed=\x01: write section.key=value");
  EXPECT_EQ(ErrorWith("seed=5\nname='x'"), "--set seed=5\nname='x': write one setting at a time");
}

TEST_F(RecipeTest, TextThatIsNotUtf8IsAnError) {
  EXPECT_EQ(ErrorWith("name=\xff"), "--set name=\xff: the value is not UTF-8 text");
}

TEST_F(RecipeTest, DatesAndTimesAreRefused) {
  for (const char* value : {"2026-01-01", "12:00:00", "2026-01-01T00:00:00Z"}) {
    EXPECT_EQ(ErrorWith(std::string("train.epochs=") + value),
              "recipe.toml: train.epochs: dates and times have no meaning in a recipe");
  }
  EXPECT_EQ(ErrorWith("optimizer.x=[1, { y = 12:00:00 }]"),
            "recipe.toml: optimizer.x[1].y: dates and times have no meaning in a recipe");
}

TEST_F(RecipeTest, InfinityAndNanAreRefused) {
  EXPECT_EQ(ErrorWith("optimizer.lr=inf"),
            "recipe.toml: optimizer.lr: is inf; it must be a finite number");
  EXPECT_EQ(ErrorWith("optimizer.lr=-inf"),
            "recipe.toml: optimizer.lr: is -inf; it must be a finite number");
  EXPECT_EQ(ErrorWith("optimizer.lrs=[1.0, nan]"),
            "recipe.toml: optimizer.lrs[1]: is nan; it must be a finite number");
}

TEST_F(RecipeTest, MissingSettingsAreNamed) {
  EXPECT_THAT(ErrorOf(""), StartsWith("recipe.toml: data.train.ops: is missing; it must list at "
                                      "least one operation"));
  EXPECT_THAT(ErrorWith("data.train.ops=[]"),
              StartsWith("recipe.toml: data.train.ops: is missing"));
  EXPECT_THAT(ErrorWith("data.val.split='v'"), StartsWith("recipe.toml: data.val.ops: is missing"));
  EXPECT_EQ(ErrorWith("batch.per_device=0"),
            "recipe.toml: batch.per_device: is missing; give batch.per_device or batch.global");
  EXPECT_EQ(ErrorOf("[data.train]\nops=[{}]\n[batch]\nglobal=4\n"),
            "recipe.toml: train.epochs: is missing; it must be a whole number");
}

TEST_F(RecipeTest, ValuesOutsideTheirLimitsAreErrors) {
  struct Case {
    const char* key;
    const char* value;
    const char* limits;
  };
  for (const auto& [key, value, limits] :
       {Case{"seed", "-1", "at least 0"},
        {"batch.per_device", "-1", "between 0 and 1048576"},
        {"batch.per_device", "1048577", "between 0 and 1048576"},
        {"batch.global", "-1", "between 0 and 16777216"},
        {"batch.global", "16777217", "between 0 and 16777216"},
        {"batch.evaluate_per_device", "-1", "between 0 and 1048576"},
        {"batch.reference", "-1", "between 0 and 16777216"},
        {"data.train.repeats", "0", "between 1 and 4096"},
        {"train.epochs", "0", "between 1 and 2147483647"},
        {"train.epochs", "2147483648", "between 1 and 2147483647"},
        {"train.max_steps", "-1", "at least 0"},
        {"train.validate_every_epochs", "-1", "between 0 and 2147483647"},
        {"train.log_every_steps", "0", "between 1 and 2147483647"},
        {"checkpoint.every_steps", "-1", "at least 0"},
        {"checkpoint.keep", "0", "between 1 and 1048576"},
        {"checkpoint.best", "-1", "between 0 and 1048576"},
        {"pipeline.workers", "0", "between 1 and 1024"},
        {"pipeline.workers", "1025", "between 1 and 1024"},
        {"pipeline.slots", "65537", "between 1 and 65536"},
        {"pipeline.read_ahead", "-1", "between 0 and 65536"},
        {"pipeline.cpu_budget", "-2", "between 1 and 1024"}}) {
    EXPECT_EQ(ErrorWith(std::string(key) + "=" + value),
              std::string("recipe.toml: ") + key + ": is " + value + "; it must be " + limits);
  }
}

TEST_F(RecipeTest, RepeatsThatNeverShowTheOtherSamplesAreAnError) {
  constexpr const char* kRepeats = "data.train.repeats=4";
  for (const char* shuffle : {"full", "blocks"}) {
    EXPECT_EQ(ErrorOf(kShortest, {kRepeats, std::string("data.train.shuffle=") + shuffle}), "");
  }
  EXPECT_EQ(ErrorOf(kShortest, {kRepeats, "data.train.shuffle=none"}),
            "recipe.toml: data.train.repeats: shows a 1/4 of the samples in each epoch, always the "
            "same ones with shuffle = \"none\"; use another, or remove it");
}

TEST_F(RecipeTest, ValuesOfAnotherTypeAreErrors) {
  struct Case {
    const char* key;
    const char* value;
    const char* problem;
  };
  for (const auto& [key, value, problem] : {
           Case{"name", "5", "is 5; it must be a text in quotes"},
           {"seed", "1.5", "is 1.5; it must be a whole number"},
           {"seed", "", "is \"\"; it must be a whole number"},
           {"deterministic", "1", "is 1; it must be true or false"},
           {"plugins", "'a.so'", "is \"a.so\"; it must be a list of paths in quotes"},
           {"data", "5", "is 5; it must be a section"},
           {"data.path", "[]", "is []; it must be a text in quotes"},
           {"data.normalize", "5", "is 5; it must be a section"},
           {"data.normalize.mean", "0.5", "is 0.5; it must be a list of numbers"},
           {"data.normalize.mean", "[1, 2]", "must have three numbers, for red, green and blue"},
           {"data.normalize.std", "[1, 2, 3, 4]",
            "must have three numbers, for red, green and blue"},
           {"data.normalize.std", "[1, 0, 1]", "must be positive in every channel"},
           {"data.normalize.std", "[1, 1, -1]", "must be positive in every channel"},
           {"data.train.split", "5", "is 5; it must be a text in quotes"},
           {"data.train.shuffle", "ful",
            "is \"ful\"; it must be one of full, blocks, none; did you mean \"full\"?"},
           {"data.train.ops", "5", "must be a list of sections"},
           {"data.train.ops", "['flip']", "entry 0 is \"flip\"; it must be a section { ... }"},
           {"batch.per_device", "4.0", "is 4.0; it must be a whole number"},
           {"train", "'long'", "is \"long\"; it must be a section"},
           {"train.epochs", "many", "is \"many\"; it must be a whole number"},
           {"decode", "fast", "is \"fast\"; it must be a section"},
           {"decode.mode", "fats",
            "is \"fats\"; it must be one of exact, fast; did you mean \"fast\"?"},
           {"train.cuda_graph", "on", "is \"on\"; it must be one of auto, off"},
           {"tracking.system", "wandb",
            "is \"wandb\"; it must be one of auto, none, mlflow, polyaxon, clearml"},
           {"pipeline.workers", "lots", "must be \"auto\" or a whole number"},
           {"pipeline.slots", "1.5", "must be \"auto\" or a whole number"},
           {"pipeline.cpu_budget", "true", "must be \"auto\" or a whole number"},
       }) {
    EXPECT_EQ(ErrorWith(std::string(key) + "=" + value),
              std::string("recipe.toml: ") + key + ": " + problem);
  }
}

TEST_F(RecipeTest, ShuffledValidationIsRefusedBecauseItHasNoEffect) {
  EXPECT_EQ(ErrorOf(kShortest, {"data.val.ops=[{ op = 'x' }]", "data.val.shuffle=full"}),
            "recipe.toml: data.val.shuffle: has no effect: evaluation counts every sample once, in "
            "any order");
}

TEST_F(RecipeTest, EvaluatedTrainingSamplesComeFromTheTrainingSplitThroughItsOperations) {
  const std::vector<std::string> settings = {
      "data.train.split=t", "data.train.ops=[{ op = 'a' }, { op = 'b' }]",
      "data.val.ops=[{ op = 'x' }]", "data.train_eval.limit=50_000"};
  const Recipe recipe = Load(kShortest, settings);
  ASSERT_TRUE(recipe.train_eval);
  EXPECT_EQ(recipe.train_eval->split, "t");
  EXPECT_EQ(recipe.train_eval->shuffle, Shuffle::kNone);
  EXPECT_EQ(recipe.train_eval->limit, 50'000u);
  ASSERT_EQ(recipe.train_eval->ops.size(), 2u);
  EXPECT_EQ(recipe.train_eval->ops[1].Text("op"), "b");
  // They are among the settings that took effect.
  EXPECT_THAT(recipe.ToToml(),
              ContainsRegex("\\[data.train_eval\\]\nlimit = 50000\n[^[]*ops = \\["));
  EXPECT_FALSE(Load(kShortest, {settings.begin(), settings.begin() + 3}).train_eval);

  std::vector<std::string> own = settings;
  own.insert(own.end(), {"data.train_eval.split=s", "data.train_eval.ops=[{ op = 'c' }]"});
  const Recipe with_own = Load(kShortest, own);
  EXPECT_EQ(with_own.train_eval->split, "s");
  ASSERT_EQ(with_own.train_eval->ops.size(), 1u);
  EXPECT_EQ(with_own.train_eval->ops[0].Text("op"), "c");
}

TEST_F(RecipeTest, EvaluationOfTrainingSamplesThatCannotBeIsRefused) {
  const std::string val = "data.val.ops=[{ op = 'x' }]";
  EXPECT_EQ(ErrorOf(kShortest, {"data.train_eval.limit=5"}),
            "recipe.toml: data.train_eval: has no effect: it is evaluated with each validation, "
            "and there is no [data.val]");
  EXPECT_EQ(ErrorOf(kShortest, {val, "data.train_eval.shuffle=blocks"}),
            "recipe.toml: data.train_eval.shuffle: has no effect: evaluation counts every sample "
            "once, in any order");
  EXPECT_THAT(ErrorOf(kShortest, {val, "data.train_eval.ops=[]"}),
              testing::StartsWith("recipe.toml: data.train_eval.ops: is missing; "));
  const Recipe mixed = Load(kShortest, {val, "data.train_eval.mix=[{ op = 'mixup' }]"});
  ReadOps(mixed);
  mixed.val->ops[0].Text("op");
  mixed.train_eval->ops[0].Text("op");
  mixed.train_eval->ops[0].Integer("size");
  EXPECT_THAT(UsageErrorOf([&] { mixed.RefuseUnknown(); }),
              HasSubstr("data.train_eval.mix: is not a setting that is read here"));
}

TEST_F(RecipeTest, AutoIsTheDefaultOfThePipelineSection) {
  const Recipe recipe = Load(
      kShortest, {"pipeline.workers=auto", "pipeline.slots='auto'", "pipeline.read_ahead=auto"});
  EXPECT_EQ(recipe.workers, 0u);
  EXPECT_EQ(recipe.num_slots, 0u);
  EXPECT_FALSE(recipe.read_ahead);
}

TEST_F(RecipeTest, WhatEvaluationsShowIsRefusedWhereThereAreNone) {
  for (const std::string key : {"pictures", "histograms"}) {
    for (const char* value : {"=0", "=12", "=true"}) {
      EXPECT_THAT(UsageErrorOf([&] { Load(kShortest, {"tracking." + key + value}); }),
                  EndsWith("recipe.toml: tracking." + key +
                           ": has no effect: it belongs to evaluations, and there is no "
                           "[data.val]"));
    }
  }
  const Recipe shortest = Load(kShortest);
  EXPECT_EQ(shortest.pictures, 0u);
  EXPECT_FALSE(shortest.histograms);
  const std::vector<std::string> val = {"data.val.ops=[{ op = 'center_crop', size = 8 }]"};
  const Recipe with = Load(kShortest, val);
  EXPECT_EQ(with.pictures, 12u);
  EXPECT_TRUE(with.histograms);
  EXPECT_THAT(UsageErrorOf([&] {
                Load(kShortest, {val[0], "tracking.pictures=65"});
              }),
              EndsWith("recipe.toml: tracking.pictures: is 65; it must be between 0 and 64"));
}

TEST_F(RecipeTest, KeysThatNobodyReadsAreRefusedWithASuggestion) {
  const auto refusal = [&](const std::string& assignment) {
    const Recipe recipe = Load(kShortest, {assignment});
    ReadOps(recipe);
    std::string text = UsageErrorOf([&] { recipe.RefuseUnknown(); });
    return text.substr(std::min(text.size(), folder_.path().string().size() + 1));
  };
  EXPECT_EQ(refusal("seed=1"), "");
  EXPECT_EQ(refusal("seeed=1"),
            "recipe.toml: seeed: is not a setting that is read here; did you mean \"seed\"?");
  EXPECT_EQ(refusal("train.epoch=1"),
            "recipe.toml: train.epoch: is not a setting that is read "
            "here; did you mean \"epochs\"?");
  EXPECT_EQ(refusal("checkpoint.evrey_steps=1"),
            "recipe.toml: checkpoint.evrey_steps: is not a setting that is read here; did you mean "
            "\"every_steps\"?");
  EXPECT_EQ(refusal("data.train.ops=[{ op = 'x', size = 3 }, { op = 'y', size = 4, sise = 5 }]"),
            "recipe.toml: data.train.ops[1].sise: is not a setting that is read here; did you mean "
            "\"size\"?");
  EXPECT_EQ(refusal("sede=1"),
            "recipe.toml: sede: is not a setting that is read here; did you mean \"seed\"?");
  EXPECT_EQ(refusal("tracking.zzz=1"),
            "recipe.toml: tracking.zzz: is not a setting that is read here; there are histograms, "
            "pictures, sinks, system");
  EXPECT_THAT(refusal("data.test.split=a"),
              StartsWith("recipe.toml: data.test: is not a setting that is read here; "));
}

// Reads everything below `params`, as components would.
void ReadAll(const Params& params, const nlohmann::json& values) {
  for (const auto& [key, value] : values.items()) {
    if (value.is_object()) {
      ReadAll(params.Section(key), value);
    } else if (value.is_array() && !value.empty() && value.front().is_object()) {
      const auto sections = params.Sections(key);
      for (std::size_t i = 0; i < sections.size(); ++i) ReadAll(sections[i], value[i]);
    } else {
      (void)params.RawJson(key, "null");
    }
  }
}

TEST_F(RecipeTest, EffectiveSettingsReadBackGiveThemselves) {
  const nlohmann::json components = {
      {"optimizer", {{"lr", 0}, {"decay", 0}, {"tiny", 0}, {"third", 0}, {"whole", 0}}},
      {"model", {{"name", 0}, {"odd", 0}, {"layers", 0}}}};
  const nlohmann::json op = {{"op", 0}, {"size", 0}};
  const auto load = [&](const fs::path& path) {
    Recipe recipe = Recipe::Load(path, {});
    ReadAll(recipe.params, components);
    for (const Params& section : recipe.train.ops) ReadAll(section, op);
    return recipe;
  };
  const std::string first = load(Write("recipe.toml", kShortest + R"(
[optimizer]
lr = 0.1
decay = 5e-4
tiny = 1.2345678901234567e-300
third = 0.3333333333333333
whole = 2.0
[model]
name = "a \"quoted\" \\ name\nwith é and \u0001"
odd = true
layers = [[1, 2], [3]]
[data.normalize]
mean = [0.1, 0, 1]
)"))
                                .ToToml();
  EXPECT_THAT(first,
              AllOf(HasSubstr("name = \"recipe\""), HasSubstr("seed = 0"), HasSubstr("epochs = 2"),
                    HasSubstr("workers = \"auto\""), HasSubstr("keep = 1"), HasSubstr("size = 8")));
  const Recipe again = load(Write("config.toml", first));
  EXPECT_EQ(again.ToToml(), first);
  const Params optimizer = again.params.Section("optimizer");
  EXPECT_EQ(optimizer.Number("tiny"), 1.2345678901234567e-300);
  EXPECT_EQ(optimizer.Number("third"), 0.3333333333333333);
  EXPECT_EQ(again.params.Section("model").Text("name"), "a \"quoted\" \\ name\nwith é and \x01");
  EXPECT_NO_THROW(again.RefuseUnknown());
}

TEST(DifferingSettings, EachChangedAddedAndRemovedSettingIsALine) {
  const std::string before =
      "seed = 1\nname = \"a\"\n[optimizer]\nlr = 0.1\nnesterov = true\n"
      "[data.train]\nops = [{ op = \"flip\" }]\n";
  const std::string now =
      "seed = 1\nname = \"b\"\n[optimizer]\nlr = 0.05\nmomentum = 0.9\n"
      "[data.train]\nops = [{ op = \"flip\", p = 0.25 }]\n";
  std::vector<std::string> lines;
  for (const DifferingSetting& setting : DifferingSettings(before, now)) {
    lines.push_back(setting.Text());
  }
  EXPECT_THAT(lines,
              ElementsAre("data.train.ops: [{ op = \"flip\" }] before, "
                          "[{ op = \"flip\", p = 0.25 }] now",
                          "name: \"a\" before, \"b\" now", "optimizer.lr: 0.1 before, 0.05 now",
                          "optimizer.momentum: not set before, 0.9 now",
                          "optimizer.nesterov: true before, not set now"));
  EXPECT_TRUE(DifferingSettings(before, before).empty());
}

TEST(DifferingSettings, WhatIsNotTomlIsAnError) {
  EXPECT_THAT(test::ErrorOf([] { (void)DifferingSettings("lr = = 1", "lr = 1\n"); }),
              StartsWith("a recipe that was kept is damaged: "));
}

}  // namespace
}  // namespace millrace::pipeline
