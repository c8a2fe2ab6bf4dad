// An event on its way to a remote tracker, and its form in the journal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "tracking/event.h"

namespace millrace::tracking {

struct RemoteEvent {
  using What = std::variant<Scalars, Message, Parameters, Picture, Note, Histogram, PrCurve,
                            Artifact, Status>;
  // The number in the run's journal: rises from event to event, and is the same when an event comes
  // again.
  std::uint64_t number = 0;
  std::int64_t time_ms = 0;  // when the run told it, since 1970
  What what;
};

// The event as the journal keeps it (journal.proto), its number aside.
std::string EncodeRemoteEvent(std::int64_t time_ms, const RemoteEvent::What& what);
// Nothing when the bytes are none, or of a kind that a newer program has added.
std::optional<RemoteEvent> DecodeRemoteEvent(std::uint64_t number, std::string_view bytes);

}  // namespace millrace::tracking
