// Tensors with names, in an order: parameters, buffers, optimizer state, the contents of a file.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"

namespace millrace::model {

// The tensor is a handle: copies of a NamedTensor share its memory.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// The same tensors as contiguous ones in the CPU's memory; those that are already share it.
std::vector<NamedTensor> ToHost(std::span<const NamedTensor> list);

// A hash over names, types, shapes and bytes, whatever the order of the list.
// REQUIRES: as ToHost() makes them
std::uint64_t HashTensors(std::span<const NamedTensor> list);
// The same, added to others. `hasher` takes what HashTensors() takes.
void AddTensors(std::span<const NamedTensor> list, Hasher* hasher);

// "[64, 3, 7, 7]", for messages.
std::string ShapeText(const at::Tensor& tensor);

// How `from` fits `into`, name by name, whatever the order. One sentence each; all empty: it fits.
struct StateMismatch {
  std::vector<std::string> missing;     // names of `into` that `from` lacks
  std::vector<std::string> unexpected;  // names of `from` that `into` lacks
  std::vector<std::string> different;   // "fc.weight is [10, 512], needed is [1000, 512]"

  bool empty() const { return missing.empty() && unexpected.empty() && different.empty(); }
  // "missing: a, b; unexpected: c; different: ...", at most `limit` entries of each kind.
  std::string Text(std::size_t limit = 10) const;
};
StateMismatch CompareStates(std::span<const NamedTensor> into, std::span<const NamedTensor> from);

// Copies the values of `from` into the tensors of `into`, in place: memory, layout, device and type
// of the targets stay (a float16 file fills a float32 network). Autograd does not see it.
// REQUIRES: CompareStates(into, from).empty()
void CopyState(std::span<const NamedTensor> into, std::span<const NamedTensor> from);

// The name of the first that holds a number that is not finite; "" when there is none. Waits for
// the device. REQUIRES: all on one device
std::string FirstNotFinite(std::span<const NamedTensor> tensors);

}  // namespace millrace::model
