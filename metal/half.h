// Weights of 16 bits as the CPU kernels want them: what a checkpoint in bfloat16 or float16 holds, no more and no less.
#ifndef LOADSTONE_HALF_H
#define LOADSTONE_HALF_H

#include "pages.h"
#include "parts.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ls {
namespace half {

constexpr int panel_rows = 16; // rows of a weight that lie interleaved: as many as a vector has floats

// A weight, outputs x inputs, in panels of 16 rows, the last one filled up with zeros. A panel is its columns one after the
// other, 16 numbers each, so that a column times one activation adds to the sums of 16 rows in 16 lanes.
struct Packed {
  int rows = 0, columns = 0;
  bool brain = false; // bfloat16, else float16
  std::shared_ptr<uint8_t> data;

  int panels() const { return (rows + panel_rows - 1) / panel_rows; }
  size_t panel_bytes() const { return size_t(columns) * panel_rows * 2; }
  size_t bytes() const { return panel_bytes() * panels(); }
  void row(int r, float *out) const;
};

// Rows of activations that a tile has, descending: as many as leave registers for the weight, with AVX-512 and with less. The
// order of a row's sums is the same in each.
constexpr int tile_rows[] = {14, 6, 4, 2, 1};
constexpr int tile_sizes = 5;

// One panel with a tile of activations (columns x rows of the tile), into rows of y, ldy apart, of whose 16 outputs n exist.
using Tile = void (*)(const uint8_t *w, const float *x, int columns, float *y, int ldy, int n);

// Tiles for float16 by an instruction that widens it, by place in tile_rows.
struct Widening {
  const char *name;
  bool (*here)(); // whether this processor has it
  Tile tiles[tile_sizes];
};

// All that were compiled, best first.
const std::vector<Widening> &widenings();

// words: rows x columns numbers of 16 bits, at any address.
Packed pack(const void *words, bool brain, int rows, int columns, Arena &memory);

// Panels that one task takes on where there are so many rows of activations: no more than the second cache holds, and few
// enough for all threads to have some.
int piece(const Packed &w, int rows);

// Rows of activations, in tiles of a few, a tile column after column.
class Rows {
public:
  void resize(int rows, int columns);
  void set(int r, const float *x);
  // Multiplies panels from..to-1 of w with all rows, into y, rows x ldy, whose first column is panel from's first. Every sum
  // is taken column after column in float32, however many rows there are.
  void multiply(const Packed &w, int from, int to, float *y, int ldy) const;

private:
  int columns_ = 0;
  Parts parts_;
  std::vector<float> x_;
};

} // namespace half
} // namespace ls

#endif
