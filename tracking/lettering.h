// Text in pictures, in a font that is part of the program: a bare machine has none.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tracking/canvas.h"

namespace millrace::tracking {

// DejaVu Sans: Latin, Greek, Cyrillic, Arabic letters and many signs, each code point as it stands,
// without ligatures; what it lacks, Chinese, Japanese and Korean among it, is drawn as an empty
// box. Texts are UTF-8; what is not, and control characters, become U+FFFD. One thread at a time.
class Lettering {
 public:
  // `size`: of the letters' em square [pixels]. Throws Error when FreeType refuses.
  explicit Lettering(int size);
  ~Lettering();
  Lettering(const Lettering&) = delete;
  Lettering& operator=(const Lettering&) = delete;

  int line_height() const;  // [pixels] from one line to the next
  int Width(std::string_view text) const;

  // The text, or as much of its beginning as leaves room for an ellipsis behind it; empty where
  // there is room for neither.
  std::string Fit(std::string_view text, int width) const;

  // `top`: of the line. Nothing is drawn outside of the canvas.
  void Draw(Canvas& canvas, int left, int top, std::string_view text, Color color) const;

 private:
  struct Face;
  std::unique_ptr<Face> face_;
};

}  // namespace millrace::tracking
