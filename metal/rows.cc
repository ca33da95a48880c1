//go:build mlx

// Activations as whole numbers. They are quantised by blocks of 32, whatever the groups of the
// weight are: the sum of a block's products has to be scaled anyway, and with a scale for each
// block one large activation takes precision from no more than 31 others.
//
// A row of 16 bits is two rows of 8, the high one and the low one, whose products are added at the
// end. So the kernels know of 8 bits alone, and a step that waits for its weights has time for it.

#include "quant.h"
#include "simd.h"

#include <algorithm>
#include <cmath>

namespace ls {
namespace quant {

// The parts of 16 bits: an activation is scale (254 high + low), both in -127..127, since some
// kernels cannot take -128.
constexpr int high_unit = 254;

void Rows::resize(int rows, int columns, bool fine) {
  columns_ = columns, fine_ = fine;
  const int all = fine ? 2 * rows : rows;
  parts_.cut(all, isa().tiles.data());
  const size_t blocks = size_t(all) * columns / block;
  x_.resize(size_t(all) * columns);
  scale_.resize(blocks), sum_.resize(blocks);
  for (auto &s : start_) {
    s.resize(blocks);
  }
}

// Where the blocks of a row of 8 bits lie: block b is number b x step of each array.
struct Rows::Row {
  int step;
  int8_t *x;
  float *scale, *sum;
  int32_t *start4, *start5, *start8;
};

// Rounds to nearest, ties to even, by adding and subtracting 1.5 x 2^23. All of x are above lowest.
// The comparison with it never changes a number. It keeps compilers from making one operation, with
// one rounding, of the product before and the sum, so that the whole number is the same everywhere.
template <typename F> LS_INLINE F round(F x, float lowest) {
  const F magic = F{} + 12582912.0f;
  return simd::larger(x, F{} + lowest) + magic - magic;
}

// Writes block b, whole numbers of 8 bits whose unit is scale.
template <int LANES>
LS_INLINE void put(const Rows::Row &row, int b, const typename simd::Of<LANES>::f *whole,
                   float scale) {
  const size_t at = size_t(b) * row.step;
  int32_t w[block], n = 0;
  for (int i = 0; i < block / LANES; i++) {
    const auto v = __builtin_convertvector(whole[i], typename simd::Of<LANES>::i);
    std::memcpy(w + i * LANES, &v, sizeof v);
  }
  int8_t *to = row.x + at * block;
  for (int i = 0; i < block; i++) {
    to[i] = int8_t(w[i]);
    n += w[i];
  }
  row.scale[at] = scale;
  row.sum[at] = scale * float(n);
  row.start4[at] = -8 * n, row.start5[at] = -16 * n, row.start8[at] = -128 * n;
}

// Loads a block and returns the largest magnitude in it.
template <int LANES> LS_INLINE float load_block(const float *x, typename simd::Of<LANES>::f *v) {
  typename simd::Of<LANES>::f high = {};
  for (int i = 0; i < block / LANES; i++) {
    v[i] = simd::load<LANES>(x + i * LANES);
    high = simd::larger(simd::abs(v[i]), high);
  }
  return simd::top<LANES>(high);
}

template <int LANES> LS_INLINE void quantise_of(const float *x, int blocks, const Rows::Row &row) {
  for (int b = 0; b < blocks; b++, x += block) {
    typename simd::Of<LANES>::f v[block / LANES];
    const float max = load_block<LANES>(x, v), inv = max > 0 ? 127 / max : 0;
    for (auto &part : v) {
      part = round(part * inv, -127.5f);
    }
    put<LANES>(row, b, v, max / 127);
  }
}

template <int LANES>
LS_INLINE void quantise_fine_of(const float *x, int blocks, const Rows::Row &high,
                                const Rows::Row &low) {
  constexpr float units = 127 * high_unit;
  for (int b = 0; b < blocks; b++, x += block) {
    typename simd::Of<LANES>::f h[block / LANES], l[block / LANES];
    const float max = load_block<LANES>(x, l), inv = max > 0 ? units / max : 0, scale = max / units;
    for (int i = 0; i < block / LANES; i++) {
      const auto whole = round(l[i] * inv, -units - 0.5f);
      h[i] = round(whole * (1.0f / high_unit), -127.5f);
      l[i] = whole - h[i] * high_unit; // exact
    }
    put<LANES>(high, b, h, scale * high_unit);
    put<LANES>(low, b, l, scale);
  }
}

namespace {
LS_WIDTHS(void, quantise, quantise_of, (const float *x, int blocks, const Rows::Row &row), x,
          blocks, row)
LS_WIDTHS(void, quantise_fine, quantise_fine_of,
          (const float *x, int blocks, const Rows::Row &high, const Rows::Row &low), x, blocks,
          high, low)
} // namespace

// Returns row r of those of 8 bits.
Rows::Row Rows::row(int r) {
  const Parts::Part &p = parts_.of(r);
  const size_t at = size_t(p.first) * (columns_ / block) + (r - p.first);
  return {p.rows,           x_.data() + at * block, scale_.data() + at,    sum_.data() + at,
          start_[0].data() + at, start_[1].data() + at,  start_[2].data() + at};
}

void Rows::set(int r, const float *x) {
  const int blocks = columns_ / block;
  if (fine_) {
    quantise_fine(x, blocks, row(2 * r), row(2 * r + 1));
  } else {
    quantise(x, blocks, row(r));
  }
}

void Rows::multiply(const Packed &w, int from, int to, float *y, int ldy) const {
  const auto &kernels = isa().kernels[bits_index(w.bits)][w.biased ? 1 : 0];
  const auto &start = start_[bits_index(w.bits)];
  float both[16 * panel_rows]; // a tile's outputs, where two rows of them are one
  for (int n = from; n < to; n++) {
    const uint8_t *panel = w.data.get() + n * w.panel_bytes;
    const int outputs = std::min(panel_rows, w.rows - n * panel_rows);
    float *out = y + size_t(n - from) * panel_rows;
    for (const Parts::Part &p : parts_.all) {
      const size_t at = size_t(p.first) * (columns_ / block);
      kernels[p.size]({
          .panel = panel,
          .groups = w.columns / w.group,
          .group_blocks = w.group / block,
          .x = x_.data() + at * block,
          .scale = scale_.data() + at,
          .sum = sum_.data() + at,
          .start = start.data() + at,
          .factor = w.factor,
          .y = fine_ ? both : out + size_t(p.first) * ldy,
          .ldy = fine_ ? panel_rows : ldy,
          .n = outputs,
      });
      for (int i = 0; fine_ && i < p.rows; i++) {
        float *to = out + size_t((p.first + i) / 2) * ldy;
        const float *row = both + i * panel_rows;
        for (int j = 0; j < outputs; j++) {
          to[j] = (p.first + i) % 2 == 0 ? row[j] : to[j] + row[j];
        }
      }
    }
  }
}

} // namespace quant
} // namespace ls
