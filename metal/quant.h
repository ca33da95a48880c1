// Quantised weights as the CPU kernels want them, and the activations that they are multiplied with.
#ifndef LOADSTONE_QUANT_H
#define LOADSTONE_QUANT_H

#include "pages.h"
#include "parts.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ls {
namespace quant {

constexpr int panel_rows = 16;  // rows of a weight that lie interleaved: as many as a vector has 32-bit lanes
constexpr int block = 32;       // columns with one scale of the activations
constexpr int panel_align = 64; // bytes

// How many bytes ahead the kernels for x86 ask for a weight, which the processor's own guess does too late. A core of a
// Zen 4 reads a matrix of 262144 x 640 so, without and with it, at 1 row: 8 bits 12.2 and 7.5 ms, 5 bits 9.8 and 3.8, 4
// bits 7.8 and 3.0; at 8 rows: 20.5 and 10.2, 15.9 and 9.2, 13.0 and 8.9. Half and twice the distance gain half or less.
constexpr int prefetch_ahead = 384;

// A weight, outputs x inputs, element = scale (q - offset) + bias with q of 4, 5 or 8 bits and offset = 2^(bits-1). A scale
// and, where any is not 0, a bias belong to a group of 32, 64 or 128 columns of a row.
//
// It is stored in panels of 16 rows, the last one filled up with zeros. A panel has first, for each group, 16 scales and
// then perhaps 16 biases, as float16 divided by factor; then, from the next multiple of 64 bytes, its blocks of 32
// columns. A block is 8 chunks of 4 columns, a chunk 64 bytes: 4 columns of row 0, of row 1, ... so that one multiplication
// of bytes with the same 4 activations leaves a sum for each row in that row's lane, and no lane is ever added to another.
//   8 bits   the 8 chunks
//   4 bits   4 x 64 bytes, chunk j in the low halves and chunk j+4 in the high halves
//   5 bits   as 4 bits, then 64 bytes whose bit j is the fifth bit of chunk j
struct Packed {
  int rows = 0, columns = 0, group = 0, bits = 0;
  bool biased = false;
  float factor = 1;
  size_t scale_bytes = 0, panel_bytes = 0;
  std::shared_ptr<uint8_t> data;

  int panels() const { return (rows + panel_rows - 1) / panel_rows; }
  size_t bytes() const { return panel_bytes * panels(); }
  void dequantise(int row, float *out) const;
};

// MLX's affine form: bits 2 to 8, words being rows x columns*bits/32 of them, at any address.
Packed pack(const void *words, const float *scales, const float *biases, int rows, int columns, int group, int bits,
            Arena &memory);

// What a kernel is given: one panel, and a tile of a few rows of activations.
struct Tile {
  const uint8_t *scales, *quants;
  int groups, group_blocks;
  const int8_t *x;      // blocks x rows of the tile x 32
  const float *scale;   // blocks x rows: x times this is the activation
  const float *sum;     // blocks x rows: the sum of the block's activations
  const int32_t *start; // blocks x rows: -offset times the sum of the block's x
  float factor;
  float *y;             // rows x ldy; this panel's 16 columns, of which n exist
  int ldy, n;
};

using Kernel = void (*)(const Tile &);

// One instruction set's kernels. All give the same floats to the last bit: a block's sum of whole numbers is exact, and an
// output takes in one block after the other, fma(sum, weight's scale x activations' scale, output), then, where there are
// biases, fma(bias, the activations' sum, output).
struct Isa {
  const char *name;
  bool (*here)();          // whether this processor has it
  std::vector<int> tiles;  // rows of activations that a kernel takes, descending to 1
  // By bits (4, 5, 8), without and with biases, by place in tiles.
  std::vector<Kernel> kernels[3][2];
};

const Isa &scalar();
const Isa *avx2();    // null where this was not compiled for x86
const Isa *avxvnni();
const Isa *avx512();
const Isa *neon();    // null where this was not compiled for ARM

// The instruction set in use: the best that is here, or the one that LOADSTONE_ISA names.
const Isa &isa();
// Changes it, for tests. False: unknown, or not here.
bool use(const char *name);
// All that were compiled, best first.
std::vector<const Isa *> all();

// Rows of activations as whole numbers with a scale for each block.
class Rows {
public:
  void resize(int rows, int columns);
  // Quantises row r.
  void set(int r, const float *x);
  // Multiplies panels from..to-1 of w with all rows, into y, rows x ldy, whose first column is panel from's first.
  void multiply(const Packed &w, int from, int to, float *y, int ldy) const;

private:
  int columns_ = 0;
  Parts parts_; // a tile's size is its kernel's place
  std::vector<int8_t> x_;
  std::vector<float> scale_, sum_;
  std::vector<int32_t> start_[3];
};

inline int bits_index(int bits) { return bits == 4 ? 0 : bits == 5 ? 1 : 2; }

float half_to_float(uint16_t h);
uint16_t float_to_half(float f);

} // namespace quant
} // namespace ls

#endif
