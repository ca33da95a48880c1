//go:build mlx

// The encodings of one head's key or value of one token in the cache; see KVFormat in internal.h.

#include "internal.h"
#include "simd.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace ls {
namespace {

constexpr int group = 64; // elements that share a scale and a bias

float finite(float f) { return f > 65504 ? 65504 : f < -65504 ? -65504 : f; }

// Rounds to the nearest finite binary16, ties to even. NaN stays NaN.
uint16_t to_half(float f) {
  const uint32_t b = float_bits(finite(f)), abs = b & 0x7fffffff;
  const uint16_t sign = b >> 16 & 0x8000;
  if (abs > 0xffu << 23) {
    return sign | 0x7e00;
  }
  if (abs < 113u << 23) { // subnormal: the sum with 1/2 has units of 2^-24 in its low bits
    return sign | uint16_t(float_bits(bits_float(abs) + 0.5f) - (126u << 23));
  }
  return sign | uint16_t((abs + 0xfff + (abs >> 13 & 1) - (112u << 23)) >> 13);
}

// Widens exactly. Infinities, which the cache does not have, become large numbers.
float from_half(uint16_t h) {
  const float f = bits_float(uint32_t(h & 0x7fff) << 13) * 0x1p112f;
  return bits_float(uint32_t(h & 0x8000) << 16 | float_bits(f));
}

uint16_t half_at(const uint8_t *p) {
  uint16_t h;
  std::memcpy(&h, p, sizeof h);
  return h;
}

// GCC makes no vector code of conversions to and from binary16, so the vector code below is by
// hand.
void narrow_any(const float *x, size_t n, uint8_t *dst) {
  for (size_t i = 0; i < n; i++) {
    const uint16_t h = to_half(x[i]);
    std::memcpy(dst + 2 * i, &h, sizeof h);
  }
}

LS_CLONES void widen_any(const uint8_t *src, size_t n, float *x) {
  for (size_t i = 0; i < n; i++) {
    x[i] = from_half(half_at(src + 2 * i));
  }
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx,f16c"))) void narrow_f16c(const float *x, size_t n, uint8_t *dst) {
  const __m256 max = _mm256_set1_ps(65504), min = _mm256_set1_ps(-65504);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    // min and max return their second operand where one is NaN.
    const __m256 v = _mm256_max_ps(min, _mm256_min_ps(max, _mm256_loadu_ps(x + i)));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(dst + 2 * i),
                     _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  narrow_any(x + i, n - i, dst + 2 * i);
}

__attribute__((target("avx,f16c"))) void widen_f16c(const uint8_t *src, size_t n, float *x) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(
        x + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(src + 2 * i))));
  }
  widen_any(src + 2 * i, n - i, x + i);
}

const bool f16c = __builtin_cpu_supports("avx2"); // every processor with AVX2 has F16C
void narrow(const float *x, size_t n, uint8_t *dst) {
  (f16c ? narrow_f16c : narrow_any)(x, n, dst);
}
void widen(const uint8_t *src, size_t n, float *x) { (f16c ? widen_f16c : widen_any)(src, n, x); }
#else
void narrow(const float *x, size_t n, uint8_t *dst) { narrow_any(x, n, dst); }
void widen(const uint8_t *src, size_t n, float *x) { widen_any(src, n, x); }
#endif

// Encodes one group of n elements. The codes are chosen for the scale and the bias after rounding.
LS_CLONES void quantise(const float *x, int n, int bits, uint8_t *dst) {
  float low = x[0], high = x[0];
  for (int i = 1; i < n; i++) {
    low = std::min(low, x[i]), high = std::max(high, x[i]);
  }
  low = finite(low), high = finite(high);
  const float levels = float((1 << bits) - 1);
  const uint16_t s = to_half((high - low) / levels), b = to_half(low);
  std::memcpy(dst, &s, 2), std::memcpy(dst + 2, &b, 2);
  dst += 4;
  const float scale = from_half(s), bias = from_half(b), inv = scale > 0 ? 1 / scale : 0;
  uint8_t code[group];
  for (int i = 0; i < n; i++) {
    const float v = (x[i] - bias) * inv + 0.5f;
    code[i] = uint8_t(int(v > 0 ? (v < levels ? v : levels) : 0)); // NaN becomes 0
  }
  if (bits == 8) {
    std::memcpy(dst, code, n);
    return;
  }
  const int half = (n + 1) / 2;
  for (int i = 0; i < half; i++) {
    dst[i] = code[i] | (half + i < n ? code[half + i] << 4 : 0);
  }
}

// Random signs. They must never change, because memories on disk depend on them.
struct Signs {
  float at[256];
  Signs() {
    uint32_t r = 12345; // the state of the generator in Numerical Recipes
    for (float &s : at) {
      r = r * 1664525 + 1013904223;
      s = r >> 31 ? -1 : 1;
    }
  }
};
const Signs signs;

LS_CLONES void flip(float *x, int n, float scale) {
  for (int i = 0; i < n; i += 256) {
    for (int j = 0, m = std::min(256, n - i); j < m; j++) {
      x[i + j] *= signs.at[j] * scale;
    }
  }
}

typedef float v8 __attribute__((vector_size(32)));

// x = H x, where H has n = 2^k orthogonal rows of 1 and -1, by the fast Walsh-Hadamard transform.
// The first three stages are within vectors of eight.
LS_CLONES void hadamard(float *x, int n) {
  int h = 1;
  for (int i = 0; n >= 8 && i < n; i += 8, h = 8) {
    v8 v;
    std::memcpy(&v, x + i, sizeof v);
    v = __builtin_shufflevector(v, v, 0, 0, 2, 2, 4, 4, 6, 6) +
        __builtin_shufflevector(v, -v, 1, 9, 3, 11, 5, 13, 7, 15);
    v = __builtin_shufflevector(v, v, 0, 1, 0, 1, 4, 5, 4, 5) +
        __builtin_shufflevector(v, -v, 2, 3, 10, 11, 6, 7, 14, 15);
    v = __builtin_shufflevector(v, v, 0, 1, 2, 3, 0, 1, 2, 3) +
        __builtin_shufflevector(v, -v, 4, 5, 6, 7, 12, 13, 14, 15);
    std::memcpy(x + i, &v, sizeof v);
  }
  for (; h < n; h *= 2) {
    for (int i = 0; i < n; i += 2 * h) {
      float *__restrict a = x + i, *__restrict b = x + i + h;
      for (int j = 0; j < h; j++) {
        const float sum = a[j] + b[j], difference = a[j] - b[j];
        a[j] = sum, b[j] = difference;
      }
    }
  }
}

LS_CLONES void dequantise8(const uint8_t *__restrict src, int rows, int n, float *__restrict x) {
  for (int r = 0; r < rows; r++) {
    for (int at = 0; at < n; at += group) {
      const float scale = from_half(half_at(src)), bias = from_half(half_at(src + 2));
      src += 4;
      if (n - at >=
          group) { // the length is constant, so that the compiler makes vectors of all of it
        for (int i = 0; i < group; i++) {
          x[i] = scale * float(src[i]) + bias;
        }
      } else {
        for (int i = 0; i < n - at; i++) {
          x[i] = scale * float(src[i]) + bias;
        }
      }
      const int m = std::min(group, n - at);
      src += m, x += m;
    }
  }
}

LS_CLONES void dequantise4(const uint8_t *__restrict src, int rows, int n, float *__restrict x) {
  for (int r = 0; r < rows; r++) {
    for (int at = 0; at < n; at += group) {
      const float scale = from_half(half_at(src)), bias = from_half(half_at(src + 2));
      src += 4;
      const int m = std::min(group, n - at), half = (m + 1) / 2;
      if (m == group) {
        for (int i = 0; i < group / 2; i++) {
          x[i] = scale * float(src[i] & 15) + bias;
          x[group / 2 + i] = scale * float(src[i] >> 4) + bias;
        }
      } else {
        for (int i = 0; i < half; i++) {
          x[i] = scale * float(src[i] & 15) + bias;
          if (half + i < m) {
            x[half + i] = scale * float(src[i] >> 4) + bias;
          }
        }
      }
      src += half, x += m;
    }
  }
}

} // namespace

size_t KVFormat::row(int dim) const {
  if (bits >= 16) {
    return size_t(dim) * bits / 8;
  }
  const int rest = dim % group;
  return size_t(dim / group) * (4 + group * bits / 8) + (rest > 0 ? 4 + (rest * bits + 7) / 8 : 0);
}

void KVFormat::rotate(float *x, int dim) const {
  if (bits == 4) {
    const int n = dim & -dim;
    flip(x, dim, 1 / std::sqrt(float(n)));
    for (int i = 0; i < dim; i += n) {
      hadamard(x + i, n);
    }
  }
}

void KVFormat::unrotate(float *x, int dim) const {
  if (bits == 4) {
    const int n = dim & -dim;
    for (int i = 0; i < dim; i += n) {
      hadamard(x + i, n);
    }
    flip(x, dim, 1 / std::sqrt(float(n)));
  }
}

void KVFormat::encode(const float *x, int dim, uint8_t *dst) const {
  switch (bits) {
  case 32:
    std::memcpy(dst, x, dim * sizeof(float));
    return;
  case 16:
    narrow(x, dim, dst);
    return;
  }
  static thread_local std::vector<float> rotated; // threads of the pool never end
  if (bits == 4) {
    rotated.resize(dim);
    std::transform(x, x + dim, rotated.begin(), finite);
    rotate(rotated.data(), dim);
    x = rotated.data();
  }
  for (int at = 0; at < dim; at += group) {
    const int n = std::min(group, dim - at);
    quantise(x + at, n, bits, dst);
    dst += row(n);
  }
}

void KVFormat::decode(const uint8_t *src, int rows, int dim, float *x) const {
  switch (bits) {
  case 32:
    std::memcpy(x, src, size_t(rows) * dim * sizeof(float));
    return;
  case 16:
    widen(src, size_t(rows) * dim, x);
    return;
  case 8:
    dequantise8(src, rows, dim, x);
    return;
  default:
    dequantise4(src, rows, dim, x);
  }
}

} // namespace ls
