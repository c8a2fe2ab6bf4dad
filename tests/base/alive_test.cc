#include "base/alive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace {
namespace {

TEST(Alive, ProcessThatIsKilledIsGone) {
  const test::TemporaryFolder folder;
  const auto path = folder / "store";
  const Alive own(path, 0);
  EXPECT_FALSE(own.Has(1));
  int taken[2];
  ASSERT_EQ(::pipe(taken), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const Alive place(path, 1);
    (void)!::write(taken[1], "x", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(taken[0], &byte, 1), 1);
  EXPECT_TRUE(own.Has(1));
  EXPECT_FALSE(own.Has(2));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(own.Has(1));
  ::close(taken[0]);
  ::close(taken[1]);
}

TEST(Alive, PlaceIsForOneProcess) {
  const test::TemporaryFolder folder;
  const auto path = folder / "store";
  auto own = std::make_unique<Alive>(path, 3);
  EXPECT_EQ(test::ErrorOf([&] { const Alive other(path, 3); }),
            "there are two processes with the number 3 at " + path.string() +
                ": each run needs a store of its own");
  own.reset();
  EXPECT_EQ(test::ErrorOf([&] { const Alive again(path, 3); }), "");
}

TEST(Alive, FileThatCannotBeOpenedIsNamed) {
  EXPECT_EQ(test::ErrorOf([] { const Alive alive("/nowhere/store", 0); }),
            "the store of the ranks cannot be opened: /nowhere/store: No such file or directory");
}

}  // namespace
}  // namespace millrace
