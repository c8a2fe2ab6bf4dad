#include "tracking/console.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>

#include "base/check.h"

namespace millrace::tracking {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

// A file that is no terminal.
class PlainStream {
 public:
  PlainStream() : file_(std::tmpfile()) { MILLRACE_CHECK(file_ != nullptr); }
  ~PlainStream() { std::fclose(file_); }
  PlainStream(const PlainStream&) = delete;
  PlainStream& operator=(const PlainStream&) = delete;
  std::FILE* get() const { return file_; }

  std::string Text() const {
    std::fflush(file_);
    std::rewind(file_);
    std::string text;
    for (int c; (c = std::fgetc(file_)) != EOF;) text.push_back(static_cast<char>(c));
    return text;
  }

 private:
  std::FILE* file_;
};

// A terminal 60 columns wide; what is printed on it can be read from its other end.
class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    MILLRACE_CHECK(master_ >= 0 && ::grantpt(master_) == 0 && ::unlockpt(master_) == 0);
    file_ = std::fopen(::ptsname(master_), "r+");
    MILLRACE_CHECK(file_ != nullptr);
    const winsize size{.ws_row = 24, .ws_col = 60, .ws_xpixel = 0, .ws_ypixel = 0};
    MILLRACE_CHECK(::ioctl(master_, TIOCSWINSZ, &size) == 0);
    termios mode{};
    MILLRACE_CHECK(::tcgetattr(master_, &mode) == 0);
    mode.c_oflag &= ~static_cast<tcflag_t>(OPOST);  // no carriage returns of the system's own
    MILLRACE_CHECK(::tcsetattr(master_, TCSANOW, &mode) == 0);
  }
  ~Terminal() {
    std::fclose(file_);
    ::close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  std::FILE* get() const { return file_; }

  // What was printed since the last call. It takes its time to come through the kernel: all of it
  // is there when the mark behind it is.
  std::string Text() const {
    constexpr char kMark = '\0';
    std::fputc(kMark, file_);
    std::fflush(file_);
    std::string text;
    for (char next = 0; ::read(master_, &next, 1) == 1 && next != kMark;) text.push_back(next);
    return text;
  }

 private:
  int master_;
  std::FILE* file_ = nullptr;
};

Progress Steps(std::uint64_t done, std::uint64_t total = 1200) {
  return {.label = "train epoch 1/2", .done = done, .total = total, .unit = "steps", .detail = ""};
}

TEST(ProgressLineInAFile, LinesComeAtTheBeginAndAtTheEndOnly) {
  const PlainStream stream;
  ProgressLine line(stream.get());
  for (std::uint64_t done = 0; done <= 1200; ++done) line.Update(Steps(done));
  EXPECT_THAT(stream.Text(),
              MatchesRegex("train epoch 1/2    0%  0/1,200 steps\n"
                           "train epoch 1/2  100%  1,200/1,200 steps  in [^\n]+ s\n"));
}

TEST(ProgressLineInAFile, NewLabelIsANewPieceOfWork) {
  const PlainStream stream;
  ProgressLine line(stream.get());
  line.Update(Steps(3));
  line.Update(Steps(4));
  Progress validation = Steps(5, 10);
  validation.label = "validate";
  validation.unit = "images";
  line.Update(validation);
  line.Update(Steps(6));
  EXPECT_EQ(stream.Text(),
            "train epoch 1/2    0%  3/1,200 steps\n"
            "validate   50%  5/10 images\n"
            "train epoch 1/2    0%  6/1,200 steps\n");
}

TEST(ProgressLineInAFile, HasNoControlCodes) {
  const PlainStream stream;
  {
    ProgressLine line(stream.get());
    line.Update(Steps(0));
    line.Print("a checkpoint was written");
    line.Update(Steps(1200));
    line.Update({.label = "unfinished", .done = 1, .total = 2, .unit = "files", .detail = ""});
  }
  const std::string text = stream.Text();
  EXPECT_THAT(text, HasSubstr("steps\na checkpoint was written\ntrain"));
  EXPECT_THAT(text, EndsWith("1/2 files\n"));
  EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\n' || (c >= ' ' && c <= '~');
  })) << text;
}

TEST(ProgressLineInAFile, ShowsDetailAndTheTimeLeft) {
  const auto shown = [](Progress progress) {
    const PlainStream stream;
    ProgressLine line(stream.get());
    line.Update(progress);
    return stream.Text();
  };
  Progress progress = Steps(12);
  progress.detail = "loss 1.234";
  EXPECT_EQ(shown(progress), "train epoch 1/2    1%  12/1,200 steps  loss 1.234\n");
  progress.seconds_left = 187;
  EXPECT_EQ(shown(progress), "train epoch 1/2    1%  12/1,200 steps  ETA 3m 07s  loss 1.234\n");
  progress.seconds_left = 0;
  EXPECT_THAT(shown(progress), EndsWith("  ETA 0.0 s  loss 1.234\n"));
  progress.seconds_left = std::numeric_limits<double>::infinity();
  EXPECT_THAT(shown(progress), EndsWith("  ETA ?  loss 1.234\n"));
  progress.seconds_left = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(shown(progress), EndsWith("loss 1.234\n"));
}

TEST(ProgressLineInAFile, UnknownTotalHasNeitherShareNorTimeLeft) {
  const PlainStream stream;
  ProgressLine line(stream.get());
  line.Update({.label = "scan", .done = 1234, .total = 0, .unit = "files", .detail = ""});
  EXPECT_EQ(stream.Text(), "scan  1,234 files\n");
}

TEST(ProgressLineInAFile, MoreDoneThanThereIsEndsTheWork) {
  const PlainStream stream;
  ProgressLine line(stream.get());
  line.Update(Steps(5, 4));
  EXPECT_THAT(stream.Text(), StartsWith("train epoch 1/2  125%  5/4 steps"));
}

TEST(ProgressLineOnATerminal, BarIsRedrawnInPlace) {
  const Terminal terminal;
  ProgressLine line(terminal.get());
  line.Update(Steps(0, 4));
  EXPECT_EQ(terminal.Text(), "train epoch 1/2  [                        ]   0%  0/4 steps");
  line.Update(Steps(4, 4));
  EXPECT_THAT(terminal.Text(),
              AllOf(StartsWith("\r\x1b[Ktrain epoch 1/2  [==============] 100%"), EndsWith("\n")));
}

TEST(ProgressLineOnATerminal, BarGivesWayToTheWords) {
  const Terminal terminal;
  ProgressLine line(terminal.get());
  Progress progress = Steps(2, 4);
  progress.detail = "loss 1.23";
  line.Update(progress);
  EXPECT_EQ(terminal.Text(), "train epoch 1/2  [======       ]  50%  2/4 steps  loss 1.23");
  progress.detail = "loss 1.2345";
  progress.label = "train epoch 2/2";
  progress.seconds_left = 3;
  line.Update(progress);
  EXPECT_EQ(terminal.Text(), "\r\x1b[Ktrain epoch 2/2   50%  2/4 steps  ETA 3.0 s  loss 1.2345");
}

TEST(ProgressLineOnATerminal, TextStandsAboveTheBar) {
  const Terminal terminal;
  ProgressLine line(terminal.get());
  line.Print("before");
  line.Update(Steps(1, 4));
  (void)terminal.Text();
  line.Print("a text");
  EXPECT_EQ(terminal.Text(), "\r\x1b[Ka text\n");
  line.Print("another");
  EXPECT_EQ(terminal.Text(), "another\n");
}

TEST(ProgressLineOnATerminal, LineIsCutToTheTerminalsWidth) {
  const Terminal terminal;
  ProgressLine line(terminal.get());
  Progress progress = Steps(1, 4);
  progress.detail = std::string(200, 'x');
  line.Update(progress);
  EXPECT_EQ(terminal.Text().size(), 59u);
}

TEST(ProgressLineOnATerminal, UnfinishedBarsLineIsEnded) {
  const Terminal terminal;
  {
    ProgressLine line(terminal.get());
    line.Update(Steps(1, 4));
    (void)terminal.Text();
  }
  EXPECT_EQ(terminal.Text(), "\n");
  {
    ProgressLine line(terminal.get());
    line.Update(Steps(4, 4));
    (void)terminal.Text();
  }
  EXPECT_EQ(terminal.Text(), "");
}

TEST(Console, PrintsTextsAndValidationResultsToStandardError) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  {
    Console console;
    console.OnText("resuming from step 7");
    console.OnScalars({.group = "train", .step = 1, .values = {{"loss", 1}}, .texts = {}});
    console.OnScalars({.kind = Scalars::Kind::kTiming,
                       .group = "val",
                       .step = 1,
                       .values = {{"images_per_s", 1}},
                       .texts = {}});
    console.OnScalars({.group = "val",
                       .step = 12345,
                       .epoch = 2,
                       .values = {{"top1", 0.70712345}, {"samples", 500}},
                       .texts = {}});
    console.OnProgress(Steps(1, 4));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "resuming from step 7\n"
            "val after epoch 2, step 12,345:  top1 0.707123  samples 500\n"
            "train epoch 1/2   25%  1/4 steps\n");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

}  // namespace
}  // namespace millrace::tracking
