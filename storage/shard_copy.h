// Copies of a dataset's shards in another folder, each verified on its way there. FORMAT.md, "Local
// copies".
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/manifest.h"

namespace millrace::storage {

// The folder of a split's copies: "train-" and a hash over what must be in them. Splits whose
// shards are the same files share it; all others have folders of their own.
std::string CopyFolderName(std::string_view split, const SplitInfo& info);

// Whether `path` is a copy of the shard. A copy gets its name when it has been verified and is safe
// on the disk, so that its size is all there is left to look at; what happens to it later shows
// when its records are read.
bool HasCopy(const std::filesystem::path& path, const ShardInfo& info);

// Copies the shard in the file `from` to `to`: in sequence, hashed while it passes, written to
// "<to>.tmp", synced and renamed. Returns whether `to` is complete: not so when `stop` was
// requested, after the piece of a few MiB under way. Without success nothing is left behind but,
// after a kill, the temporary file, which the next copy writes anew.
//
// A fault names what is wrong with `from`: it cannot be read, or is not what the manifest says.
// Throws Error naming `to` when that cannot be written. One thread or process at a time for one
// `to`.
Result<bool> CopyShard(const std::filesystem::path& from, const ShardInfo& info,
                       const std::filesystem::path& to, const std::stop_token& stop);

}  // namespace millrace::storage
