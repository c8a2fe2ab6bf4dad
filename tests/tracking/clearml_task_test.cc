#include "tracking/clearml_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tracking/clearml_path.h"

namespace millrace::tracking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::ordered_json;

Json Item(const std::string& name, const std::string& value, const std::string& type = "str",
          const std::string& section = "General") {
  return {{"section", section}, {"name", name}, {"value", value}, {"type", type}};
}

// As a server gives it: items by section and name.
Json Task(const Json& items, const std::string& at_first) {
  Json task = {{"id", "x"}, {"hyperparams", Json::object()}};
  for (const Json& item : items) {
    task["hyperparams"][item["section"].get<std::string>()][item["name"].get<std::string>()] = item;
  }
  if (!at_first.empty()) task["configuration"]["recipe"] = ClearmlRecipeItem(at_first);
  return task;
}

TEST(ClearmlTask, SettingsThatDifferFromThoseAtFirstAreChanged) {
  const std::string at_first = ClearmlWithNewSettings(
      "", Json::array({Item("lr", "0.1", "float"), Item("seed", "0", "float"),
                       Item("path", "/data", "str", "Dataset")}));
  const Json items = Json::array({Item("lr", "0.2", "float"), Item("seed", "0", "float"),
                                  Item("path", "/other", "str", "Dataset"), Item("new", "1", "")});
  EXPECT_THAT(ClearmlChangedSettings(Task(items, at_first)), ElementsAre("lr=0.2", "new=1"));
}

TEST(ClearmlTask, WhatWasChangedOnceStaysChanged) {
  const std::string at_first =
      ClearmlWithNewSettings("", Json::array({Item("lr", "0.1", "float")}));
  // The run of the clone tells its settings.
  const Json told = Json::array({Item("lr", "0.2", "float"), Item("seed", "0", "float")});
  const std::string then = ClearmlWithNewSettings(at_first, told);
  EXPECT_EQ(ClearmlSettingsAtFirst(Task(told, then)), then);
  EXPECT_THAT(ClearmlChangedSettings(Task(told, then)), ElementsAre("lr=0.2"));
  EXPECT_EQ(ClearmlWithNewSettings(then, told), then);
}

TEST(ClearmlTask, TaskWithoutSettingsAtFirstHasAllOfThemChanged) {
  EXPECT_THAT(ClearmlChangedSettings(Task(Json::array({Item("a.b", "1", "")}), "")),
              ElementsAre("a.b=1"));
  EXPECT_THAT(ClearmlChangedSettings(Json{{"id", "x"}}), IsEmpty());
  EXPECT_THAT(ClearmlChangedSettings(Json{{"hyperparams", {{"Args", {{"a", Item("a", "1")}}}}}}),
              IsEmpty());
}

TEST(ClearmlTask, ValuesAreTomls) {
  const auto changed = [](const std::string& value, const std::string& type) {
    return ClearmlChangedSettings(Task(Json::array({Item("k", value, type)}), ""))[0];
  };
  EXPECT_EQ(changed("1e-4", "float"), "k=1e-4");
  EXPECT_EQ(changed("true", "bool"), "k=true");
  EXPECT_EQ(changed("False", "bool"), "k=false");
  EXPECT_EQ(changed("123", "str"), "k=\"123\"");
  EXPECT_EQ(changed("two \"words\"\n", "str"), "k=\"two \\\"words\\\"\\n\"");
  EXPECT_EQ(changed("fast", "float"), "k=\"fast\"");
  EXPECT_EQ(changed(R"([{"op":"a b","size":[1,2.5]},{"x":{}}])", "str"),
            R"(k=[{"op" = "a b", "size" = [1, 2.5]}, {"x" = {}}])");
}

TEST(ClearmlTask, ShortNamesAreMadeLongEnough) {
  EXPECT_EQ(ClearmlTask({.name = "r5", .dataset = "", .fingerprint = "", .command = ""})["name"],
            "run r5");
}

TEST(ClearmlTask, ScriptIsTheCommand) {
  const Json task = ClearmlTask(
      {.name = "name", .dataset = "", .fingerprint = "", .command = "cd / && exec millrace"});
  EXPECT_THAT(task["script"]["diff"].get<std::string>(), HasSubstr("\ncd / && exec millrace\n"));
  EXPECT_EQ(task["script"]["binary"], "/bin/bash");
}

TEST(ClearmlPath, NamesStayApartAndWithinTheirFolder) {
  EXPECT_EQ(ClearmlPathPart("a-b_c.9"), "a-b_c.9");
  EXPECT_EQ(ClearmlPathPart("a b/\xc3"), "a0x20b0x2f0xc3");
  for (const char* name : {"", ".", ".."})
    EXPECT_EQ(ClearmlPathPart(name), std::string(name) + "_");
  const std::string one = ClearmlPathPart(std::string(300, 'a') + "1");
  const std::string other = ClearmlPathPart(std::string(300, 'a') + "2");
  EXPECT_EQ(one.size(), 200U);
  EXPECT_EQ(other.size(), 200U);
  EXPECT_NE(one, other);
  EXPECT_EQ(ClearmlPath("/a/../b c//"), "a/.._/b0x20c");
}

}  // namespace
}  // namespace millrace::tracking
