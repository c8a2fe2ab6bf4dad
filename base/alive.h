// Tells which of the processes of one machine still run, whatever ended them.
#pragma once

#include <cstdint>
#include <filesystem>

namespace millrace {

// Each process holds a lock on a place of its own in a file that all of them open; the system takes
// it back when the process ends. Nothing is written. Any thread.
class Alive {
 public:
  // Takes the place of `process`. Throws Error when another process has it, and naming the file
  // when it cannot be opened.
  Alive(const std::filesystem::path& file, std::uint32_t process);
  ~Alive();
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;

  // Whether some process has that place.
  bool Has(std::uint32_t process) const;

 private:
  int descriptor_;
};

}  // namespace millrace
