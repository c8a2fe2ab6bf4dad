// Files of named tensors in the safetensors format, readable from Python with
// `safetensors.torch.load_file`.
//
// Format (https://github.com/huggingface/safetensors): 8 bytes little-endian length of the header;
// a JSON object of {"name": {"dtype", "shape", "data_offsets": [begin, end]}} with an optional
// "__metadata__" of texts, padded with spaces to 8 bytes; the tensors, row by row (contiguous),
// back to back without holes.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/named_tensor.h"

namespace millrace::model {

struct TensorFile {
  std::vector<NamedTensor> tensors;  // in the order of their bytes; on the CPU, owning their memory
  std::map<std::string, std::string> metadata;
};

// Reads the whole file. Types: F64, F32, F16, BF16, I64, I32, U8, BOOL. Throws Error naming the
// file and, where one is to blame, the tensor: not a safetensors file, cut, a header that
// contradicts itself (offsets that overlap, leave holes or leave the file, sizes that do not match,
// a name twice).
TensorFile ReadSafetensors(const std::filesystem::path& path);

// Writes atomically: after a failure (Error) `path` is as it was. The same tensors and metadata
// give the same bytes, whatever the tensors' memory format. Larger element types come first, so
// that every tensor is aligned; among equals the given order stays. Bytes in the metadata that are
// not UTF-8 become U+FFFD.
void WriteSafetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                      const std::map<std::string, std::string>& metadata);

// What WriteSafetensors makes of a text of the metadata: itself when it is UTF-8.
std::string AsUtf8(const std::string& text);

}  // namespace millrace::model
