#include "storage/sources/tar_member.h"

#include "base/error.h"
#include "storage/image_folder.h"
#include "storage/record.h"

namespace millrace::storage {

std::string MemberOrigin(const TarReader& reader, const TarMember& member) {
  return reader.name() + ": " + member.name;
}

std::optional<std::string> WhyNoPicture(const TarMember& member) {
  if (!member.oddity.empty()) return " (" + std::string(member.oddity) + ")";
  // macOS adds a "._x.JPEG" to every "x.JPEG".
  const std::string_view name = member.base_name();
  if (name.starts_with('.') || !HasPictureExtension(name)) return "";
  return std::nullopt;
}

SourceItem MakeItem(TarReader& reader, const TarMember& member) {
  SourceItem item;
  item.origin = MemberOrigin(reader, member);
  item.bytes = member.bytes;
  if (member.bytes > kMaxPayloadBytes) {
    item.fault = TooLarge(member.bytes);
  } else {
    item.content = reader.Read();
  }
  return item;
}

std::uint64_t PiecePosition(std::uint64_t piece, std::uint64_t number) {
  constexpr int kNumberBits = 32;
  return piece << kNumberBits | number;
}

void RefuseCompressed(const TarReader& reader) {
  if (!reader.compressed()) return;
  Fail(
      "{} is compressed, which saves nothing with pictures and hinders reading; unpack it with "
      "gunzip first",
      reader.name());
}

}  // namespace millrace::storage
