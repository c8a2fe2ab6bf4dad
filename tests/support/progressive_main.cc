// Prints sides of growing pictures, so that tests/reference can compare them. Standard input: a
// line of "FROM BEGIN_EPOCH END_EPOCH STEP LARGEST EPOCH" for each.
#include <cstdint>
#include <iostream>

#include "pipeline/progressive.h"

int main() {
  millrace::pipeline::Progressive progressive;
  int largest = 0;
  std::uint32_t epoch = 0;
  while (std::cin >> progressive.from >> progressive.begin_epoch >> progressive.end_epoch >>
         progressive.step >> largest >> epoch) {
    std::cout << millrace::pipeline::SideInEpoch(progressive, largest, epoch) << '\n';
  }
  return std::cin.eof() ? 0 : 1;
}
