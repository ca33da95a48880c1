//go:build mlx

// Products with weights of 16 bits, which are widened in registers. They take half the bytes of
// float32, hence half the memory and, in decode, whose time is the reading of weights, half the
// time. With many rows the widening, once a column for a tile of rows, is little beside the
// multiplications. On one core with AVX-512 and a weight of 1536 x 576 in bfloat16, this did 29, 87
// and 102 thousand million operations a second for 1, 8 and 128 rows; OpenBLAS did 7, 43 and 82 on
// the same weight in float32.

#include "half.h"

#include "pool.h"
#include "simd.h"

#include <algorithm>

namespace ls {
namespace half {
namespace {

template <int LANES, bool BRAIN> LS_INLINE typename simd::Of<LANES>::f widen(const uint8_t *p) {
  typename simd::Of<LANES>::h h;
  std::memcpy(&h, p, sizeof h);
  using U = typename simd::Of<LANES>::u;
  U u = __builtin_convertvector(h, U);
  typename simd::Of<LANES>::f f;
  if constexpr (BRAIN) {
    u <<= 16;
    std::memcpy(&f, &u, sizeof f);
    return f;
  }
  // The digits are in their place and the exponent is 112 too small. A multiplication corrects it,
  // for subnormal numbers as well.
  const U size = (u & 0x7fff) << 13, sign = (u & 0x8000) << 16;
  std::memcpy(&f, &size, sizeof f);
  f *= 0x1p112f;
  std::memcpy(&u, &f, sizeof u);
  u |= sign;
  std::memcpy(&f, &u, sizeof f);
  return f;
}

// Multiplies one panel with M rows of activations. Of the panel's 16 outputs n exist.
template <int LANES, bool BRAIN, int M>
LS_INLINE void tile(const uint8_t *w, const float *x, int columns, float *y, int ldy, int n) {
  constexpr int V = panel_rows / LANES;
  typename simd::Of<LANES>::f acc[M][V] = {};
#pragma GCC unroll 4
  for (int k = 0; k < columns; k++) {
    typename simd::Of<LANES>::f v[V];
#pragma GCC unroll 4
    for (int i = 0; i < V; i++) {
      v[i] = widen<LANES, BRAIN>(w + size_t(k) * 32 + i * LANES * 2);
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; m++) {
#pragma GCC unroll 4
      for (int i = 0; i < V; i++) {
        acc[m][i] += v[i] * x[size_t(k) * M + m];
      }
    }
  }
  for (int m = 0; m < M; m++) {
    for (int i = 0; i < V && i * LANES < n; i++) {
      simd::store<LANES>(y + size_t(m) * ldy + i * LANES, acc[m][i],
                         std::min(LANES, n - i * LANES));
    }
  }
}

template <int LANES, bool BRAIN>
LS_INLINE void any(int rows, const uint8_t *w, const float *x, int columns, float *y, int ldy,
                   int n) {
  switch (rows) {
  case 14:
    return tile<LANES, BRAIN, 14>(w, x, columns, y, ldy, n);
  case 6:
    return tile<LANES, BRAIN, 6>(w, x, columns, y, ldy, n);
  case 4:
    return tile<LANES, BRAIN, 4>(w, x, columns, y, ldy, n);
  case 2:
    return tile<LANES, BRAIN, 2>(w, x, columns, y, ldy, n);
  }
  tile<LANES, BRAIN, 1>(w, x, columns, y, ldy, n);
}

template <int LANES>
LS_INLINE void any_brain(int rows, const uint8_t *w, const float *x, int columns, float *y, int ldy,
                         int n) {
  any<LANES, true>(rows, w, x, columns, y, ldy, n);
}

template <int LANES>
LS_INLINE void any_half(int rows, const uint8_t *w, const float *x, int columns, float *y, int ldy,
                        int n) {
  any<LANES, false>(rows, w, x, columns, y, ldy, n);
}

LS_WIDTHS(void, brain_tile, any_brain,
          (int rows, const uint8_t *w, const float *x, int columns, float *y, int ldy, int n), rows,
          w, x, columns, y, ldy, n)
LS_WIDTHS(void, half_tile, any_half,
          (int rows, const uint8_t *w, const float *x, int columns, float *y, int ldy, int n), rows,
          w, x, columns, y, ldy, n)

// The index in tile_rows of the largest tile whose sums stay in registers: with 14 rows they would
// need 28 registers with AVX2 and 56 with NEON.
int largest() {
#if defined(__x86_64__) && !defined(LS_NO_AVX512)
  static const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  return wide ? 0 : 1;
#else
  return 1;
#endif
}

// The tiles that use this processor's instruction for widening float16, or null if it has none.
const Tile *widening() {
  static const Tile *tiles = []() -> const Tile * {
    for (const Widening &w : widenings()) {
      if (w.here()) {
        return w.tiles;
      }
    }
    return nullptr;
  }();
  return tiles;
}

} // namespace

Packed pack(const void *words, bool brain, int rows, int columns, Arena &memory) {
  Packed p{.rows = rows, .columns = columns, .brain = brain};
  p.data = memory.take(p.bytes());
  uint8_t *data = p.data.get();
  Pool::shared().run(p.panels(), [&](int n) {
    uint8_t *out = data + n * p.panel_bytes();
    const int there = std::min(panel_rows, rows - n * panel_rows);
    const uint8_t *in = static_cast<const uint8_t *>(words) + size_t(n) * panel_rows * columns * 2;
    constexpr int step = 32; // columns of 16 rows that are in the first-level cache at a time
    for (int from = 0; from < columns; from += step) {
      const int to = std::min(columns, from + step);
      for (int r = 0; r < panel_rows; r++) {
        for (int k = from; k < to; k++) {
          uint16_t word = 0;
          if (r < there) {
            std::memcpy(&word, in + (size_t(r) * columns + k) * 2, 2);
          }
          std::memcpy(out + (size_t(k) * panel_rows + r) * 2, &word, 2);
        }
      }
    }
  });
  return p;
}

int piece(const Packed &w, int rows) {
  const size_t bytes = rows > 16 ? 256 << 10 : 64 << 10;
  return int(std::clamp<size_t>(bytes / w.panel_bytes(), 1, std::max(1, w.panels() / 8)));
}

void Packed::row(int r, float *out) const {
  const uint8_t *panel = data.get() + r / panel_rows * panel_bytes();
  for (int k = 0; k < columns; k++) {
    const uint8_t *p = panel + size_t(k) * 32 + r % panel_rows / 4 * 8;
    out[k] = (brain ? widen<4, true>(p) : widen<4, false>(p))[r % 4];
  }
}

void Rows::resize(int rows, int columns) {
  columns_ = columns;
  parts_.cut(rows, tile_rows + largest());
  x_.resize(size_t(rows) * columns);
}

void Rows::set(int r, const float *x) {
  const Parts::Part &p = parts_.of(r);
  float *to = x_.data() + size_t(p.first) * columns_ + (r - p.first);
  for (int k = 0; k < columns_; k++) {
    to[size_t(k) * p.rows] = x[k];
  }
}

void Rows::multiply(const Packed &w, int from, int to, float *y, int ldy) const {
  const Tile *tiles = w.brain ? nullptr : widening();
  // The rows of a tile stay in the second-level cache while the panels are read.
  for (const Parts::Part &p : parts_.all) {
    const float *x = x_.data() + size_t(p.first) * columns_;
    for (int n = from; n < to; n++) {
      const uint8_t *panel = w.data.get() + n * w.panel_bytes();
      float *out = y + size_t(p.first) * ldy + size_t(n - from) * panel_rows;
      const int outputs = std::min(panel_rows, w.rows - n * panel_rows);
      if (tiles != nullptr) {
        tiles[largest() + p.size](panel, x, columns_, out, ldy, outputs);
      } else if (w.brain) {
        brain_tile(p.rows, panel, x, columns_, out, ldy, outputs);
      } else {
        half_tile(p.rows, panel, x, columns_, out, ldy, outputs);
      }
    }
  }
}

} // namespace half
} // namespace ls
