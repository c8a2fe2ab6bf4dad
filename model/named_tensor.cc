#include "model/named_tensor.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/check.h"

namespace millrace::model {
namespace {

std::unordered_map<std::string_view, const at::Tensor*> ByName(std::span<const NamedTensor> list) {
  std::unordered_map<std::string_view, const at::Tensor*> map;
  for (const NamedTensor& entry : list) map.emplace(entry.name, &entry.tensor);
  return map;
}

}  // namespace

std::vector<NamedTensor> ToHost(std::span<const NamedTensor> list) {
  std::vector<NamedTensor> copies;
  for (const NamedTensor& entry : list) {
    copies.push_back({entry.name, entry.tensor.detach().to(at::kCPU).contiguous()});
  }
  return copies;
}

std::uint64_t HashTensors(std::span<const NamedTensor> list) {
  Hasher hasher;
  AddTensors(list, &hasher);
  return hasher.Digest();
}

void AddTensors(std::span<const NamedTensor> list, Hasher* hasher) {
  const auto add_text = [&](std::string_view text) {
    hasher->AddU64(text.size());
    hasher->Add(text);
  };
  std::vector<const NamedTensor*> sorted;
  for (const NamedTensor& entry : list) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  for (const NamedTensor* entry : sorted) {
    add_text(entry->name);
    add_text(c10::toString(entry->tensor.scalar_type()));
    for (const std::int64_t size : entry->tensor.sizes()) {
      hasher->AddU64(static_cast<std::uint64_t>(size));
    }
    hasher->Add(
        {static_cast<const std::byte*>(entry->tensor.const_data_ptr()), entry->tensor.nbytes()});
  }
}

std::string ShapeText(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes().begin(), tensor.sizes().end(), ", "));
}

std::string StateMismatch::Text(std::size_t limit) const {
  std::string text;
  const auto append = [&](std::string_view title, const std::vector<std::string>& entries) {
    if (entries.empty()) return;
    const auto shown = std::min(limit, entries.size());
    text += fmt::format(
        "{}{}: {}", text.empty() ? "" : "; ", title,
        fmt::join(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
    if (shown < entries.size()) text += fmt::format(" and {} more", entries.size() - shown);
  };
  append("missing", missing);
  append("unexpected", unexpected);
  append("different", different);
  return text;
}

StateMismatch CompareStates(std::span<const NamedTensor> into, std::span<const NamedTensor> from) {
  StateMismatch mismatch;
  const auto given = ByName(from);
  for (const NamedTensor& entry : into) {
    const auto found = given.find(entry.name);
    if (found == given.end()) {
      mismatch.missing.push_back(entry.name);
      continue;
    }
    const at::Tensor& tensor = *found->second;
    if (tensor.sizes() != entry.tensor.sizes()) {
      mismatch.different.push_back(fmt::format("{} is {}, needed is {}", entry.name,
                                               ShapeText(tensor), ShapeText(entry.tensor)));
    } else if (tensor.is_floating_point() != entry.tensor.is_floating_point()) {
      mismatch.different.push_back(fmt::format("{} holds {}, needed is {}", entry.name,
                                               c10::toString(tensor.scalar_type()),
                                               c10::toString(entry.tensor.scalar_type())));
    }
  }
  const auto wanted = ByName(into);
  for (const NamedTensor& entry : from) {
    if (!wanted.contains(entry.name)) mismatch.unexpected.push_back(entry.name);
  }
  return mismatch;
}

void CopyState(std::span<const NamedTensor> into, std::span<const NamedTensor> from) {
  const c10::NoGradGuard no_grad;
  const auto given = ByName(from);
  for (const NamedTensor& entry : into) {
    const auto found = given.find(entry.name);
    MILLRACE_CHECK(found != given.end());
    entry.tensor.copy_(*found->second);
  }
}

std::string FirstNotFinite(std::span<const NamedTensor> tensors) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> finite;
  finite.reserve(tensors.size());
  for (const NamedTensor& entry : tensors) finite.push_back(at::isfinite(entry.tensor).all());
  if (finite.empty()) return "";
  const at::Tensor all = at::stack(finite).cpu();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!all[static_cast<std::int64_t>(i)].item<bool>()) return tensors[i].name;
  }
  return "";
}

}  // namespace millrace::model
