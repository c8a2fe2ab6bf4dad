#include "pipeline/plugins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/sha256.h"
#include "pipeline/plugin.h"
#include "pipeline/recipe.h"
#include "stages/transform.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::UsageErrorOf;
using test::WriteText;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kWhere = "recipe.toml: plugins";

class PluginsTest : public testing::Test {
 protected:
  static fs::path Built(const std::string& name) {
    return fs::path(MILLRACE_TEST_PLUGINS) / ("lib" + name + ".so");
  }

  static std::string PinError(json list) {
    return UsageErrorOf([&] { PinPlugins(&list, kWhere); });
  }

  static std::string LoadError(const fs::path& file) {
    return UsageErrorOf([&] { LoadPlugins({{.file = file, .sha256 = {}}}, kWhere); });
  }

  // A copy of a plugin in which one text is another one of the same length.
  fs::path Changed(const std::string& name, const std::string& from, const std::string& to) const {
    std::string bytes = ReadFile(Built(name));
    const std::size_t at = bytes.find(MILLRACE_PLUGIN_ABI_MARK);
    const std::size_t begin = bytes.find(from, at);
    EXPECT_LT(begin, at + 100) << "no " << from;
    bytes.replace(begin, from.size(), to);
    WriteText(folder_ / "changed.so", bytes);
    return folder_ / "changed.so";
  }

  const test::TemporaryFolder folder_;
};

TEST_F(PluginsTest, OperationOfAPluginIsKnownBesideTheProgramsOwn) {
  const auto known = LoadPlugins({{.file = Built("darken"), .sha256 = {}}}, kWhere);
  EXPECT_NE(known->operations.pixels.Find("invert"), nullptr);
  const stages::PixelOpMaker* make = known->operations.pixels.Find("darken");
  ASSERT_NE(make, nullptr);
  const auto op = (*make)(Params::FromJson(R"({"by": 2})", "op"), {1, 1});
  std::vector<std::uint8_t> pixel = {10, 201, 0};
  op->Apply(RandomStream(RandomKey{}, 0), nullptr, {.data = pixel.data(), .size = {1, 1}});
  EXPECT_THAT(pixel, ElementsAre(5, 100, 0));
  EXPECT_EQ(UsageErrorOf([&] {
              (*make)(Params::FromJson(R"({"by": 0})", "op"), {1, 1});
            }),
            "op: by: is 0; it must be between 1 and 255");
  // The program itself has no more than before.
  EXPECT_EQ(BuiltInComponents()->operations.pixels.Find("darken"), nullptr);
}

TEST_F(PluginsTest, EntryBecomesTheFileWithItsHash) {
  const std::string file = Built("darken").string();
  json list = {file};
  const std::vector<Plugin> plugins = PinPlugins(&list, kWhere);
  const std::string sha256 = Sha256OfFile(file);
  EXPECT_EQ(list, json({{{"file", file}, {"sha256", sha256}}}));
  ASSERT_EQ(plugins.size(), 1u);
  EXPECT_EQ(plugins[0].Text(), "libdarken.so " + sha256);
  // And stays what it is.
  EXPECT_EQ(PinPlugins(&list, kWhere)[0].sha256, sha256);
}

TEST_F(PluginsTest, EntryOfAnotherKindIsAnError) {
  const std::string must =
      "it must be the path of a plugin, or { file, sha256 } with the hash that it must have";
  EXPECT_EQ(PinError("a.so"),
            "recipe.toml: plugins: is \"a.so\"; it must be a list of paths in quotes");
  EXPECT_EQ(PinError({5}), "recipe.toml: plugins[0]: is 5; " + must);
  EXPECT_EQ(PinError({{{"file", "a.so"}}}),
            "recipe.toml: plugins[0]: is {\"file\":\"a.so\"}; " + must);
  EXPECT_EQ(PinError({{{"file", "a.so"}, {"sha256", 5}}}),
            "recipe.toml: plugins[0]: is {\"file\":\"a.so\",\"sha256\":5}; " + must);
}

TEST_F(PluginsTest, FileThatIsNotThereIsAnError) {
  EXPECT_EQ(PinError({Built("darken").string(), "build/none.so"}),
            "recipe.toml: plugins[1]: there is no plugin build/none.so; build it, or remove the "
            "entry");
}

TEST_F(PluginsTest, PathThatIsNoTextIsAnError) {
  EXPECT_EQ(PinError({"build/\xff.so"}),
            "recipe.toml: plugins[0]: build/\uFFFD.so: the path of a plugin must be UTF-8 text");
}

TEST_F(PluginsTest, FileWithAnotherHashIsAnError) {
  const std::string file = Built("darken").string();
  EXPECT_EQ(PinError({{{"file", file}, {"sha256", "5e88"}}}),
            "recipe.toml: plugins[0]: " + file +
                " is another file than the one that was meant: its SHA-256 is " +
                Sha256OfFile(file) + ", not 5e88; give its path alone to take it as it is");
}

TEST_F(PluginsTest, FileOfAnotherKindIsNoPlugin) {
  WriteText(folder_ / "text.so", "no library at all");
  EXPECT_EQ(LoadError(folder_ / "text.so"),
            "recipe.toml: plugins[0]: " + (folder_ / "text.so").string() +
                ": is no plugin: it was built without MILLRACE_PLUGIN");
}

TEST_F(PluginsTest, PluginOfAnotherBuildIsRefusedBeforeAnythingOfItRuns) {
  ::unsetenv("MILLRACE_TEST_PLUGIN");
  const fs::path changed = Changed("darken", "(headers ", "(footers ");
  const std::string error = LoadError(changed);
  EXPECT_THAT(error, StartsWith("recipe.toml: plugins[0]: " + changed.string() +
                                ": was built for millrace "));
  EXPECT_THAT(error, HasSubstr("(footers "));
  EXPECT_THAT(error, HasSubstr("; this program is millrace "));
  EXPECT_THAT(error, HasSubstr("(headers "));
  EXPECT_THAT(error, HasSubstr(": build it again, with this program's package"));
  EXPECT_EQ(std::getenv("MILLRACE_TEST_PLUGIN"), nullptr);
}

TEST_F(PluginsTest, PluginThatNeedsWhatTheProgramHasNotIsAnError) {
  EXPECT_THAT(LoadError(Built("unresolved")),
              testing::AllOf(StartsWith("recipe.toml: plugins[0]: " + Built("unresolved").string() +
                                        ": cannot be loaded: "),
                             HasSubstr("undefined symbol"), HasSubstr("NobodyHasThis")));
}

TEST_F(PluginsTest, NameThatThereIsAlreadyIsAnError) {
  const std::string taken = ", which there is already; give it another name";
  EXPECT_EQ(LoadError(Built("taken")), "recipe.toml: plugins[0]: " + Built("taken").string() +
                                           ": adds the operation \"center_crop\"" + taken);
  const Plugin darken{.file = Built("darken"), .sha256 = {}};
  EXPECT_EQ(UsageErrorOf([&] {
              LoadPlugins({darken, darken}, kWhere);
            }),
            "recipe.toml: plugins[1]: " + darken.file.string() + ": adds the operation \"darken\"" +
                taken);
}

TEST_F(PluginsTest, EveryKindOfComponentHasItsNamesOnce) {
  Components components = *BuiltInComponents();
  Registry registry(&components);
  registry.AddGeometryOp("x", nullptr);
  registry.AddNetwork("x", nullptr);
  registry.AddLoss("x", nullptr);
  registry.AddOptimizer("x", nullptr);
  registry.AddSchedule("x", nullptr);
  registry.AddSink("x", nullptr);
  const std::string taken = " \"x\", which there is already; give it another name";
  EXPECT_EQ(UsageErrorOf([&] { registry.AddPixelOp("x", nullptr); }), "adds the operation" + taken);
  EXPECT_EQ(UsageErrorOf([&] { registry.AddGeometryOp("x", nullptr); }),
            "adds the operation" + taken);
  EXPECT_EQ(UsageErrorOf([&] { registry.AddNetwork("x", nullptr); }), "adds the network" + taken);
  EXPECT_EQ(UsageErrorOf([&] { registry.AddLoss("x", nullptr); }), "adds the loss" + taken);
  EXPECT_EQ(UsageErrorOf([&] { registry.AddOptimizer("x", nullptr); }),
            "adds the optimizer" + taken);
  EXPECT_EQ(UsageErrorOf([&] { registry.AddSchedule("x", nullptr); }), "adds the schedule" + taken);
  EXPECT_EQ(UsageErrorOf([&] { registry.AddSink("x", nullptr); }), "adds the sink" + taken);
}

TEST_F(PluginsTest, FailureOfAPluginNamesIt) {
  EXPECT_EQ(LoadError(Built("throwing")),
            "recipe.toml: plugins[0]: " + Built("throwing").string() + ": has no licence");
}

TEST_F(PluginsTest, PathIsRelativeToTheRecipeThatNamesIt) {
  fs::create_directories(folder_ / "base" / "build");
  fs::copy_file(Built("darken"), folder_ / "base" / "build" / "libdarken.so");
  WriteText(folder_ / "base" / "base.toml", R"(
plugins = ["build/libdarken.so"]
[data.train]
ops = [{ op = "random_resized_crop", size = 8 }, { op = "darken", by = 3 }]
[batch]
per_device = 4
[train]
epochs = 2
)");
  WriteText(folder_ / "mine.toml", "extends = 'base/base.toml'\n");
  const Recipe recipe = Recipe::Load(folder_ / "mine.toml", {});
  ASSERT_EQ(recipe.plugins.size(), 1u);
  EXPECT_EQ(recipe.plugins[0].file, folder_ / "base" / "build" / "libdarken.so");
  EXPECT_EQ(stages::Transform(recipe.train.ops, recipe.known->operations).output_size(),
            (stages::Size{8, 8}));
  // What a run keeps of it can be read from anywhere, and means the same file.
  WriteText(folder_ / "kept.toml", recipe.ToToml());
  EXPECT_EQ(Recipe::Load(folder_ / "kept.toml", {}).plugins[0].Text(), recipe.plugins[0].Text());
  EXPECT_THAT(recipe.ToToml(), HasSubstr("sha256 = \"" + recipe.plugins[0].sha256 + "\""));
  // Of a command line, to where that was typed.
  const fs::path here = fs::current_path();
  fs::current_path(folder_ / "base");
  EXPECT_EQ(Recipe::Load(folder_ / "mine.toml", {"plugins=['build/libdarken.so']"}).plugins[0].file,
            fs::current_path() / "build" / "libdarken.so");
  fs::current_path(here);
}

TEST_F(PluginsTest, RecipeWithoutPluginsKnowsWhatTheProgramHas) {
  EXPECT_EQ(LoadPlugins({}, kWhere), BuiltInComponents());
}

}  // namespace
}  // namespace millrace::pipeline
