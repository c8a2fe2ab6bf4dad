#include "pipeline/synth.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/permutation.h"
#include "pipeline/synth_picture.h"
#include "storage/tar_writer.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxImages = 100'000'000;  // 8 digits, as in the official names
constexpr std::uint32_t kMaxClasses = 100'000;
constexpr int kMaxJobs = 1024;
constexpr std::uint64_t kPicturesPerTar = 1000;  // of a WebDataset

// No id of WordNet's begins so, and yet it looks like one.
std::string ClassId(std::uint32_t label) { return fmt::format("n9{:07}", label); }

// One picture on its way from its maker to its place.
struct MadePicture {
  std::uint64_t position = 0;  // in the order of writing
  std::uint32_t label = 0;
  std::uint32_t number = 0;  // within its class
  std::string stem;          // of its file's name
  std::vector<std::byte> bytes;
};

// ---- layouts ----

// Where pictures go. Write() is called in the order of positions, or from any thread at once where
// is_parallel() says so.
class Layout {
 public:
  virtual ~Layout() = default;
  virtual bool is_parallel() const { return false; }
  virtual void Write(const MadePicture& picture) = 0;
  // After the last picture.
  virtual void Finish() = 0;
};

class FolderLayout : public Layout {
 public:
  FolderLayout(fs::path root, std::uint32_t classes) : root_(std::move(root)) {
    for (std::uint32_t label = 0; label < classes; ++label) CreateFolders(root_ / ClassId(label));
  }

  bool is_parallel() const override { return true; }

  // Without syncing each file: that is done once, at the end.
  void Write(const MadePicture& picture) override {
    const fs::path path = root_ / ClassId(picture.label) / (picture.stem + ".JPEG");
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool good = file >= 0;
    for (std::span<const std::byte> left = picture.bytes; good && !left.empty();) {
      const ssize_t count = ::write(file, left.data(), left.size());
      good = count > 0 || (count < 0 && errno == EINTR);
      if (count > 0) left = left.subspan(static_cast<std::size_t>(count));
    }
    const int reason = errno;
    if (file >= 0 && ::close(file) != 0 && good) Refuse(path, errno);
    if (!good) Refuse(path, reason);
  }

  void Finish() override {
    const int folder = ::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool good = folder >= 0 && ::syncfs(folder) == 0;
    const int reason = errno;
    if (folder >= 0) ::close(folder);
    if (!good) Refuse(root_, reason);
  }

 private:
  [[noreturn]] static void Refuse(const fs::path& path, int reason) {
    Fail("cannot write {}: {}", path.string(), std::generic_category().message(reason));
  }

  const fs::path root_;
};

class TrainTarLayout : public Layout {
 public:
  explicit TrainTarLayout(const fs::path& root) : tar_(root / "ILSVRC2012_img_train.tar") {}

  void Write(const MadePicture& picture) override {
    if (label_ != picture.label) {
      if (label_) tar_.EndTar();
      label_ = picture.label;
      tar_.BeginTar(ClassId(picture.label) + ".tar");
    }
    tar_.Add(picture.stem + ".JPEG", picture.bytes);
  }

  void Finish() override {
    tar_.EndTar();
    tar_.Close();
  }

 private:
  storage::TarWriter tar_;
  std::optional<std::uint32_t> label_;  // of the inner tar
};

class ValTarLayout : public Layout {
 public:
  explicit ValTarLayout(const fs::path& root)
      : tar_(root / "ILSVRC2012_img_val.tar"), labels_path_(root / "val_labels.txt") {}

  void Write(const MadePicture& picture) override {
    tar_.Add(picture.stem + ".JPEG", picture.bytes);
    labels_ += ClassId(picture.label) + "\n";
  }

  void Finish() override {
    tar_.Close();
    WriteFileAtomically(labels_path_, labels_);
  }

 private:
  storage::TarWriter tar_;
  const fs::path labels_path_;
  std::string labels_;
};

class WebdatasetLayout : public Layout {
 public:
  WebdatasetLayout(fs::path root, std::string_view split) : root_(std::move(root)), split_(split) {}

  void Write(const MadePicture& picture) override {
    if (picture.position % kPicturesPerTar == 0) {
      if (tar_) tar_->Close();
      tar_.emplace(
          root_ / fmt::format("imagenet-{}-{:06}.tar", split_, picture.position / kPicturesPerTar));
    }
    const auto add = [&](std::string_view extension, std::string_view text) {
      tar_->Add(picture.stem + std::string(extension), std::as_bytes(std::span(text)));
    };
    tar_->Add(picture.stem + ".jpg", picture.bytes);
    add(".cls", std::to_string(picture.label));
    add(".json", fmt::format(R"({{"wnid": "{}"}})", ClassId(picture.label)));
  }

  void Finish() override { tar_->Close(); }

 private:
  const fs::path root_;
  const std::string_view split_;
  std::optional<storage::TarWriter> tar_;
};

std::unique_ptr<Layout> MakeLayout(const SynthOptions& options, const fs::path& root) {
  switch (options.layout) {
    case SynthLayout::kFolder:
      return std::make_unique<FolderLayout>(root, options.classes);
    case SynthLayout::kTrainTar:
      return std::make_unique<TrainTarLayout>(root);
    case SynthLayout::kValTar:
      return std::make_unique<ValTarLayout>(root);
    case SynthLayout::kWebdataset:
      return std::make_unique<WebdatasetLayout>(
          root, options.split == SynthSplit::kTrain ? "train" : "val");
  }
  Fail("unknown layout");
}

// ---- folders ----

void CheckOptions(const SynthOptions& options) {
  if (options.to.empty()) FailUsage("no folder to write to");
  if (options.classes < 2 || options.classes > kMaxClasses) {
    FailUsage("{} classes are not possible; use 2 to {}", options.classes, kMaxClasses);
  }
  if (options.images < options.classes || options.images > kMaxImages) {
    FailUsage("{} images are not possible; use one per class at least, and at most {}",
              options.images, kMaxImages);
  }
  if (options.jobs < 0 || options.jobs > kMaxJobs) {
    FailUsage("{} jobs are not possible; use 0 (one per core) to {}", options.jobs, kMaxJobs);
  }
  if (options.layout == SynthLayout::kTrainTar && options.split != SynthSplit::kTrain) {
    FailUsage("the layout train-tar is for the split train");
  }
  if (options.layout == SynthLayout::kValTar && options.split != SynthSplit::kVal) {
    FailUsage("the layout val-tar is for the split val");
  }
}

// The folder under construction. Goes with the object unless it is put in its place.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& to)
      : to_(to.has_filename() ? to : to.parent_path()), temporary_(to_.string() + ".tmp") {
    std::error_code code;
    if (fs::exists(to_, code) && (!fs::is_directory(to_, code) || !fs::is_empty(to_, code))) {
      Fail("{} is not an empty folder; name another one, or remove it first", to_.string());
    }
    if (fs::exists(temporary_, code)) {
      Fail("{} was left by a run that was interrupted, or another one is at work; remove it first",
           temporary_.string());
    }
    CreateFolders(temporary_);
  }
  ~NewFolder() {
    std::error_code code;
    if (!placed_) fs::remove_all(temporary_, code);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const fs::path& path() const { return temporary_; }

  void Place() {
    std::error_code code;
    fs::rename(temporary_, to_, code);  // over an empty folder
    if (code) {
      Fail("cannot rename {} to {}: {}", temporary_.string(), to_.string(), code.message());
    }
    placed_ = true;
    SyncFolder(fs::absolute(to_).parent_path());
  }

 private:
  const fs::path to_;
  const fs::path temporary_;
  bool placed_ = false;
};

// Which picture is written when, and how it is called.
class Plan {
 public:
  explicit Plan(const SynthOptions& options)
      : options_(options), order_(options.images, options.seed) {}

  MadePicture operator()(std::uint64_t position) const {
    const bool is_train = options_.split == SynthSplit::kTrain;
    const bool is_mixed = !is_train || options_.layout == SynthLayout::kWebdataset;
    const std::uint64_t index = is_mixed ? order_(position) : position;
    // The first so many classes have one picture more.
    const std::uint64_t each = options_.images / options_.classes;
    const std::uint64_t larger = options_.images % options_.classes;
    const std::uint64_t in_larger = larger * (each + 1);
    MadePicture picture;
    picture.position = position;
    if (index < in_larger) {
      picture.label = static_cast<std::uint32_t>(index / (each + 1));
      picture.number = static_cast<std::uint32_t>(index % (each + 1));
    } else {
      picture.label = static_cast<std::uint32_t>(larger + (index - in_larger) / each);
      picture.number = static_cast<std::uint32_t>((index - in_larger) % each);
    }
    picture.stem = is_train ? fmt::format("{}_{}", ClassId(picture.label), picture.number)
                            : fmt::format("ILSVRC2012_val_{:08}", position + 1);
    return picture;
  }

 private:
  const SynthOptions& options_;
  const Permutation order_;
};

// Counts what is written for the progress callback.
class ProgressCounter {
 public:
  ProgressCounter(std::uint64_t total, const std::function<void(const SynthProgress&)>& callback)
      : callback_(callback) {
    state_.total_images = total;
  }

  void Add(std::uint64_t bytes) {
    const std::scoped_lock lock(mutex_);
    ++state_.images;
    state_.bytes += bytes;
    if (callback_) callback_(state_);
  }

  SynthProgress state() {
    const std::scoped_lock lock(mutex_);
    return state_;
  }

 private:
  const std::function<void(const SynthProgress&)>& callback_;
  std::mutex mutex_;
  SynthProgress state_;  // guarded by mutex_
};

void MakeAll(const SynthOptions& options, Layout* layout, ProgressCounter* progress) {
  const SynthPictures pictures(options.seed);
  const Plan plan(options);
  const auto stopping = [&] { return options.stop != nullptr && options.stop->load(); };
  std::uint64_t next = 0;
  const auto take = [&](tbb::flow_control& control) -> std::uint64_t {
    if (next == options.images || stopping()) {
      control.stop();
      return 0;
    }
    return next++;
  };
  const auto make = [&](std::uint64_t position) {
    auto picture = std::make_shared<MadePicture>(plan(position));
    picture->bytes = pictures.Make({.split = static_cast<std::uint32_t>(options.split),
                                    .label = picture->label,
                                    .number = picture->number});
    return picture;
  };
  const auto write = [&](const std::shared_ptr<MadePicture>& picture) {
    layout->Write(*picture);
    progress->Add(picture->bytes.size());
  };
  using tbb::filter_mode;
  using Message = std::shared_ptr<MadePicture>;
  const auto jobs =
      static_cast<std::size_t>(options.jobs > 0 ? options.jobs : tbb::info::default_concurrency());
  // Without it TBB stops at one thread per core.
  const tbb::global_control threads(tbb::global_control::max_allowed_parallelism, jobs);
  tbb::task_arena arena(static_cast<int>(jobs));
  arena.execute([&] {
    tbb::parallel_pipeline(
        4 * jobs,
        tbb::make_filter<void, std::uint64_t>(filter_mode::serial_in_order, take) &
            tbb::make_filter<std::uint64_t, Message>(filter_mode::parallel, make) &
            tbb::make_filter<Message, void>(
                layout->is_parallel() ? filter_mode::parallel : filter_mode::serial_in_order,
                write));
  });
}

}  // namespace

SynthReport Synth(const SynthOptions& options,
                  const std::function<void(const SynthProgress&)>& progress) {
  CheckOptions(options);
  NewFolder folder(options.to);
  ProgressCounter counter(options.images, progress);
  const std::unique_ptr<Layout> layout = MakeLayout(options, folder.path());
  MakeAll(options, layout.get(), &counter);
  const SynthProgress state = counter.state();
  SynthReport report{.images = state.images, .bytes = state.bytes};
  report.stopped = state.images < options.images;
  if (report.stopped) return report;
  layout->Finish();
  folder.Place();
  return report;
}

}  // namespace millrace::pipeline
