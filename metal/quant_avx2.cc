//go:build mlx

// AVX2, and AVX2 with VNNI. A vector holds 4 columns of 8 outputs, half a panel. 16 registers hold
// the sums of a block for both halves and 4 rows of activations; with more rows a block is unpacked
// once, into memory, and the sums of its panel are there as well.

#include "quant.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define LS_TARGET __attribute__((target("avx2,fma,f16c")))
#define LS_TARGET_VNNI __attribute__((target("avx2,fma,f16c,avxvnni")))

namespace ls {
namespace quant {
namespace {

constexpr int at_once = 4; // rows of activations that have their sums in registers

#define LS_ALWAYS inline __attribute__((always_inline))

LS_TARGET LS_ALWAYS __m256i load(const uint8_t *p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
}

// Returns half of chunk j of a block.
template <int BITS> LS_TARGET LS_ALWAYS __m256i chunk(const uint8_t *p, int j) {
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

// Unpacks a block into the 8 chunks of a block of 8 bits.
template <int BITS> LS_TARGET LS_ALWAYS void unpack(const uint8_t *p, uint8_t *wide) {
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
      _mm256_store_si256(reinterpret_cast<__m256i *>(wide + 64 * j + 32 * h),
                         chunk<BITS>(p + 32 * h, j));
    }
  }
}

// Returns the same 4 activations in all lanes.
LS_TARGET LS_ALWAYS __m256i four_activations(const int8_t *x) {
  int32_t v;
  __builtin_memcpy(&v, x, 4);
  return _mm256_set1_epi32(v);
}

// Adds to a sum, here and now. Left to itself GCC adds all products of a block pairwise at its end,
// and keeps them in memory until then: 1.4 to 2 times slower.
LS_TARGET LS_ALWAYS void add16(__m256i &sum, __m256i x) {
  sum = _mm256_add_epi16(sum, x);
  asm("" : "+x"(sum));
}

LS_TARGET LS_ALWAYS void add32(__m256i &sum, __m256i x) {
  sum = _mm256_add_epi32(sum, x);
  asm("" : "+x"(sum));
}

// The sums of a block: those of M rows of activations with both halves of a panel.
template <int M> using Sums = __m256i[M][2];

// Computes the sums of a block of weights below 2^BITS that lie as those of STORED bits do.
// vpmaddubsw multiplies unsigned weights with signed activations and adds pairs into 16 bits that
// saturate: 8 pairs of 15 x 127 stay below 2^15, and so do 4 pairs of 31 x 127.
template <int BITS, int STORED, int M>
LS_TARGET LS_ALWAYS void dots_few_bits(const uint8_t *p, const int8_t *x, const int32_t *start,
                                       Sums<M> &d) {
  constexpr int pairs = BITS == 4 ? 8 : 4;
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
  for (int m = 0; m < M; m++) {
    d[m][0] = d[m][1] = _mm256_set1_epi32(start[m]);
  }
#pragma GCC unroll 2
  for (int first = 0; first < 8; first += pairs) {
    Sums<M> s;
#pragma GCC unroll 8
    for (int j = first; j < first + pairs; j++) {
      const __m256i w[2] = {chunk<STORED>(p, j), chunk<STORED>(p + 32, j)};
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) {
        const __m256i four = four_activations(x + 32 * m + 4 * j);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
          const __m256i product = _mm256_maddubs_epi16(w[h], four);
          if (j == first) {
            s[m][h] = product;
          } else {
            add16(s[m][h], product);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      add32(d[m][0], _mm256_madd_epi16(s[m][0], ones));
      add32(d[m][1], _mm256_madd_epi16(s[m][1], ones));
    }
  }
}

// The same for 8 bits. The sign of the weight minus 128 is applied to the activation, and a pair is
// at most 2 x 128 x 127. On a Zen 4 restricted to AVX2 that is 65 of the 69 thousand million
// multiplications a second that its two multipliers can do at 3.7 GHz, since they apply signs as
// well. Products with the low and the high four bits apart, without signs, did 60.
template <int M>
LS_TARGET LS_ALWAYS void dots8(const uint8_t *p, const int8_t *x, const int32_t *, Sums<M> &d) {
  const __m256i ones = _mm256_set1_epi16(1), middle = _mm256_set1_epi8(char(0x80));
#pragma GCC unroll 4
  for (int m = 0; m < M; m++) {
    d[m][0] = d[m][1] = _mm256_setzero_si256();
  }
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) {
    const __m256i w[2] = {_mm256_xor_si256(chunk<8>(p, j), middle),
                          _mm256_xor_si256(chunk<8>(p + 32, j), middle)};
    const __m256i a[2] = {_mm256_abs_epi8(w[0]), _mm256_abs_epi8(w[1])};
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      const __m256i four = four_activations(x + 32 * m + 4 * j);
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) {
        const __m256i s = _mm256_maddubs_epi16(a[h], _mm256_sign_epi8(four, w[h]));
        add32(d[m][h], _mm256_madd_epi16(s, ones));
      }
    }
  }
}

template <int BITS, int STORED, int M>
LS_TARGET LS_ALWAYS void dots(const uint8_t *p, const int8_t *x, const int32_t *start,
                              Sums<M> &d) {
  if constexpr (BITS == 8) {
    dots8<M>(p, x, start, d);
  } else {
    dots_few_bits<BITS, STORED, M>(p, x, start, d);
  }
}

template <int BITS, int STORED, int M>
LS_TARGET_VNNI LS_ALWAYS void dots_vnni(const uint8_t *p, const int8_t *x, const int32_t *start,
                                        Sums<M> &d) {
#pragma GCC unroll 4
  for (int m = 0; m < M; m++) {
    d[m][0] = d[m][1] = _mm256_set1_epi32(start[m]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) {
    const __m256i w[2] = {chunk<STORED>(p, j), chunk<STORED>(p + 32, j)};
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      const __m256i four = four_activations(x + 32 * m + 4 * j);
      d[m][0] = _mm256_dpbusd_avx_epi32(d[m][0], w[0], four);
      d[m][1] = _mm256_dpbusd_avx_epi32(d[m][1], w[1], four);
    }
  }
}

// Writes the outputs of a row, of which n exist.
LS_TARGET LS_ALWAYS void put(const __m256 *acc, float factor, int n, float *y) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int h = 0; h < 2 && n > 8 * h; h++) {
    _mm256_maskstore_ps(y + 8 * h, _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8 * h), lane),
                        _mm256_mul_ps(acc[h], _mm256_set1_ps(factor)));
  }
}

// Defines the kernel of a tile; dot computes the sums of a block.
#define LS_TILE(name, target, dot)                                                                 \
  template <int BITS, bool BIASED, int M> target void name(const Tile &t) {                        \
    constexpr int R = M < at_once ? M : at_once;                                                   \
    constexpr bool UNPACKED = M > at_once && BITS < 8;                                             \
    __m256 acc[M][2];                                                                              \
    for (int m = 0; m < M; m++) {                                                                  \
      acc[m][0] = acc[m][1] = _mm256_setzero_ps();                                                 \
    }                                                                                              \
    const uint8_t *p = t.panel, *line = nullptr;                                                   \
    const int8_t *x = t.x;                                                                         \
    const float *scale = t.scale, *sum = t.sum;                                                    \
    const int32_t *start = t.start;                                                                \
    for (int g = 0; g < t.groups; g++) {                                                           \
      line = scales<BIASED>(g, line, p);                                                           \
      const auto *s = reinterpret_cast<const __m128i *>(line);                                     \
      const __m256 ws[2] = {_mm256_cvtph_ps(_mm_loadu_si128(s)),                                   \
                            _mm256_cvtph_ps(_mm_loadu_si128(s + 1))};                              \
      __m256 wb[2] = {};                                                                           \
      if constexpr (BIASED) {                                                                      \
        wb[0] = _mm256_cvtph_ps(_mm_loadu_si128(s + 2));                                           \
        wb[1] = _mm256_cvtph_ps(_mm_loadu_si128(s + 3));                                           \
      }                                                                                            \
      for (int b = 0; b < t.group_blocks; b++) {                                                   \
        prefetch<BITS, M>(p);                                                                      \
        alignas(32) uint8_t wide[UNPACKED ? 512 : 32];                                             \
        if constexpr (UNPACKED) {                                                                  \
          unpack<BITS>(p, wide);                                                                   \
        }                                                                                          \
        for (int r = 0; r < M; r += R, x += 32 * R, scale += R, sum += R, start += R) {            \
          Sums<R> d;                                                                               \
          dot<BITS, UNPACKED ? 8 : BITS, R>(UNPACKED ? wide : p, x, start, d);                     \
          for (int m = 0; m < R; m++) {                                                            \
            for (int h = 0; h < 2; h++) {                                                          \
              const __m256 f = _mm256_mul_ps(ws[h], _mm256_set1_ps(scale[m]));                     \
              __m256 &a = acc[r + m][h];                                                           \
              a = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[m][h]), f, a);                              \
              if constexpr (BIASED) {                                                              \
                a = _mm256_fmadd_ps(wb[h], _mm256_set1_ps(sum[m]), a);                             \
              }                                                                                    \
            }                                                                                      \
          }                                                                                        \
        }                                                                                          \
        p += BITS * 64;                                                                            \
      }                                                                                            \
    }                                                                                              \
    for (int m = 0; m < M; m++) {                                                                  \
      put(acc[m], t.factor, t.n, t.y + size_t(m) * t.ldy);                                         \
    }                                                                                              \
  }

LS_TILE(tile, LS_TARGET, dots)
LS_TILE(tile_vnni, LS_TARGET_VNNI, dots_vnni)

#define LS_TILES(tile, bits, biased)                                                               \
  {                                                                                                \
    tile<bits, biased, 16>, tile<bits, biased, 8>, tile<bits, biased, 4>, tile<bits, biased, 2>,   \
        tile<bits, biased, 1>                                                                      \
  }
#define LS_KERNELS(tile, bits) {LS_TILES(tile, bits, false), LS_TILES(tile, bits, true)}

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
  static const Isa isa{"avx2",
                       here,
                       {16, 8, 4, 2, 1},
                       {LS_KERNELS(tile, 4), LS_KERNELS(tile, 5), LS_KERNELS(tile, 8)}};
  return &isa;
}

const Isa *avxvnni() {
  static const Isa isa{
      "avx-vnni",
      [] { return here() && vnni(); },
      {16, 8, 4, 2, 1},
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
