//go:build mlx

// ARM's dot products (FEAT_DotProd). A vector holds 4 columns of 4 rows, and sdot adds 4 products
// to the sum of each row. All Macs that run MLX have it.

#include "quant.h"

// Before Clang 16 arm_neon.h has vdotq_s32 only where the whole file is compiled for it.
#if defined(__aarch64__) &&                                                                        \
    (defined(__ARM_FEATURE_DOTPROD) || !defined(__clang__) || __clang_major__ >= 16)

#include <arm_neon.h>
#ifdef __linux__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#ifdef __ARM_FEATURE_DOTPROD
#define LS_TARGET
#elif defined(__clang__)
#define LS_TARGET __attribute__((target("dotprod")))
#else
#define LS_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

namespace ls {
namespace quant {
namespace {

// Returns rows 4 r .. 4 r + 3 of chunk j. sdot takes signed numbers, so 128 is subtracted from
// those of 8 bits.
template <int BITS>
LS_TARGET inline __attribute__((always_inline)) int8x16_t chunk(const uint8_t *p, int j, int r) {
  if constexpr (BITS == 8) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p + 64 * j + 16 * r), vdupq_n_u8(0x80)));
  }
  const uint8x16_t v = vld1q_u8(p + 64 * (j & 3) + 16 * r);
  uint8x16_t q = j < 4 ? vandq_u8(v, vdupq_n_u8(15)) : vshrq_n_u8(v, 4);
  if constexpr (BITS == 5) {
    const uint8x16_t bit = vshlq_u8(vdupq_n_u8(1), vdupq_n_s8(int8_t(j)));
    q = vorrq_u8(q, vandq_u8(vtstq_u8(vld1q_u8(p + 256 + 16 * r), bit), vdupq_n_u8(16)));
  }
  return vreinterpretq_s8_u8(q);
}

LS_TARGET inline __attribute__((always_inline)) float32x4_t halves(const uint8_t *p) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

template <int BITS, bool BIASED, int M> LS_TARGET void tile(const Tile &t) {
  for (int r = 0; r < 4 && t.n > 4 * r; r++) {
    float32x4_t acc[M];
    for (int m = 0; m < M; m++) {
      acc[m] = vdupq_n_f32(0);
    }
    const uint8_t *p = t.panel, *s = nullptr;
    const int8_t *x = t.x;
    const float *scale = t.scale, *sum = t.sum;
    const int32_t *start = t.start;
    for (int g = 0; g < t.groups; g++) {
      s = scales<BIASED>(g, s, p);
      const float32x4_t ws = halves(s + 8 * r), wb = BIASED ? halves(s + 32 + 8 * r) : ws;
      for (int b = 0; b < t.group_blocks; b++) {
        int8x16_t w[8];
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
          w[j] = chunk<BITS>(p, j, r);
        }
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
          const int8x16_t x0 = vld1q_s8(x + 32 * m), x1 = vld1q_s8(x + 32 * m + 16);
          // Two sums, because each addition to a single one would wait for the one before.
          int32x4_t d0 = vdupq_n_s32(BITS == 8 ? 0 : start[m]), d1 = vdupq_n_s32(0);
          d0 = vdotq_laneq_s32(d0, w[0], x0, 0), d1 = vdotq_laneq_s32(d1, w[4], x1, 0);
          d0 = vdotq_laneq_s32(d0, w[1], x0, 1), d1 = vdotq_laneq_s32(d1, w[5], x1, 1);
          d0 = vdotq_laneq_s32(d0, w[2], x0, 2), d1 = vdotq_laneq_s32(d1, w[6], x1, 2);
          d0 = vdotq_laneq_s32(d0, w[3], x0, 3), d1 = vdotq_laneq_s32(d1, w[7], x1, 3);
          acc[m] = vfmaq_f32(acc[m], vcvtq_f32_s32(vaddq_s32(d0, d1)), vmulq_n_f32(ws, scale[m]));
          if constexpr (BIASED) {
            acc[m] = vfmaq_n_f32(acc[m], wb, sum[m]);
          }
        }
        p += BITS * 64, x += 32 * M, scale += M, sum += M, start += M;
      }
    }
    for (int m = 0; m < M; m++) {
      float y[4];
      vst1q_f32(y, vmulq_n_f32(acc[m], t.factor));
      for (int i = 0; i < 4 && 4 * r + i < t.n; i++) {
        t.y[size_t(m) * t.ldy + 4 * r + i] = y[i];
      }
    }
  }
}

template <int BITS, bool BIASED> std::vector<Kernel> kernels() {
  return {tile<BITS, BIASED, 8>, tile<BITS, BIASED, 4>, tile<BITS, BIASED, 2>,
          tile<BITS, BIASED, 1>};
}

bool here() {
#ifdef __linux__
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return true;
#endif
}

} // namespace

const Isa *neon() {
  static const Isa isa{"neon-dotprod",
                       here,
                       {8, 4, 2, 1},
                       {{kernels<4, false>(), kernels<4, true>()},
                        {kernels<5, false>(), kernels<5, true>()},
                        {kernels<8, false>(), kernels<8, true>()}}};
  return &isa;
}

} // namespace quant
} // namespace ls

#else
namespace ls::quant {
const Isa *neon() { return nullptr; }
} // namespace ls::quant
#endif
