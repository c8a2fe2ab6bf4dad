#include "stages/ops/size_setting.h"

namespace millrace::stages {

Size ReadWidthAndHeight(const Params& params) {
  return {static_cast<int>(params.IntegerIn("width", 1, kLongestSide)),
          static_cast<int>(params.IntegerIn("height", 1, kLongestSide))};
}

Size ReadSize(const Params& params) {
  if (params.Has("width") || params.Has("height")) {
    if (params.Has("size")) params.Blame("size", "has no effect beside width and height");
    return ReadWidthAndHeight(params);
  }
  const int side = static_cast<int>(params.IntegerIn("size", 1, kLongestSide));
  return {side, side};
}

}  // namespace millrace::stages
