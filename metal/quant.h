// Quantised weights in the layout of the CPU kernels, and the activations that they are multiplied
// with.
#ifndef LOADSTONE_QUANT_H
#define LOADSTONE_QUANT_H

#include "floats.h"
#include "pages.h"
#include "parts.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ls {
namespace quant {

// The rows of a weight that lie interleaved: as many as a vector has lanes of 32 bits.
constexpr int panel_rows = 16;
constexpr int block = 32; // columns for which the activations have one scale
constexpr int line = 64;  // bytes of a cache line, and the alignment of a panel

// A weight, outputs x inputs. An element is scale (q - offset) + bias with q of 4, 5 or 8 bits and
// offset = 2^(bits-1). Each group of 32, 64 or 128 columns of a row has a scale and, in a weight
// where any bias is not 0, a bias.
//
// It is stored in panels of 16 rows, the last one padded with zeros. A panel is read from its first
// byte to its last: a line of scales, then the blocks of 32 columns that they belong to, and so on.
// A line has the 16 scales and the 16 biases of one group, or the 16 scales of each of two groups,
// as float16 after division by factor. A block is 8 chunks of 64 bytes; a chunk is 4 columns of row
// 0, of row 1, and so on. One multiplication of bytes with the same 4 activations then leaves a sum
// for each row in that row's lane, and no lane is ever added to another.
//   8 bits   the 8 chunks
//   4 bits   4 x 64 bytes, chunk j in the low bits and j+4 in the high bits
//   5 bits   as 4 bits, then 64 bytes whose bit j is the fifth bit of chunk j
//
// A processor prefetches one stream well. With all scales of a panel before its blocks, two cores
// of a Zen 4 read a matrix of 4 bits with biases at 25 GB/s and one of 8 bits at 41 with software
// prefetch, and slower without. In this layout they read both at 58 to 62 GB/s, as fast as a plain
// sum, and no software prefetch (384 to 8192 bytes ahead, into the first-level or the second-level
// cache) made one row of activations faster. An Emerald Rapids needs it: see prefetch.
struct Packed {
  int rows = 0, columns = 0, group = 0, bits = 0;
  bool biased = false;
  float factor = 1;
  size_t panel_bytes = 0;
  std::shared_ptr<uint8_t> data;

  int panels() const { return (rows + panel_rows - 1) / panel_rows; }
  size_t bytes() const { return panel_bytes * panels(); }
  // The number of groups whose scales are in one line.
  int line_groups() const { return biased ? 1 : 2; }
  // The place in a panel at which block b begins, after its line and everything before that.
  size_t block_at(int b) const {
    return size_t(b * block / group / line_groups() + 1) * line + size_t(b) * bits * line;
  }
  // The place in a panel at which the scales of group g begin.
  size_t scales_at(int g) const {
    const int first = g / line_groups() * line_groups(); // the first group of its line
    return block_at(first * (group / block)) - line + (g - first) * (line / 2);
  }
  void dequantise(int row, float *out) const;
};

// Packs a weight in MLX's affine form: 2 to 8 bits, words are rows x columns*bits/32 of 32 bits at
// any address.
Packed pack(const void *words, const Floats &scales, const Floats &biases, int rows, int columns,
            int group, int bits, Arena &memory);

// The arguments of a kernel: one panel, and a tile of some rows of activations.
struct Tile {
  const uint8_t *panel;
  int groups, group_blocks;
  const int8_t *x;      // blocks x rows of the tile x 32
  const float *scale;   // blocks x rows: x times its scale is the activation
  const float *sum;     // blocks x rows: the sum of the block's activations
  const int32_t *start; // blocks x rows: -offset times the sum of the block's x
  float factor;
  float *y; // rows x ldy; the 16 columns of this panel, of which n exist
  int ldy, n;
};

using Kernel = void (*)(const Tile &);

// Returns the scales of group g, where last are those of the group before it. Where a new line
// begins at p, p is moved past it.
template <bool BIASED>
inline __attribute__((always_inline)) const uint8_t *scales(int g, const uint8_t *last,
                                                            const uint8_t *&p) {
  if (!BIASED && g % 2 == 1) {
    return last + line / 2;
  }
  p += line;
  return p - line;
}

// Prefetches what a kernel of M rows of activations reads soon after the block at p. With several
// rows a block has so many instructions that the reads of the next blocks are beyond the
// processor's window. On two cores of a Zen 4 with AVX-512, with a weight of 4 bits with biases
// that is in no cache, prefetching took 4 rows from 355 to 443 thousand million operations a
// second, 8 rows from 395 to 587 and 16 rows from 537 to 612; with 1024 and 4096 bytes it is 3 to
// 10 % slower. One row gains nothing there. On two cores of an Emerald Rapids, where one row is
// best with 4096 bytes, it took the tokens a second of Gemma 3 270M, medians of rounds in turns,
//
//              of one stream   of four      of eight
//   AVX-512      88 to 121     was there before          (n=2)
//   AVX-VNNI     75 to 112     215 to 305   305 to 467   (n=5)
//   AVX2         63 to 101     173 to 257   258 to 316   (n=3)
//
// In these rounds only blocks were prefetched, into the first-level cache. With their lines of
// scales as well, into the second-level cache, one row reads 28.2 GB/s in place of 27.0, of the
// 30.7 that a plain sum reads there (AVX-512, n=4); with several rows that is 5 % slower.
template <int BITS, int M> inline __attribute__((always_inline)) void prefetch(const uint8_t *p) {
  constexpr bool one = M == 1;
  constexpr int ahead = one ? 4096 : 2048;
  // What lies before a block is a line of scales, or the end of the block before.
#pragma GCC unroll 9
  for (int j = one ? -1 : 0; j < BITS; j++) {
    __builtin_prefetch(p + ahead + line * j, 0, one ? 2 : 3);
  }
}

// The kernels of one instruction set. All sets give the same floats to the last bit: the sum of a
// block in whole numbers is exact, and an output adds one block after the other: fma(sum, weight's
// scale x activations' scale, output), then, where there are biases, fma(bias, sum of the
// activations, output).
struct Isa {
  const char *name;
  bool (*here)();         // whether this processor has it
  std::vector<int> tiles; // the numbers of rows of activations that kernels take, descending to 1
  // By bits (4, 5, 8), without and with biases, by index in tiles.
  std::vector<Kernel> kernels[3][2];
};

const Isa &scalar();
const Isa *avx2(); // null where this was not compiled for x86
const Isa *avxvnni();
const Isa *avx512(); // null also with LS_NO_AVX512 (simd.h)
const Isa *neon(); // null where this was not compiled for ARM

// The instruction set in use: the best that is here, or the one that LOADSTONE_ISA names.
const Isa &isa();
// Changes the instruction set, for tests. It returns false if the name is unknown or this processor
// lacks it.
bool use(const char *name);
// All those that were compiled, best first.
std::vector<const Isa *> all();

// Rows of activations, as whole numbers of 8 bits, or where they are fine of 16, with a scale for
// each block.
class Rows {
public:
  void resize(int rows, int columns, bool fine);
  // Quantises row r.
  void set(int r, const float *x);
  // Multiplies panels from..to-1 of w with all rows, into y, rows x ldy. The first column of y is
  // the first output of panel from.
  void multiply(const Packed &w, int from, int to, float *y, int ldy) const;

  struct Row;

private:
  Row row(int r);
  int columns_ = 0;
  bool fine_ = false;
  Parts parts_; // of rows of 8 bits; the size of a tile is the index of its kernel
  std::vector<int8_t> x_;
  std::vector<float> scale_, sum_;
  std::vector<int32_t> start_[3];
};

inline int bits_index(int bits) { return bits == 4 ? 0 : bits == 5 ? 1 : 2; }

} // namespace quant
} // namespace ls

#endif
