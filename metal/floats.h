// Numbers as files store them: float16 and bfloat16, which are widened to float32.
#ifndef LOADSTONE_FLOATS_H
#define LOADSTONE_FLOATS_H

#include "bridge.h"
#include "simd.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ls {

// Neither conversion branches, so that compilers make vectors of loops over them.
LS_INLINE float half_to_float(uint16_t h) {
  // The digits are in their place and the exponent is 112 too small. A multiplication corrects it,
  // for subnormal numbers as well.
  uint32_t bits = uint32_t(h & 0x7fff) << 13;
  float f;
  std::memcpy(&f, &bits, 4);
  f *= 0x1p112f;
  std::memcpy(&bits, &f, 4);
  bits |= (h & 0x7c00) == 0x7c00 ? 0x7f800000 : 0; // infinities, and what is not a number
  bits |= uint32_t(h & 0x8000) << 16;
  std::memcpy(&f, &bits, 4);
  return f;
}

// Rounds to nearest, ties to even. |f| must be below 65520.
LS_INLINE uint16_t float_to_half(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  const uint32_t normal = (bits - (112u << 23) + 0xfff + (bits >> 13 & 1)) >> 13;
  // The last bit of numbers from 0.5 to 1 is 2^-24, as is that of subnormal halves.
  float small;
  std::memcpy(&small, &bits, 4);
  small += 0.5f;
  uint32_t subnormal;
  std::memcpy(&subnormal, &small, 4);
  subnormal -= 0x3f000000;
  return uint16_t(sign | (bits < 113u << 23 ? subnormal : normal));
}

// Numbers of a tensor, at any address, of one of three types.
struct Floats {
  const void *data;
  int32_t type; // LS_F32, LS_F16 or LS_BF16
  Floats(const void *data, int32_t type) : data(data), type(type) {}
  Floats(const float *data) : Floats(data, LS_F32) {}
};

// Widens n numbers from the one with the index first on.
LS_INLINE void widen(const Floats &f, size_t first, size_t n, float *to) {
  const auto *from = static_cast<const uint8_t *>(f.data) + first * (f.type == LS_F32 ? 4 : 2);
  uint16_t half;
  switch (f.type) {
  case LS_F32:
    std::memcpy(to, from, n * 4);
    break;
  case LS_F16:
    for (size_t i = 0; i < n; i++) {
      std::memcpy(&half, from + 2 * i, 2);
      to[i] = half_to_float(half);
    }
    break;
  default:
    for (size_t i = 0; i < n; i++) {
      std::memcpy(&half, from + 2 * i, 2);
      const uint32_t bits = uint32_t(half) << 16;
      std::memcpy(to + i, &bits, 4);
    }
  }
}

} // namespace ls

#endif
