//go:build mlx

// Numbers of 8 bits in the encoding E4M3 of the Open Compute Project: a sign, 4 bits of exponent
// with a bias of 7, 3 bits of fraction, no infinities, 448 the largest number. This is what vLLM
// and others call KV in fp8. The cache has no such format, because its other one of 8 bits is
// nearer to what was computed and as fast (benchdata/engine/README.md); here is what that was
// measured with.

#include "internal.h"
#include "simd.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace ls {
namespace {

constexpr int group = 64; // elements that share a scale, where there are scales

// Rounds to nearest, ties to even; what is too large becomes the largest number. NaN stays NaN.
uint8_t to_e4m3(float f) {
  const uint32_t b = float_bits(f), abs = b & 0x7fffffff;
  const uint8_t sign = b >> 24 & 0x80;
  if (abs > 0xffu << 23) {
    return sign | 0x7f;
  }
  if (abs >= float_bits(448)) {
    return sign | 0x7e;
  }
  if (abs < 121u << 23) { // subnormal: the sum with 2^14 has units of 2^-9 in its low bits
    return sign | uint8_t(float_bits(bits_float(abs) + 0x1p14f) - float_bits(0x1p14f));
  }
  return sign | uint8_t((abs + 0x7ffff + (abs >> 20 & 1) - (120u << 23)) >> 20);
}

// Widens exactly. NaN, which no vector of the cache has, becomes a number. The sign is extended to
// where it belongs, so that it takes no instructions of its own.
inline float from_e4m3(uint8_t code) {
  return bits_float(uint32_t(int8_t(code)) << 20 & 0x87f00000) * 0x1p120f;
}

// A vector as it is stored: codes alone, or, with scales, groups of 64 elements, each after a
// float32 with which its codes are multiplied, so that its largest element becomes 448.
void encode(const float *x, int dim, bool scaled, uint8_t *dst) {
  for (int at = 0; at < dim; at += group) {
    const int n = std::min(group, dim - at);
    float scale = 1;
    if (scaled) {
      float top = 0;
      for (int i = 0; i < n; i++) {
        top = std::max(top, std::fabs(x[at + i]));
      }
      scale = top > 0 ? top / 448 : 1;
      std::memcpy(dst, &scale, sizeof scale);
      dst += sizeof scale;
    }
    for (int i = 0; i < n; i++) {
      *dst++ = to_e4m3(x[at + i] / scale);
    }
  }
}

LS_CLONES void decode(const uint8_t *__restrict src, size_t n, float *__restrict x) {
  for (size_t i = 0; i < n; i++) {
    x[i] = from_e4m3(src[i]);
  }
}

LS_CLONES void decode_scaled(const uint8_t *__restrict src, int rows, int dim,
                             float *__restrict x) {
  for (int r = 0; r < rows; r++) {
    for (int at = 0; at < dim; at += group) {
      float scale;
      std::memcpy(&scale, src, sizeof scale);
      src += sizeof scale;
      const int n = std::min(group, dim - at);
      if (n == group) { // a constant length, so that the compiler makes vectors of all of it
        for (int i = 0; i < group; i++) {
          x[i] = from_e4m3(src[i]) * scale;
        }
      } else {
        for (int i = 0; i < n; i++) {
          x[i] = from_e4m3(src[i]) * scale;
        }
      }
      src += n, x += n;
    }
  }
}

size_t row(int dim, bool scaled) {
  return size_t(dim) + (scaled ? (dim + group - 1) / group * sizeof(float) : 0);
}

template <bool SCALED> void round_vector(float *x, int dim) {
  static thread_local std::vector<uint8_t> bytes; // threads of the pool never end
  bytes.resize(row(dim, SCALED));
  encode(x, dim, SCALED, bytes.data());
  if (SCALED) {
    decode_scaled(bytes.data(), 1, dim, x);
  } else {
    decode(bytes.data(), dim, x);
  }
}

} // namespace
} // namespace ls

using namespace ls;

void ls_kv_rounding(int32_t format) {
  KVFormat::rounding = format == LS_E4M3          ? round_vector<false>
                       : format == LS_E4M3_SCALED ? round_vector<true>
                                                  : nullptr;
}

int ls_kv_decode(int32_t format, const float *x, int32_t rows, int32_t dim, float *y,
                 int32_t times, double *seconds, char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    const bool scaled = format == LS_E4M3_SCALED, e4m3 = scaled || format == LS_E4M3;
    const KVFormat kv{e4m3 ? 8 : format};
    const size_t size = e4m3 ? row(dim, scaled) : kv.row(dim);
    std::vector<uint8_t> bytes(rows * size);
    for (int r = 0; r < rows; r++) {
      const float *from = x + size_t(r) * dim;
      uint8_t *to = bytes.data() + r * size;
      e4m3 ? encode(from, dim, scaled, to) : kv.encode(from, dim, to);
    }
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < times; i++) {
      if (scaled) {
        decode_scaled(bytes.data(), rows, dim, y);
      } else if (e4m3) {
        decode(bytes.data(), size_t(rows) * dim, y);
      } else {
        kv.decode(bytes.data(), rows, dim, y);
      }
    }
    *seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  });
}
