//go:build mlx

// Activations as whole numbers. They are quantised by blocks of 32, whatever the groups of the
// weight are: the sum of a block's products has to be scaled anyway, and with a scale for each
// block one large activation takes precision from no more than 31 others.

#include "quant.h"
#include "simd.h"

#include <algorithm>
#include <cmath>

namespace ls {
namespace quant {

using simd::vf;
using simd::vi;

void Rows::resize(int rows, int columns) {
  columns_ = columns;
  parts_.cut(rows, isa().tiles.data());
  const size_t blocks = size_t(rows) * columns / block;
  x_.resize(size_t(rows) * columns);
  scale_.resize(blocks), sum_.resize(blocks);
  for (auto &s : start_) {
    s.resize(blocks);
  }
}

typedef int8_t vc __attribute__((vector_size(16)));

LS_CLONES static void quantise(const float *x, int blocks, int step, int8_t *q, float *scale,
                               float *sum, int32_t *start4, int32_t *start5, int32_t *start8) {
  for (int b = 0; b < blocks; b++, x += block, q += size_t(step) * block) {
    vf half[2];
    vi whole[2];
    for (int i = 0; i < 2; i++) {
      half[i] = simd::load(x + 16 * i);
    }
    const float max = simd::top(simd::larger(simd::abs(half[0]), simd::abs(half[1])));
    const float s = max / 127, inv = max > 0 ? 127 / max : 0;
    for (int i = 0; i < 2; i++) {
      // Adding and subtracting 1.5 x 2^23 rounds to nearest, ties to even. The comparison before it
      // never changes the number. It keeps compilers from making one operation, with one rounding,
      // of product and sum, so that the whole number is the same everywhere.
      const vf magic = vf{} + 12582912.0f, scaled = simd::larger(half[i] * inv, vf{} - 127.5f);
      whole[i] = __builtin_convertvector(scaled + magic - magic, vi);
      const vc bytes = __builtin_convertvector(whole[i], vc);
      std::memcpy(q + 16 * i, &bytes, 16);
    }
    const int32_t n = simd::total(whole[0] + whole[1]);
    const size_t at = size_t(b) * step;
    scale[at] = s;
    sum[at] = s * float(n);
    start4[at] = -8 * n, start5[at] = -16 * n, start8[at] = -128 * n;
  }
}

void Rows::set(int r, const float *x) {
  const Parts::Part &p = parts_.of(r);
  const int blocks = columns_ / block;
  const size_t at = size_t(p.first) * blocks + (r - p.first);
  quantise(x, blocks, p.rows, x_.data() + at * block, scale_.data() + at, sum_.data() + at,
           start_[0].data() + at, start_[1].data() + at, start_[2].data() + at);
}

void Rows::multiply(const Packed &w, int from, int to, float *y, int ldy) const {
  const auto &kernels = isa().kernels[bits_index(w.bits)][w.biased ? 1 : 0];
  const auto &start = start_[bits_index(w.bits)];
  for (int n = from; n < to; n++) {
    const uint8_t *panel = w.data.get() + n * w.panel_bytes;
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
          .y = y + size_t(p.first) * ldy + size_t(n - from) * panel_rows,
          .ldy = ldy,
          .n = std::min(panel_rows, w.rows - n * panel_rows),
      });
    }
  }
}

} // namespace quant
} // namespace ls
