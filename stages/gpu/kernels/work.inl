// What the host and the kernels tell each other: how each picture of a batch is decoded, and where
// the batch lies in the device's memory.
//
// The text of kernels/*.inl is compiled twice: by NVRTC for the device that is there, and by the
// C++ compiler as their twin (tests/stages/gpu/twin.h), which shows on any machine what they
// compute. Hence no header, no intrinsic, no floating-point contraction, and no barrier inside of a
// function: a kernel whose threads wait for one another is cut into phases there.
#ifndef MILLRACE_STAGES_GPU_KERNELS_WORK_INL_
#define MILLRACE_STAGES_GPU_KERNELS_WORK_INL_

#ifdef __CUDACC__
#define MILLRACE_KERNEL __device__ inline
#define MILLRACE_KERNEL_DATA __device__ const
#else
#define MILLRACE_KERNEL inline
#define MILLRACE_KERNEL_DATA inline constexpr
#endif

namespace millrace::stages::gpu {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i16 = short;
using i32 = int;

constexpr u32 kSide = 8;        // of a block [samples]
constexpr u32 kBlockSize = 64;  // coefficients
constexpr u32 kMostPlanes = 3;
constexpr u32 kMostMcuBlocks = 6;  // of 4:2:0
constexpr u32 kCodes = 4;          // two of DC coefficients, two of AC coefficients

// What the host has made of a picture.
enum class Kind : u32 {
  kPixels,    // finished: they are put into their place
  kSegments,  // the compressed segments that its crop needs
};

// The values of region::Sampling and of stages::ResizePasses.
enum class ChromaSampling : u32 { k444, k422, k420, k440 };
enum class Passes : u32 { kNone, kHorizontalFirst, kVerticalFirst, kLinear };

// A plane: luma (or grey) first, then blue and red chroma. It keeps the blocks that the crop needs.
struct PicturePlane {
  u32 h, v;       // blocks in an MCU
  u32 mcu_block;  // the first of them there
  u32 dc, ac;     // its codes, of PictureData::codes
  u32 first_x;    // the first kept block, among those of the segments
  u32 first_y;
  u32 columns, rows;  // kept [blocks]
  i32 x, y;           // the first kept sample, in the picture's plane
  i32 width, height;  // of the picture's plane [samples]; beyond are copies of the last ones
  u64 samples;        // where the kept ones begin in Work::samples, in rows of 8 x columns
};

// An axis of the resize (stages/axis.h) whose crop begins and ends with a pixel; not flipped.
struct PictureAxis {
  i32 crop, resized, begin, count;
  i32 source;     // the first pixel of the crop that is decoded
  u32 most_taps;  // that an output has
};

struct Picture {
  Kind kind;
  ChromaSampling sampling;
  Passes passes;
  u32 flip_horizontal, flip_vertical;  // 0 or 1
  u32 planes;                          // 1 or 3
  u32 segment_columns;
  u32 segments;
  u32 segment_mcus;
  u32 mcu_blocks;  // of all planes
  PicturePlane plane[kMostPlanes];
  i32 x, y, width, height;  // the decoded part of the picture [pixels]
  PictureAxis along_x, along_y;
  u64 bytes;   // where its PictureData, or its pixels, begin in Work::bytes; a multiple of 16
  u32 output;  // its place in the batch
  // Places in the other memories of Work, which the layout of the batch gives.
  u64 coefficients;  // in the order of the segments, each block in zigzag order
  u64 rgb;           // width x height
  u64 between;       // of the passes of the resize
  u64 tables;        // of along_x, then of along_y
};

// A Huffman code as a DHT segment holds it.
struct PictureCode {
  u8 lengths[16];
  u8 symbols[256];
};

// What a picture of Kind::kSegments begins with in Work::bytes. The SegmentPlaces follow, then the
// bytes of the segments, each from a multiple of 4 on, without what was stuffed into them.
struct PictureData {
  alignas(16) i16 quantizers[kMostPlanes][kBlockSize];  // in zigzag order
  PictureCode codes[kCodes];                            // DC 0, DC 1, AC 0, AC 1
};

struct SegmentPlace {
  u32 word;   // where it begins, in words of 4 bytes from the PictureData on
  u32 bytes;  // how many it has
};

// What comes back of each picture of Kind::kSegments.
struct PictureResult {
  u64 digest;      // XXH3-64 of the finished pixels
  u32 is_damaged;  // not 0: the pixels are not known, the caller has to ask libjpeg-turbo
  u32 unused;
};

// Kernels whose blocks are dealt out to pictures according to their work.
enum class Dealt : u32 { kEntropy, kInverseDct, kColor, kTables, kFirstPass, kLastPass };
constexpr u32 kDealtKernels = 6;

// A batch, or as much of one as fits, in the device's memory. A copy goes to every kernel.
struct Work {
  const Picture* pictures;
  // Of each Dealt kernel, the first block of each picture and behind the last: pictures_count + 1.
  const u32* first_blocks;
  u32 pictures_count;
  u32 image_bytes;  // of a finished picture
  const u8* bytes;
  i16* coefficients;  // zeros at first
  u8* samples;
  u32* rgb;      // red, green and blue from the lowest byte on
  u32* between;  // the same
  i32* tables;
  u8* out;                 // uint8 [batch, height, width, 3]
  PictureResult* results;  // by place in the batch
};

// The threads of each block, and how many pieces of work it has: segments, or outputs of both axes
// of a resize, as many as threads; blocks of 8 x 8, kBlocksTogether; pixels, kPixelsTogether.
constexpr u32 kThreads = 256;
constexpr u32 kBlockThreads = 8;  // to a block of 8 x 8
constexpr u32 kBlocksTogether = kThreads / kBlockThreads;
constexpr u32 kPixelsTogether = 4 * kThreads;

// Which picture a block of threads works for, and the first piece of its work.
struct Share {
  u32 picture;
  u32 first_block;
};

MILLRACE_KERNEL Share FindShare(const Work& work, Dealt kernel, u32 block) {
  const u32* first = work.first_blocks + static_cast<u32>(kernel) * (work.pictures_count + 1);
  u32 begin = 0;
  u32 end = work.pictures_count;
  while (end - begin > 1) {
    const u32 middle = (begin + end) / 2;
    if (first[middle] <= block) {
      begin = middle;
    } else {
      end = middle;
    }
  }
  return {begin, block - first[begin]};
}

// The pixels of rows of `width` that a thread makes: every kThreads'th from one on. A division each
// would cost more than most of them.
class PixelWalk {
 public:
  MILLRACE_KERNEL PixelWalk(u32 first, u32 width)
      : width_(width), across_(kThreads % width), down_(kThreads / width) {
    x_ = first % width;
    y_ = first / width;
  }

  MILLRACE_KERNEL u32 x() const { return x_; }
  MILLRACE_KERNEL u32 y() const { return y_; }

  MILLRACE_KERNEL void Next() {
    x_ += across_;
    y_ += down_;
    if (x_ < width_) return;
    x_ -= width_;
    ++y_;
  }

 private:
  const u32 width_;
  const u32 across_;
  const u32 down_;
  u32 x_;
  u32 y_;
};

MILLRACE_KERNEL i32 Clamp(i32 value, i32 least, i32 most) {
  return value < least ? least : value > most ? most : value;
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_WORK_INL_
