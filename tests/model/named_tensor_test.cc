#include "model/named_tensor.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace millrace::model {
namespace {

std::vector<NamedTensor> Some() {
  return {{"a", at::arange(6, at::kFloat).view({2, 3})}, {"b", at::ones({}, at::kLong)}};
}

TEST(HashTensors, NamesTypesShapesAndBitsEnterAndTheOrderOfTheListDoesNot) {
  const std::uint64_t plain = HashTensors(Some());
  std::vector<NamedTensor> list = Some();
  std::reverse(list.begin(), list.end());
  EXPECT_EQ(HashTensors(list), plain);
  list = Some();
  list[0].name = "c";
  EXPECT_NE(HashTensors(list), plain);
  list = Some();
  list[0].tensor = list[0].tensor.view({3, 2});
  EXPECT_NE(HashTensors(list), plain);
  list = Some();
  list[0].tensor = list[0].tensor.view(at::kInt);
  EXPECT_NE(HashTensors(list), plain);
  list = Some();
  list[0].tensor.view(-1)[0] = -0.0;
  EXPECT_NE(HashTensors(list), plain) << "a bit is another, though the number is equal";
}

TEST(HashTensors, LayoutInMemoryDoesNotEnterOnceOnTheHost) {
  const at::Tensor images = at::arange(24, at::kFloat).view({1, 2, 3, 4});
  const std::vector<NamedTensor> plain = {{"a", images}};
  const std::vector<NamedTensor> last = {{"a", images.contiguous(at::MemoryFormat::ChannelsLast)}};
  EXPECT_EQ(HashTensors(ToHost(last)), HashTensors(ToHost(plain)));
  EXPECT_EQ(ToHost(plain)[0].tensor.const_data_ptr(), images.const_data_ptr());
}

}  // namespace
}  // namespace millrace::model
