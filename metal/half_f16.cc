//go:build mlx

// Products with float16 weights on processors that widen them by one instruction, where half.cc,
// which runs on any processor, needs six. Every sum is made in the same order, fma after fma, and
// widening is exact, so the results are the same to the last bit.

#include "half.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define LS_AVX512 __attribute__((target("avx512f")))
#define LS_AVX2 __attribute__((target("avx2,fma,f16c")))

namespace ls {
namespace half {
namespace {

#if defined(__x86_64__)

template <int M>
LS_AVX512 void avx512(const uint8_t *w, const float *x, int columns, float *y, int ldy, int n) {
  __m512 acc[M];
  for (int m = 0; m < M; m++) {
    acc[m] = _mm512_setzero_ps();
  }
#pragma GCC unroll 4
  for (int k = 0; k < columns; k++, w += 32, x += M) {
    const __m512 v = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(w)));
#pragma GCC unroll 16
    for (int m = 0; m < M; m++) {
      acc[m] = _mm512_fmadd_ps(v, _mm512_set1_ps(x[m]), acc[m]);
    }
  }
  const __mmask16 some = n >= 16 ? 0xffff : (1 << n) - 1;
  for (int m = 0; m < M; m++) {
    _mm512_mask_storeu_ps(y + size_t(m) * ldy, some, acc[m]);
  }
}

template <int M>
LS_AVX2 void avx2(const uint8_t *w, const float *x, int columns, float *y, int ldy, int n) {
  __m256 acc[M][2];
  for (int m = 0; m < M; m++) {
    acc[m][0] = acc[m][1] = _mm256_setzero_ps();
  }
#pragma GCC unroll 4
  for (int k = 0; k < columns; k++, w += 32, x += M) {
    const auto *p = reinterpret_cast<const __m128i *>(w);
    const __m256 v0 = _mm256_cvtph_ps(_mm_loadu_si128(p)),
                 v1 = _mm256_cvtph_ps(_mm_loadu_si128(p + 1));
#pragma GCC unroll 16
    for (int m = 0; m < M; m++) {
      const __m256 a = _mm256_set1_ps(x[m]);
      acc[m][0] = _mm256_fmadd_ps(v0, a, acc[m][0]), acc[m][1] = _mm256_fmadd_ps(v1, a, acc[m][1]);
    }
  }
  for (int m = 0; m < M; m++) {
    for (int i = 0; i < 2; i++) {
      const __m256i lane =
          _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(8 * i));
      _mm256_maskstore_ps(y + size_t(m) * ldy + 8 * i,
                          _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), acc[m][i]);
    }
  }
}

// Clang before 17 does not know the name f16c in __builtin_cpu_supports.
bool f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

#elif defined(__aarch64__)

template <int M>
void neon(const uint8_t *w, const float *x, int columns, float *y, int ldy, int n) {
  float32x4_t acc[M][4];
  for (int m = 0; m < M; m++) {
    for (int i = 0; i < 4; i++) {
      acc[m][i] = vdupq_n_f32(0);
    }
  }
  for (int k = 0; k < columns; k++, w += 32, x += M) {
    const float16x8_t a = vreinterpretq_f16_u8(vld1q_u8(w)),
                      b = vreinterpretq_f16_u8(vld1q_u8(w + 16));
    const float32x4_t v[4] = {vcvt_f32_f16(vget_low_f16(a)), vcvt_high_f32_f16(a),
                              vcvt_f32_f16(vget_low_f16(b)), vcvt_high_f32_f16(b)};
#pragma GCC unroll 16
    for (int m = 0; m < M; m++) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        acc[m][i] = vfmaq_n_f32(acc[m][i], v[i], x[m]);
      }
    }
  }
  for (int m = 0; m < M; m++) {
    float row[panel_rows];
    for (int i = 0; i < 4; i++) {
      vst1q_f32(row + 4 * i, acc[m][i]);
    }
    for (int i = 0; i < n; i++) {
      y[size_t(m) * ldy + i] = row[i];
    }
  }
}

#endif

#define LS_TILES(tile) {tile<14>, tile<6>, tile<4>, tile<2>, tile<1>}

} // namespace

const std::vector<Widening> &widenings() {
  static const std::vector<Widening> all = {
#if defined(__x86_64__)
#ifndef LS_NO_AVX512
      {"avx512", [] { return __builtin_cpu_supports("avx512f") != 0; }, LS_TILES(avx512)},
#endif
      {"f16c",
       [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c(); },
       LS_TILES(avx2)},
#elif defined(__aarch64__)
      {"neon", [] { return true; }, LS_TILES(neon)},
#endif
  };
  return all;
}

} // namespace half
} // namespace ls
