//go:build mlx

// AVX-512 with VNNI. One vector holds 4 columns of all 16 rows of a panel, and vpdpbusd adds 4
// products to the sum of each row.

#include "quant.h"

#if defined(__x86_64__) && !defined(LS_NO_AVX512)

#include <immintrin.h>

#define LS_TARGET                                                                                  \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))

namespace ls {
namespace quant {
namespace {

template <int BITS>
LS_TARGET inline __attribute__((always_inline)) const uint8_t *unpack(const uint8_t *p,
                                                                      __m512i *w) {
  if constexpr (BITS == 8) {
    for (int j = 0; j < 8; j++) {
      w[j] = _mm512_loadu_si512(p + 64 * j);
    }
    return p + 512;
  }
  const __m512i low = _mm512_set1_epi8(15);
  for (int j = 0; j < 4; j++) {
    const __m512i v = _mm512_loadu_si512(p + 64 * j);
    w[j] = _mm512_and_si512(v, low);
    w[j + 4] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
  }
  if constexpr (BITS == 4) {
    return p + 256;
  }
  const __m512i h = _mm512_loadu_si512(p + 256), bit = _mm512_set1_epi8(16);
  for (int j = 0; j < 8; j++) {
    const __m512i s = j <= 4 ? _mm512_slli_epi16(h, 4 - j) : _mm512_srli_epi16(h, j - 4);
    w[j] = _mm512_ternarylogic_epi32(s, bit, w[j], 0xea); // s & bit | w
  }
  return p + 320;
}

template <int BITS, bool BIASED, int M> LS_TARGET void tile(const Tile &t) {
  __m512 acc[M];
  for (int m = 0; m < M; m++) {
    acc[m] = _mm512_setzero_ps();
  }
  const uint8_t *p = t.panel, *s = nullptr;
  const int8_t *x = t.x;
  const float *scale = t.scale, *sum = t.sum;
  const int32_t *start = t.start;
  for (int g = 0; g < t.groups; g++) {
    s = scales<BIASED>(g, s, p);
    const __m512 ws = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(s)));
    __m512 wb;
    if constexpr (BIASED) {
      wb = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(s + 32)));
    }
    for (int b = 0; b < t.group_blocks; b++) {
      __m512i w[8];
      prefetch<BITS, M>(p);
      p = unpack<BITS>(p, w);
#pragma GCC unroll 16
      for (int m = 0; m < M; m++) {
        __m512i d = _mm512_set1_epi32(start[m]);
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
          int32_t four;
          __builtin_memcpy(&four, x + 32 * m + 4 * j, 4);
          d = _mm512_dpbusd_epi32(d, w[j], _mm512_set1_epi32(four));
        }
        acc[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(d), _mm512_mul_ps(ws, _mm512_set1_ps(scale[m])),
                                 acc[m]);
        if constexpr (BIASED) {
          acc[m] = _mm512_fmadd_ps(wb, _mm512_set1_ps(sum[m]), acc[m]);
        }
      }
      x += 32 * M, scale += M, sum += M, start += M;
    }
  }
  const __mmask16 some = t.n >= 16 ? 0xffff : (1 << t.n) - 1;
  for (int m = 0; m < M; m++) {
    _mm512_mask_storeu_ps(t.y + size_t(m) * t.ldy, some,
                          _mm512_mul_ps(acc[m], _mm512_set1_ps(t.factor)));
  }
}

template <int BITS, bool BIASED> std::vector<Kernel> kernels() {
  return {tile<BITS, BIASED, 16>, tile<BITS, BIASED, 8>, tile<BITS, BIASED, 4>,
          tile<BITS, BIASED, 2>, tile<BITS, BIASED, 1>};
}

bool here() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

} // namespace

const Isa *avx512() {
  static const Isa isa{"avx512-vnni",
                       here,
                       {16, 8, 4, 2, 1},
                       {{kernels<4, false>(), kernels<4, true>()},
                        {kernels<5, false>(), kernels<5, true>()},
                        {kernels<8, false>(), kernels<8, true>()}}};
  return &isa;
}

} // namespace quant
} // namespace ls

#else
namespace ls::quant {
const Isa *avx512() { return nullptr; }
} // namespace ls::quant
#endif
