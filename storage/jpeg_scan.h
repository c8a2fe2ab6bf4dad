// Reads the scan of a sequential Huffman-coded JPEG straight into the tokens that an entropy coder
// writes, in a fraction of the time of libjpeg's jpeg_read_coefficients: no coefficient is made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "storage/ac_decoder.h"
#include "storage/huffman_decoder.h"
#include "storage/jpeg_frame.h"
#include "storage/jpeg_tokens.h"

namespace millrace::storage {

// A scan that holds all there is of a picture.
struct JpegScan {
  struct Plane {
    std::uint32_t height_blocks = 0;
    std::uint32_t dc_table = 0;
    std::uint32_t ac_table = 0;
  };

  std::array<HuffmanTable, 4> dc_tables;
  std::array<HuffmanTable, 4> ac_tables;
  std::vector<Plane> planes;
  std::uint32_t restart_interval = 0;  // [MCUs]; 0: no restart markers
  // From behind the header of the scan to the end of the file.
  std::span<const std::byte> data;
};

// Reads one scan after the other; its memory is kept for the next: 4 bytes for each token and the
// bytes of an interval between restart markers. One thread.
//
// Exact or not at all. What it accepts is what libjpeg decodes without a warning (ITU-T T.81, F.2.2
// and E.2.4), ends with the marker EOI, and has the symbols that an encoder of the same
// coefficients would choose. All else is left to libjpeg.
class JpegScanReader {
 public:
  // Makes tokens that stand for the symbols that JpegTokenizer makes of the coefficients, for a
  // restart marker every `segment_mcus` MCUs. False when the scan is not accepted (one of more
  // than kMostBlocksKept blocks never is); the tokens mean nothing then. Of the planes of `frame`
  // neither rows nor quantisers are used. REQUIRES: segment_mcus > 0 and divides
  // frame.mcus_per_row()
  bool Read(const JpegFrame& frame, const JpegScan& scan, std::uint32_t segment_mcus);

  JpegTokens tokens() const { return {{tokens_.data(), num_tokens_}, ends_, counts_, phrases_}; }
  // Bytes behind the marker EOI.
  std::size_t trailing_bytes() const { return data_.size(); }

 private:
  struct BitReader;
  struct Output;
  struct Plane;

  static bool ReadDcStep(const HuffmanDecoder& decoder, BitReader* in, std::int32_t* step);
  static std::uint32_t ReadCoefficient(const AcDecoder& decoder, JpegToken table, BitReader* in,
                                       Output* out, std::uint32_t last);
  static bool ReadAc(const AcDecoder& decoder, JpegToken table, BitReader* reader, Output* output);
  bool MakePlanes(const JpegFrame& frame, const JpegScan& scan, std::vector<Plane>* planes);
  bool TakeInterval();
  bool TakeNextInterval(std::uint32_t number);
  bool TakeMarker(std::uint8_t code);
  bool ReadBlock(Plane* plane, bool is_seen, BitReader* in, Output* output);
  bool ReadMcu(std::vector<Plane>* planes, std::uint32_t row, std::uint32_t mcu, BitReader* in,
               Output* out);

  std::vector<HuffmanDecoder> dc_;      // by plane
  std::vector<AcDecoder> ac_;           // those that differ
  std::span<const std::byte> data_;     // what is not read yet
  std::vector<std::uint8_t> interval_;  // an interval without stuffed bytes, and zeros behind it
  std::size_t interval_bytes_ = 0;
  std::vector<JpegToken> tokens_;  // the first num_tokens_ of them
  std::size_t num_tokens_ = 0;
  std::vector<std::size_t> ends_;
  std::vector<std::uint32_t> counts_;
  std::vector<JpegPhrase> phrases_;
  // Where the tokens of blocks go that nobody sees.
  std::array<JpegToken, kMostTokensOfBlock> unseen_{};
  std::array<std::uint32_t, kMostTokenKinds> unseen_counts_{};
};

}  // namespace millrace::storage
