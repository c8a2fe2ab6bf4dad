#include "pipeline/placement.h"

#include <gmock/gmock.h>

#include <map>
#include <string>

#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

using ::testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

Placement Read(const Variables& variables) {
  return PlacementFromEnvironment([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

const Variables kOwn = {{"MILLRACE_PROCESS", "3"},
                        {"MILLRACE_PROCESSES", "4"},
                        {"MILLRACE_LOCAL_PROCESS", "1"},
                        {"MILLRACE_LOCAL_PROCESSES", "2"},
                        {"MILLRACE_RUN_ID", "a1"}};

Variables With(Variables variables, const Variables& more) {
  for (const auto& [name, value] : more) variables[name] = value;
  return variables;
}

TEST(Placement, NothingSetIsASingleProcess) {
  const Placement placement = Read({});
  EXPECT_EQ(placement.process, 0U);
  EXPECT_EQ(placement.num_processes, 1U);
  EXPECT_EQ(placement.num_local_processes, 1U);
  EXPECT_EQ(placement.store_file, "");
  EXPECT_EQ(placement.master_address, "");
  EXPECT_EQ(placement.source, "");
}

TEST(Placement, OwnVariablesNameAStoreOrAMaster) {
  Placement placement = Read(With(kOwn, {{"MILLRACE_STORE", "/tmp/x/store"}}));
  EXPECT_EQ(placement.process, 3U);
  EXPECT_EQ(placement.num_processes, 4U);
  EXPECT_EQ(placement.local_process, 1U);
  EXPECT_EQ(placement.num_local_processes, 2U);
  EXPECT_EQ(placement.store_file, "/tmp/x/store");
  EXPECT_EQ(placement.run_id, "a1");
  EXPECT_EQ(placement.source, "millrace launch");

  placement = Read(With(kOwn, {{"MILLRACE_MASTER", "node1:29500"}}));
  EXPECT_EQ(placement.master_address, "node1");
  EXPECT_EQ(placement.master_port, 29500);
  EXPECT_FALSE(placement.master_is_agent);
  EXPECT_EQ(placement.store_file, "");
}

TEST(Placement, OwnVariablesThatDoNotFitAreRefused) {
  const auto text = [](const Variables& more) {
    return test::UsageErrorOf([&] { Read(With(kOwn, more)); });
  };
  EXPECT_THAT(text({}), HasSubstr("neither MILLRACE_STORE nor MILLRACE_MASTER"));
  EXPECT_THAT(text({{"MILLRACE_STORE", "/s"}, {"MILLRACE_MASTER", "a:1"}}),
              HasSubstr("MILLRACE_STORE and MILLRACE_MASTER are both set"));
  EXPECT_THAT(text({{"MILLRACE_MASTER", "node1"}}), HasSubstr("write host:port"));
  EXPECT_THAT(text({{"MILLRACE_MASTER", "node1:0"}}), HasSubstr("write host:port"));
  EXPECT_THAT(text({{"MILLRACE_PROCESS", "x"}}), HasSubstr("MILLRACE_PROCESS is \"x\""));
  EXPECT_THAT(text({{"MILLRACE_STORE", "/s"}, {"MILLRACE_PROCESS", "4"}}),
              HasSubstr("there is no process 4 of 4"));
  EXPECT_THAT(text({{"MILLRACE_LOCAL_PROCESSES", ""}}),
              HasSubstr("MILLRACE_PROCESS is set, but MILLRACE_LOCAL_PROCESSES is not"));
}

}  // namespace
}  // namespace millrace::pipeline
