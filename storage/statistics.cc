#include "storage/statistics.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace millrace::storage {
namespace {

template <typename T>
Spread SpreadOf(std::vector<T>& values) {
  if (values.empty()) return {};
  const auto [min, max] = std::minmax_element(values.begin(), values.end());
  Spread spread{.min = *min,
                .median = 0,
                .max = *max,
                .sum = std::accumulate(values.begin(), values.end(), std::uint64_t{0})};
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  spread.median = *middle;
  return spread;
}

}  // namespace

Statistics CollectStatistics(const SplitReader& reader) {
  Statistics statistics{.records = reader.size(),
                        .per_class = std::vector<std::uint64_t>(reader.manifest().classes.size()),
                        .width = {},
                        .height = {},
                        .payload = {}};
  std::vector<std::uint32_t> widths;
  std::vector<std::uint32_t> heights;
  std::vector<std::uint64_t> payloads;
  for (auto* values : {&widths, &heights}) values->reserve(reader.size());
  payloads.reserve(reader.size());
  for (std::uint64_t id = 0; id < reader.size(); ++id) {
    const auto record = reader.Peek(id);
    if (!record.ok()) Fail("{}", record.fault().message);
    ++statistics.per_class[record->label];
    widths.push_back(record->width);
    heights.push_back(record->height);
    payloads.push_back(record->payload.size());
    // Values that this program does not know count as "other".
    const auto subsampling = std::min(record->subsampling, Subsampling::kOther);
    ++statistics.per_subsampling[static_cast<std::size_t>(subsampling)];
    if (record->repairs != 0) ++statistics.repaired;
    if (record->region_index.segment_mcus != 0) ++statistics.indexed;
  }
  statistics.width = SpreadOf(widths);
  statistics.height = SpreadOf(heights);
  statistics.payload = SpreadOf(payloads);
  return statistics;
}

const char* SubsamplingName(Subsampling subsampling) {
  switch (subsampling) {
    case Subsampling::kUnknown:
      return "unknown";
    case Subsampling::kGray:
      return "gray";
    case Subsampling::k444:
      return "4:4:4";
    case Subsampling::k422:
      return "4:2:2";
    case Subsampling::k420:
      return "4:2:0";
    case Subsampling::k440:
      return "4:4:0";
    case Subsampling::k411:
      return "4:1:1";
    case Subsampling::kOther:
      break;
  }
  return "other";
}

}  // namespace millrace::storage
