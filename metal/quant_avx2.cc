//go:build mlx

// AVX2, and AVX2 with VNNI. A vector holds 4 columns of 8 rows, half a panel. The halves are
// processed one after the other, because 16 registers hold at most 4 rows of activations with their
// sums and scales.

#include "quant.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define LS_TARGET __attribute__((target("avx2,fma,f16c")))
#define LS_TARGET_VNNI __attribute__((target("avx2,fma,f16c,avxvnni")))

namespace ls {
namespace quant {
namespace {

// Returns chunk j of a block.
template <int BITS>
LS_TARGET inline __attribute__((always_inline)) __m256i chunk(const uint8_t *p, int j) {
  const auto load = [](const uint8_t *a) LS_TARGET {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(a));
  };
  if constexpr (BITS == 8) {
    return load(p + 64 * j);
  }
  const __m256i v = load(p + 64 * (j & 3));
  const __m256i q = _mm256_and_si256(j < 4 ? v : _mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
  if constexpr (BITS == 4) {
    return q;
  }
  const __m256i h = load(p + 256);
  const __m256i s = j <= 4 ? _mm256_slli_epi16(h, 4 - j) : _mm256_srli_epi16(h, j - 4);
  return _mm256_or_si256(q, _mm256_and_si256(s, _mm256_set1_epi8(16)));
}

// Returns the same 4 activations in all lanes.
LS_TARGET inline __attribute__((always_inline)) __m256i four_activations(const int8_t *x) {
  int32_t v;
  __builtin_memcpy(&v, x, 4);
  return _mm256_set1_epi32(v);
}

// Computes the sums of one block for 8 rows. vpmaddubsw multiplies unsigned weights with signed
// activations and adds pairs into 16 bits that saturate: 8 pairs of 15 x 127 stay below 2^15, and
// so do 4 pairs of 31 x 127. With 8 bits the sign of the weight minus 128 is applied to the
// activation, and a pair is at most 2 x 128 x 127.
template <int BITS, int M>
LS_TARGET inline __attribute__((always_inline)) void dots(const uint8_t *p, const int8_t *x,
                                                          const int32_t *start, __m256i *d) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (BITS == 8) {
    for (int m = 0; m < M; m++) {
      d[m] = _mm256_setzero_si256();
    }
    for (int j = 0; j < 8; j++) {
      const __m256i w = _mm256_xor_si256(chunk<8>(p, j), _mm256_set1_epi8(char(0x80))),
                    a = _mm256_abs_epi8(w);
      for (int m = 0; m < M; m++) {
        const __m256i s =
            _mm256_maddubs_epi16(a, _mm256_sign_epi8(four_activations(x + 32 * m + 4 * j), w));
        d[m] = _mm256_add_epi32(d[m], _mm256_madd_epi16(s, ones));
      }
    }
    return;
  }
  constexpr int pairs = BITS == 4 ? 8 : 4;
  for (int m = 0; m < M; m++) {
    d[m] = _mm256_set1_epi32(start[m]);
  }
  for (int j0 = 0; j0 < 8; j0 += pairs) {
    __m256i s[M];
    for (int m = 0; m < M; m++) {
      s[m] = _mm256_setzero_si256();
    }
    for (int j = j0; j < j0 + pairs; j++) {
      const __m256i w = chunk<BITS>(p, j);
      for (int m = 0; m < M; m++) {
        s[m] =
            _mm256_add_epi16(s[m], _mm256_maddubs_epi16(w, four_activations(x + 32 * m + 4 * j)));
      }
    }
    for (int m = 0; m < M; m++) {
      d[m] = _mm256_add_epi32(d[m], _mm256_madd_epi16(s[m], ones));
    }
  }
}

template <int BITS, int M>
LS_TARGET_VNNI inline __attribute__((always_inline)) void
dots_vnni(const uint8_t *p, const int8_t *x, const int32_t *start, __m256i *d) {
  for (int m = 0; m < M; m++) {
    d[m] = _mm256_set1_epi32(start[m]);
  }
  for (int j = 0; j < 8; j++) {
    const __m256i w = chunk<BITS>(p, j);
    for (int m = 0; m < M; m++) {
      d[m] = _mm256_dpbusd_avx_epi32(d[m], w, four_activations(x + 32 * m + 4 * j));
    }
  }
}

// Defines the kernel of a tile; dot computes the sums of a block.
#define LS_TILE(name, target, dot)                                                                 \
  template <int BITS, bool BIASED, int M> target void name(const Tile &t) {                        \
    for (int half = 0; half < 2 && t.n > 8 * half; half++) {                                       \
      __m256 acc[M];                                                                               \
      for (int m = 0; m < M; m++) {                                                                \
        acc[m] = _mm256_setzero_ps();                                                              \
      }                                                                                            \
      const uint8_t *p = t.panel, *scale_line = nullptr;                                           \
      const int8_t *x = t.x;                                                                       \
      const float *scale = t.scale, *sum = t.sum;                                                  \
      const int32_t *start = t.start;                                                              \
      for (int g = 0; g < t.groups; g++) {                                                         \
        scale_line = scales<BIASED>(g, scale_line, p);                                             \
        const auto *s = reinterpret_cast<const __m128i *>(scale_line + 16 * half);                 \
        const __m256 ws = _mm256_cvtph_ps(_mm_loadu_si128(s));                                     \
        __m256 wb = ws;                                                                            \
        if constexpr (BIASED) {                                                                    \
          wb = _mm256_cvtph_ps(_mm_loadu_si128(s + 2));                                            \
        }                                                                                          \
        for (int b = 0; b < t.group_blocks; b++) {                                                 \
          __m256i d[M];                                                                            \
          dot<BITS, M>(p + 32 * half, x, start, d);                                                \
          for (int m = 0; m < M; m++) {                                                            \
            const __m256 f = _mm256_mul_ps(ws, _mm256_set1_ps(scale[m]));                          \
            acc[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[m]), f, acc[m]);                         \
            if constexpr (BIASED) {                                                                \
              acc[m] = _mm256_fmadd_ps(wb, _mm256_set1_ps(sum[m]), acc[m]);                        \
            }                                                                                      \
          }                                                                                        \
          p += BITS * 64, x += 32 * M, scale += M, sum += M, start += M;                           \
        }                                                                                          \
      }                                                                                            \
      const int n = t.n - 8 * half;                                                                \
      const __m256i some =                                                                         \
          _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));     \
      for (int m = 0; m < M; m++) {                                                                \
        _mm256_maskstore_ps(t.y + size_t(m) * t.ldy + 8 * half, some,                              \
                            _mm256_mul_ps(acc[m], _mm256_set1_ps(t.factor)));                      \
      }                                                                                            \
    }                                                                                              \
  }

LS_TILE(tile, LS_TARGET, dots)
LS_TILE(tile_vnni, LS_TARGET_VNNI, dots_vnni)

#define LS_KERNELS(tile, bits)                                                                     \
  {                                                                                                \
    {tile<bits, false, 4>, tile<bits, false, 2>, tile<bits, false, 1>}, {                          \
      tile<bits, true, 4>, tile<bits, true, 2>, tile<bits, true, 1>                                \
    }                                                                                              \
  }

// Clang before 17 does not know the names of these two in __builtin_cpu_supports.
bool f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

bool vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & bit_AVXVNNI) != 0;
}

bool here() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c(); }

} // namespace

const Isa *avx2() {
  static const Isa isa{
      "avx2", here, {4, 2, 1}, {LS_KERNELS(tile, 4), LS_KERNELS(tile, 5), LS_KERNELS(tile, 8)}};
  return &isa;
}

const Isa *avxvnni() {
  static const Isa isa{
      "avx-vnni",
      [] { return here() && vnni(); },
      {4, 2, 1},
      {LS_KERNELS(tile_vnni, 4), LS_KERNELS(tile_vnni, 5), LS_KERNELS(tile_vnni, 8)}};
  return &isa;
}

} // namespace quant
} // namespace ls

#else
namespace ls::quant {
const Isa *avx2() { return nullptr; }
const Isa *avxvnni() { return nullptr; }
} // namespace ls::quant
#endif
