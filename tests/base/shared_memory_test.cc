#include "base/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>

#include "tests/support/error_text.h"

namespace millrace {
namespace {

using testing::HasSubstr;

TEST(SharedMemory, IsOneForAllWhoOpenIt) {
  SharedMemory made = SharedMemory::Create(10'000);
  const SharedMemory opened = SharedMemory::Open(made.address());
  ASSERT_EQ(opened.bytes().size(), 10'000u);
  EXPECT_NE(opened.bytes().data(), made.bytes().data());
  EXPECT_TRUE(std::ranges::all_of(opened.bytes(), [](std::byte b) { return b == std::byte{0}; }));
  made.bytes()[9'999] = std::byte{7};
  EXPECT_EQ(opened.bytes()[9'999], std::byte{7});
  const SharedMemory moved = std::move(made);
  EXPECT_EQ(SharedMemory::Open(moved.address()).bytes()[9'999], std::byte{7});
}

TEST(SharedMemory, IsSharedWithOtherProcessesAndOutlivesTheirEnd) {
  const SharedMemory own = SharedMemory::Create(1);
  int address[2];
  ASSERT_EQ(::pipe(address), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const SharedMemory theirs = SharedMemory::Create(4096);
    SharedMemory::Open(own.address()).bytes()[0] = std::byte{1};
    theirs.bytes()[4095] = std::byte{2};
    const std::string text = theirs.address();
    (void)!::write(address[1], text.data(), text.size());
    for (;;) ::pause();
  }
  char text[100] = "";
  ASSERT_GT(::read(address[0], text, sizeof(text) - 1), 0);
  const SharedMemory theirs = SharedMemory::Open(text);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(own.bytes()[0], std::byte{1});
  EXPECT_EQ(theirs.bytes()[4095], std::byte{2});
  EXPECT_THAT(test::ErrorOf([&] { SharedMemory::Open(text); }),
              HasSubstr("cannot be opened: /proc/" + std::to_string(child) + "/fd/"));
  ::close(address[0]);
  ::close(address[1]);
}

TEST(SharedMemory, GoneMemoryIsNotMistakenForWhatCameAfterIt) {
  std::optional<SharedMemory> first = SharedMemory::Create(100);
  const std::string address = first->address();
  first.reset();
  const SharedMemory second = SharedMemory::Create(100);
  ASSERT_EQ(second.address().substr(0, address.rfind(' ')), address.substr(0, address.rfind(' ')));
  EXPECT_THAT(test::ErrorOf([&] { SharedMemory::Open(address); }), HasSubstr(" is another file"));
}

TEST(SharedMemory, WhatIsNoAddressIsAnError) {
  for (const char* const text : {"", "1 2 3", "a b c d", "1 2 0 4"}) {
    EXPECT_EQ(test::ErrorOf([&] { SharedMemory::Open(text); }),
              std::string("no address of memory between processes: ") + text);
  }
}

}  // namespace
}  // namespace millrace
