// What stands behind Store and ProcessGroup in c10d, for the files of this folder that use it: its
// headers take long to compile.
#pragma once

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <memory>

#include "model/process_group.h"
#include "model/rank_memory.h"
#include "model/store.h"

namespace millrace::model {

struct Store::Impl {
  c10::intrusive_ptr<c10d::Store> store;
};

struct ProcessGroup::Impl {
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  std::shared_ptr<RankMemory> memory;  // nullptr: ranks share none
};

}  // namespace millrace::model
