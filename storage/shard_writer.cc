#include "storage/shard_writer.h"

#include <vector>

#include "base/hash.h"
#include "storage/sources/input_file.h"

namespace millrace::storage {

ShardFacts ShardWriter::Finish() {
  pages_.Finish();
  file_.Commit();

  // The first pages are written last, so the hash has to wait for them.
  const InputFile written(path_);
  Hasher hasher;
  std::vector<std::byte> piece(std::size_t{1} << 20);
  for (std::uint64_t at = 0; at < written.size(); at += piece.size()) {
    hasher.Add(std::span(piece).first(written.ReadAt(at, piece)));
  }
  return {.records = pages_.records(), .bytes = written.size(), .hash = hasher.Digest()};
}

}  // namespace millrace::storage
