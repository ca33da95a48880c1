//go:build mlx

// The kernels in plain C++. They serve processors that have none of the other instruction sets, and
// the other kernels are tested against them.

#include "quant.h"

#include <cmath>
#include <cstring>

namespace ls {
namespace quant {
namespace {

template <int BITS> int element(const uint8_t *p, int j, int i) {
  if constexpr (BITS == 8) {
    return p[64 * j + i];
  }
  const int low = j < 4 ? p[64 * j + i] & 15 : p[64 * (j - 4) + i] >> 4;
  return BITS == 4 ? low : low | (p[256 + i] >> j & 1) << 4;
}

template <int BITS, bool BIASED> void tile(const Tile &t) {
  float acc[panel_rows] = {};
  const uint8_t *p = t.panel, *s = nullptr;
  for (int g = 0, b = 0; g < t.groups; g++) {
    uint16_t half[2 * panel_rows];
    s = scales<BIASED>(g, s, p);
    std::memcpy(half, s, BIASED ? line : line / 2);
    for (int c = 0; c < t.group_blocks; c++, b++, p += BITS * 64) {
      for (int r = 0; r < panel_rows; r++) {
        int32_t d = t.start[b];
        for (int k = 0; k < block; k++) {
          d += element<BITS>(p, k / 4, r * 4 + k % 4) * t.x[b * block + k];
        }
        acc[r] = std::fma(float(d), half_to_float(half[r]) * t.scale[b], acc[r]);
        if constexpr (BIASED) {
          acc[r] = std::fma(half_to_float(half[panel_rows + r]), t.sum[b], acc[r]);
        }
      }
    }
  }
  for (int r = 0; r < t.n; r++) {
    t.y[r] = acc[r] * t.factor;
  }
}

} // namespace

const Isa &scalar() {
  static const Isa isa{"scalar",
                       [] { return true; },
                       {1},
                       {{{tile<4, false>}, {tile<4, true>}},
                        {{tile<5, false>}, {tile<5, true>}},
                        {{tile<8, false>}, {tile<8, true>}}}};
  return isa;
}

} // namespace quant
} // namespace ls
