#include "pipeline/convert_part.h"

#include <oneapi/tbb/enumerable_thread_specific.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "pipeline/byte_budget.h"
#include "storage/conversion/spool.h"
#include "storage/jpeg_info.h"
#include "storage/png_picture.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
namespace flow = oneapi::tbb::flow;
using storage::FramePlace;
using storage::PartSummary;
using storage::SampleSource;
using storage::SourceItem;
using storage::SourcePlace;
using storage::SpoolEntry;

// Of pictures that were read and are not in a spool yet.
constexpr std::uint64_t kContentBudget = std::uint64_t{96} << 20;
// What an item costs beside its content.
constexpr std::uint64_t kItemBytes = 4096;
// For pixels and coefficients of pictures at work.
constexpr std::uint64_t kPixelBudget = std::uint64_t{512} << 20;
// A picture needs no more: coefficients of 6 bytes and what is made of them.
constexpr std::uint64_t kBytesPerPixel = 8;
// Above it a thread does not keep the memory for its next picture.
constexpr std::uint64_t kKeptPixelBytes = std::uint64_t{32} << 20;
constexpr std::uint64_t kSpoolBytes = std::uint64_t{64} << 20;

// Pixels that the header announces; 0 where there is no header that makes sense.
std::uint64_t AnnouncedPixels(std::span<const std::byte> bytes) {
  if (storage::IsPng(bytes)) return storage::AnnouncedPngPixels(bytes);
  const auto info = storage::ReadJpegInfo(bytes);
  return info ? info->pixels() : 0;
}

// A pure function of seed, class and content, so that the order of samples is one, too.
std::uint64_t DealKey(std::uint64_t seed, std::string_view class_id,
                      std::span<const std::byte> content) {
  Hasher hasher;
  hasher.AddU64(seed);
  hasher.AddU64(class_id.size());
  hasher.Add(class_id);
  hasher.AddU64(Hash64(content));
  return hasher.Digest();
}

// One item on its way through the graph.
struct Traveller {
  SourceItem item;
  std::uint32_t source = 0;
  std::uint64_t passed_bytes = 0;  // of all sources, when it was read
  std::uint64_t taken_bytes = 0;   // of the content budget
};

class PartConversion {
 public:
  PartConversion(const ConvertOptions& options, PartWork work, const ConvertCallback& progress)
      : options_(options), work_(std::move(work)), callback_(progress) {
    summary_.plan = work_.plan;
    summary_.settings = work_.settings;
    for (const auto& source : work_.sources) total_bytes_ += source->facts().total_bytes;
    summary_.spools = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        std::bit_ceil(total_bytes_ / kSpoolBytes), 1, storage::kKeyRanges));
    for (std::uint32_t i = 0; i < summary_.spools; ++i) {
      spools_.emplace_back(storage::SpoolPath(work_.folder, i, summary_.spools));
    }
  }

  // Takes up the spools of an earlier run with the same plan; those of another one go.
  void TakeUp() {
    const auto visit = [&](const FramePlace& frame) { have_.push_back(frame.facts.place); };
    if (storage::ReadPartPlan(work_.folder) == work_.plan) {
      for (std::uint32_t i = 0; i < summary_.spools; ++i) {
        const fs::path path = storage::SpoolPath(work_.folder, i, summary_.spools);
        storage::RecoverSpool(path, visit);
        if (fs::exists(path)) CountRecords(path);
      }
      storage::RecoverSpool(storage::LeftOutPath(work_.folder), visit);
      if (fs::exists(storage::LeftOutPath(work_.folder))) CountLeftOut();
      std::sort(have_.begin(), have_.end());
      state_.pictures = have_.size();
      return;
    }
    for (const auto& entry : fs::directory_iterator(work_.folder)) fs::remove(entry.path());
    storage::WritePartPlan(work_.folder, work_.plan);
  }

  std::uint64_t kept() const { return have_.size(); }

  // False: stopped early.
  bool Run() {
    const int jobs = options_.jobs > 0 ? options_.jobs : oneapi::tbb::info::default_concurrency();
    // Without it TBB stops at one thread per core.
    const oneapi::tbb::global_control threads(
        oneapi::tbb::global_control::max_allowed_parallelism,
        std::max<std::size_t>(static_cast<std::size_t>(jobs),
                              oneapi::tbb::global_control::active_value(
                                  oneapi::tbb::global_control::max_allowed_parallelism)));
    oneapi::tbb::task_arena arena(jobs);
    arena.execute([&] {
      flow::graph graph;
      // The queue in front of it holds what the content budget allows.
      flow::function_node<std::shared_ptr<Traveller>> convert(
          graph, flow::unlimited, [&](const std::shared_ptr<Traveller>& traveller) {
            Guarded([&] { Process(*traveller); });
            content_budget_.Give(traveller->taken_bytes);
            return flow::continue_msg();
          });
      graph.reserve_wait();
      // A thread of its own, since it waits for disks and for the budget.
      std::thread reader([&] {
        Guarded([&] { ReadSources(convert); });
        graph.release_wait();
      });
      graph.wait_for_all();
      reader.join();
    });
    if (failure_) std::rethrow_exception(failure_);
    return !stopped_;
  }

  // REQUIRES: Run() returned true
  PartSummary Finish() {
    for (auto& spool : spools_) spool.Sync();
    left_out_.Sync();
    SyncFolder(work_.folder);
    for (const auto& source : work_.sources) {
      const auto& ignored = source->ignored();
      summary_.ignored.insert(summary_.ignored.end(), ignored.begin(), ignored.end());
      for (const auto& [id, name] : source->facts().class_names) {
        if (class_ids_.contains(id)) summary_.class_names[id] = name;
      }
    }
    summary_.class_ids.assign(class_ids_.begin(), class_ids_.end());
    storage::WritePartSummary(work_.folder, summary_);
    return summary_;
  }

 private:
  // The first failure is the one that counts; after it everybody stops.
  template <typename Body>
  void Guarded(Body body) {
    try {
      body();
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      failed_ = true;
    }
  }

  bool Stopping() {
    if (options_.stop != nullptr && options_.stop->load()) stopped_ = true;
    return stopped_ || failed_;
  }

  void ReadSources(flow::function_node<std::shared_ptr<Traveller>>& convert) {
    std::uint64_t passed = 0;  // of the sources before
    for (std::uint32_t i = 0; i < work_.sources.size(); ++i) {
      SampleSource& source = *work_.sources[i];
      const auto wanted = [&](std::uint64_t position) {
        return !std::binary_search(have_.begin(), have_.end(), SourcePlace{i, position});
      };
      while (!Stopping()) {
        auto item = source.Next(wanted);
        if (!item) break;
        auto traveller = std::make_shared<Traveller>();
        traveller->taken_bytes = item->bytes + kItemBytes;
        traveller->item = *std::move(item);
        traveller->source = i;
        traveller->passed_bytes = passed + source.passed_bytes();
        content_budget_.Take(traveller->taken_bytes);
        convert.try_put(std::move(traveller));
      }
      passed += source.facts().total_bytes;
    }
  }

  void Process(Traveller& traveller) {
    if (Stopping()) return;
    SourceItem& item = traveller.item;
    CheckClass(item);
    const SourcePlace place{.source = traveller.source, .position = item.position};
    auto content = storage::TakeContent(item);
    if (!content) {
      LeaveOut(traveller, place, content.fault());
      return;
    }
    const std::uint64_t pixel_bytes = kBytesPerPixel * AnnouncedPixels(*content);
    const BudgetShare share(pixel_budget_, pixel_bytes);
    auto& converter = converters_.local();
    if (!converter) converter = std::make_unique<PictureConverter>(PictureSettings());
    const auto picture = converter->Convert(*content, item.path);
    if (!picture) {
      LeaveOut(traveller, place, picture.fault());
    } else if (!is_refused_) {
      Keep(traveller, place, DealKey(options_.seed, item.class_id, *content), *picture);
    } else {
      Count(traveller, [] {});
    }
    if (pixel_bytes > kKeptPixelBytes) converter.reset();
  }

  PictureOptions PictureSettings() const {
    PictureOptions settings = options_.picture;
    settings.repair = options_.on_bad == OnBad::kRepair;
    return settings;
  }

  void CheckClass(const SourceItem& item) const {
    const auto& known = work_.known_classes;
    if (item.class_id.empty() || known.empty() ||
        std::binary_search(known.begin(), known.end(), item.class_id)) {
      return;
    }
    Fail(
        "the class \"{}\" of {} is not among the {} classes of {}; splits of one dataset share "
        "their classes, so convert the one that has them all first",
        item.class_id, item.origin, known.size(), work_.known_from);
  }

  void Keep(const Traveller& traveller, SourcePlace place, std::uint64_t deal_key,
            const ConvertedPicture& picture) {
    const SourceItem& item = traveller.item;
    const SpoolEntry entry{.class_id = item.class_id,
                           .origin = item.origin,
                           .found = picture.found,
                           .done = picture.done,
                           .record = {.label = 0,
                                      .width = picture.width,
                                      .height = picture.height,
                                      .subsampling = picture.subsampling,
                                      .repairs = picture.repairs,
                                      .payload_hash = 0,
                                      .path = item.path,
                                      .payload = picture.payload,
                                      .region_index = picture.region_index}};
    const std::size_t range = storage::KeyRange(deal_key);
    spools_[storage::SpoolOfRange(range, summary_.spools)].Append(
        storage::MakeFrame({deal_key, place, item.bytes}, entry));
    Count(traveller, [&] { CountRecord(item.class_id, range, entry.record); });
  }

  void LeaveOut(const Traveller& traveller, SourcePlace place, const Fault& fault) {
    const SourceItem& item = traveller.item;
    left_out_.Append(storage::MakeFrame({0, place, item.bytes}, {.class_id = item.class_id,
                                                                 .origin = item.origin,
                                                                 .found = fault.message,
                                                                 .done = {},
                                                                 .record = {.path = item.path}}));
    // From here on files are only checked.
    if (options_.on_bad == OnBad::kFail) is_refused_ = true;
    Count(traveller, [&] { CountBad(item.class_id); });
  }

  // Counts a picture that is behind us; `count` does what its kind adds.
  template <typename Body>
  void Count(const Traveller& traveller, Body count) {
    const std::scoped_lock lock(mutex_);
    CountFile(traveller.item.bytes);
    count();
    ++state_.pictures;
    state_.bytes = std::max(state_.bytes, traveller.passed_bytes);
    state_.total_bytes = total_bytes_;
    if (callback_) callback_(state_);
  }

  void CountFile(std::uint64_t bytes) {
    ++summary_.files;
    summary_.bytes_in += bytes;
  }

  void CountRecord(std::string_view class_id, std::size_t range,
                   const storage::RecordView& record) {
    class_ids_.emplace(class_id);
    ++summary_.records;
    ++summary_.in_range[range];
    summary_.record_bytes += record.payload.size() + 2 * record.region_index.segment_bytes.size();
  }

  void CountBad(std::string_view class_id) {
    if (!class_id.empty()) class_ids_.emplace(class_id);
    ++summary_.left_out;
  }

  // The same for pictures of an earlier run.
  void CountRecords(const fs::path& path) {
    const storage::SpoolReader reader(path);
    std::vector<std::byte> buffer;
    reader.List([&](const FramePlace& frame) {
      const SpoolEntry entry = reader.Read(frame, &buffer);
      CountFile(frame.facts.source_bytes);
      CountRecord(entry.class_id, storage::KeyRange(frame.facts.deal_key), entry.record);
    });
  }
  void CountLeftOut() {
    const storage::SpoolReader reader(storage::LeftOutPath(work_.folder));
    std::vector<std::byte> buffer;
    reader.List([&](const FramePlace& frame) {
      CountFile(frame.facts.source_bytes);
      CountBad(reader.Read(frame, &buffer).class_id);
      if (options_.on_bad == OnBad::kFail) is_refused_ = true;
    });
  }

  const ConvertOptions& options_;
  PartWork work_;
  const ConvertCallback& callback_;
  std::uint64_t total_bytes_ = 0;
  std::vector<SourcePlace> have_;  // of an earlier run, sorted
  std::deque<storage::SpoolWriter> spools_;
  storage::SpoolWriter left_out_{storage::LeftOutPath(work_.folder)};
  ByteBudget content_budget_{kContentBudget};
  ByteBudget pixel_budget_{kPixelBudget};
  oneapi::tbb::enumerable_thread_specific<std::unique_ptr<PictureConverter>> converters_;
  std::atomic<bool> is_refused_ = false;  // kFail, and a bad file was found
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::exception_ptr failure_;  // these are guarded by mutex_ while the graph runs
  PartSummary summary_;
  std::set<std::string, std::less<>> class_ids_;
  ConvertProgress state_;
};

}  // namespace

std::optional<PartSummary> ConvertPart(const ConvertOptions& options, PartWork work,
                                       const ConvertCallback& progress, std::uint64_t* kept) {
  if (auto summary = storage::ReadPartSummary(work.folder); summary && summary->plan == work.plan) {
    *kept = summary->files;
    return summary;
  }
  PartConversion conversion(options, std::move(work), progress);
  conversion.TakeUp();
  *kept = conversion.kept();
  if (!conversion.Run()) return {};
  return conversion.Finish();
}

}  // namespace millrace::pipeline
