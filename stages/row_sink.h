// Who takes the rows of a picture while they are made and still in the cache.
#pragma once

#include <cstdint>

namespace millrace::stages {

// So many rows are made and taken at a time: what the widest vectors of a resize take at once.
inline constexpr int kRowsTogether = 8;

// Takes the rows of a picture from above, of a width and a number that it knows. One thread.
class RowSink {
 public:
  RowSink() = default;
  RowSink(const RowSink&) = delete;
  RowSink& operator=(const RowSink&) = delete;
  virtual ~RowSink() = default;

  // Where the next kRowsTogether rows of RGB go, or as many as are left, one behind the other.
  virtual std::uint8_t* Room() = 0;

  // `count` rows have been written there: kRowsTogether, fewer only where they are the last.
  virtual void Take(int count) = 0;
};

}  // namespace millrace::stages
