// What the sources that read tars have in common: from a member to an item.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "storage/sources/sample_source.h"
#include "storage/sources/tar_reader.h"

namespace millrace::storage {

// "archive.tar: member", for messages and origins.
std::string MemberOrigin(const TarReader& reader, const TarMember& member);

// Why a member is taken for no picture, to go behind its origin: "" when its name says so,
// otherwise " (a hard link)". nullopt when it is one.
std::optional<std::string> WhyNoPicture(const TarMember& member);

// The item of the member that the reader gave last, read or with a fault; class, path and position
// are left to the caller.
SourceItem MakeItem(TarReader& reader, const TarMember& member);

// The position of an item in a source of many pieces: ascending by piece, then by number.
std::uint64_t PiecePosition(std::uint64_t piece, std::uint64_t number);

// Throws Error for a compressed tar, whose members cannot be reached without reading all before.
void RefuseCompressed(const TarReader& reader);

}  // namespace millrace::storage
