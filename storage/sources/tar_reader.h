// The members of a tar archive, one after the other: of a file, of a gzip-compressed file, or of a
// tar that lies within another file. The only place that knows libarchive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/sources/input_file.h"

namespace millrace::storage {

// What a tar says of one member.
struct TarMember {
  std::string name;          // with its folders, bytes as found
  std::uint64_t bytes = 0;   // of the content
  std::uint64_t offset = 0;  // of the content in the file; 0 in a compressed one
  std::string_view oddity;   // "a hard link", "a sparse file", ...; empty for a plain file

  // The name without its folders.
  std::string_view base_name() const { return std::string_view(name).substr(name.rfind('/') + 1); }
};

// Walks through a tar (ustar, pax, GNU). Only headers are read: whoever wants a member's content
// asks for it, and in an uncompressed tar the others are jumped over. Holds 4 KiB of the file, in a
// compressed one 256 KiB. For one thread at a time.
//
// Everything throws Error, naming archive and member, for what is damaged or cut off; a reader is
// of no use after that. An uncompressed tar must have its end mark, blocks of zeros, because one
// that was cut off between two members shows it by nothing else. Several tars in a row are read as
// one.
class TarReader {
 public:
  // All of a file. gzip is recognised by the first bytes.
  explicit TarReader(std::shared_ptr<const InputFile> file);

  // The uncompressed tar that lies in `file` as the `bytes` bytes from `offset` on. `name` is what
  // messages call it.
  TarReader(std::shared_ptr<const InputFile> file, std::uint64_t offset, std::uint64_t bytes,
            std::string name);

  ~TarReader();
  TarReader(TarReader&&) noexcept;
  TarReader& operator=(TarReader&&) noexcept;

  // The next member that is not a folder; nullopt at the end.
  std::optional<TarMember> Next();

  // The content of the member that Next() gave last. Once, and only of a plain file that is not
  // larger than kMaxPayloadBytes.
  std::vector<std::byte> Read();

  // How far into the file the reader has come [bytes].
  std::uint64_t position() const;

  bool compressed() const;
  const std::string& name() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::storage
