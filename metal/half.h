// Weights of 16 bits in the layout of the CPU kernels. They hold exactly the numbers of a
// checkpoint in bfloat16 or float16.
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

// The rows of a weight that lie interleaved: as many as a vector has floats.
constexpr int panel_rows = 16;

// A weight, outputs x inputs, in panels of 16 rows, the last one padded with zeros. A panel is its
// columns one after the other, 16 numbers each, so that a column times one activation adds to the
// sums of 16 rows in 16 lanes.
struct Packed {
  int rows = 0, columns = 0;
  bool brain = false; // bfloat16, else float16
  std::shared_ptr<uint8_t> data;

  int panels() const { return (rows + panel_rows - 1) / panel_rows; }
  size_t panel_bytes() const { return size_t(columns) * panel_rows * 2; }
  size_t bytes() const { return panel_bytes() * panels(); }
  void row(int r, float *out) const; // widens one row
};

// The numbers of rows that a tile of activations may have, descending. The first leaves registers
// for the weight with AVX-512, the second with fewer registers. The order of a row's sums is the
// same in all.
constexpr int tile_rows[] = {14, 6, 4, 2, 1};
constexpr int tile_sizes = 5;

// Multiplies one panel with a tile of activations (columns x rows of the tile), into rows of y, ldy
// apart. Of the panel's 16 outputs n exist.
using Tile = void (*)(const uint8_t *w, const float *x, int columns, float *y, int ldy, int n);

// The tiles for float16 that use an instruction that widens it, by index in tile_rows.
struct Widening {
  const char *name;
  bool (*here)(); // whether this processor has it
  Tile tiles[tile_sizes];
};

// All those that were compiled, best first.
const std::vector<Widening> &widenings();

// Packs words, rows x columns numbers of 16 bits at any address.
Packed pack(const void *words, bool brain, int rows, int columns, Arena &memory);

// The number of panels that one task takes when there are so many rows of activations: at most what
// the second-level cache holds, and so few that all threads have some.
int piece(const Packed &w, int rows);

// Rows of activations, cut into tiles. Within a tile the numbers lie column after column.
class Rows {
public:
  void resize(int rows, int columns);
  void set(int r, const float *x);
  // Multiplies panels from..to-1 of w with all rows, into y, rows x ldy. The first column of y is
  // the first output of panel from. Every sum takes column after column in float32, however many
  // rows there are.
  void multiply(const Packed &w, int from, int to, float *y, int ldy) const;

private:
  int columns_ = 0;
  Parts parts_;
  std::vector<float> x_;
};

} // namespace half
} // namespace ls

#endif
