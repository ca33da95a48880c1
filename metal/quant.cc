//go:build mlx

// The packing of quantised weights, and the choice of the instruction set that multiplies them.

#include "quant.h"

#include "pool.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace ls {
namespace quant {

float half_to_float(uint16_t h) {
  const uint32_t sign = uint32_t(h >> 15) << 31, exp = h >> 10 & 31, frac = h & 1023;
  float f;
  if (exp == 0) {
    f = float(frac) * 0x1p-24f;
    return sign ? -f : f;
  }
  const uint32_t bits = sign | (exp == 31 ? 255u << 23 : (exp + 112) << 23) | frac << 13;
  std::memcpy(&f, &bits, 4);
  return f;
}

// Rounds to nearest, ties to even. |f| must be below 65520.
uint16_t float_to_half(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint16_t sign = bits >> 16 & 0x8000;
  const float a = std::fabs(f);
  if (a < 0x1p-14f) {
    return sign | uint16_t(std::lrint(a * 0x1p24f)); // 1024 is the smallest normal number
  }
  bits = (bits & 0x7fffffff) - (112u << 23);
  return sign | uint16_t((bits + 0xfff + (bits >> 13 & 1)) >> 13);
}

namespace {

// Returns the smallest power of two p such that all of a and b, divided by p, lie below 2^15. The
// files have scales in float32, float16 or bfloat16. float16 has all digits of bfloat16 but not its
// range, and a scale that is 2^28 times smaller than the largest does not matter.
float common_factor(const float *a, const float *b, size_t n) {
  float max = 0;
  for (size_t i = 0; i < n; i++) {
    max = std::max({max, std::fabs(a[i]), std::fabs(b[i])});
  }
  if (!(max < INFINITY)) {
    throw std::runtime_error("its scales or biases are not finite");
  }
  return max == 0 ? 1 : std::ldexp(1.0f, std::ilogb(max) - 14);
}

// Unpacks the elements of one row, which are one little-endian stream of bits, and adds shift to
// each.
void unpack_row(const uint8_t *words, int columns, int bits, int shift, uint8_t *out) {
  if (bits == 8) {
    std::memcpy(out, words, columns);
    return;
  }
  uint64_t have = 0;
  int filled = 0;
  const unsigned mask = (1u << bits) - 1;
  for (int i = 0; i < columns; i++) {
    if (filled < bits) {
      uint32_t word;
      std::memcpy(&word, words, 4); // a tensor of a file may have any address
      words += 4;
      have |= uint64_t(word) << filled;
      filled += 32;
    }
    out[i] = uint8_t((have & mask) + shift);
    have >>= bits, filled -= bits;
  }
}

// Packs one block of 32 columns out of 16 rows of bytes.
void pack_block(const uint8_t *rows, int columns, int at, int bits, uint8_t *out) {
  uint8_t chunk[8][64];
  for (int j = 0; j < 8; j++) {
    for (int r = 0; r < panel_rows; r++) {
      std::memcpy(chunk[j] + 4 * r, rows + size_t(r) * columns + at + 4 * j, 4);
    }
  }
  if (bits == 8) {
    std::memcpy(out, chunk, 512);
    return;
  }
  for (int j = 0; j < 4; j++) {
    for (int i = 0; i < 64; i++) {
      out[64 * j + i] = (chunk[j][i] & 15) | chunk[j + 4][i] << 4;
    }
  }
  for (int i = 0; i < 64 && bits == 5; i++) {
    uint8_t high = 0;
    for (int j = 0; j < 8; j++) {
      high |= (chunk[j][i] >> 4 & 1) << j;
    }
    out[256 + i] = high;
  }
}

} // namespace

Packed pack(const void *words, const float *scales, const float *biases, int rows, int columns,
            int group, int bits, Arena &memory) {
  Packed p;
  p.rows = rows, p.columns = columns, p.group = group;
  p.bits = bits <= 4 ? 4 : bits == 5 ? 5 : 8;
  const int groups = columns / group;
  // Elements of fewer bits than p.bits are moved to the middle of its range, so that offset is the
  // middle of both ranges.
  const int middle = 1 << (bits - 1), shift = (1 << (p.bits - 1)) - middle;
  // Many weights are symmetric: their bias is -middle times the scale, and the bias relative to the
  // middle is 0.
  std::vector<float> bias(size_t(rows) * groups);
  for (size_t i = 0; i < bias.size(); i++) {
    bias[i] = biases[i] + float(middle) * scales[i];
    p.biased = p.biased || bias[i] != 0;
  }
  p.factor = common_factor(scales, bias.data(), bias.size());
  p.panel_bytes = p.block_at(columns / block - 1) + size_t(p.bits) * line;
  p.data = memory.take(p.bytes());

  uint8_t *data = p.data.get();
  const size_t row_bytes = size_t(columns) * bits / 8;
  Pool::shared().run(p.panels(), [&](int n) {
    uint8_t *out = data + n * p.panel_bytes;
    for (int g = 0; g < groups; g += p.line_groups()) {
      std::memset(out + p.scales_at(g), 0, line);
    }
    std::vector<uint8_t> wide(size_t(panel_rows) * columns);
    for (int r = 0; r < panel_rows && n * panel_rows + r < rows; r++) {
      const size_t row = size_t(n) * panel_rows + r;
      unpack_row(static_cast<const uint8_t *>(words) + row * row_bytes, columns, bits, shift,
                 wide.data() + size_t(r) * columns);
      for (int g = 0; g < groups; g++) {
        const auto put = [&](int half, float x) {
          const uint16_t h = float_to_half(x / p.factor);
          std::memcpy(out + p.scales_at(g) + (half * panel_rows + r) * 2, &h, 2);
        };
        put(0, scales[row * groups + g]);
        if (p.biased) {
          put(1, bias[row * groups + g]);
        }
      }
    }
    for (int b = 0; b < columns / block; b++) {
      pack_block(wide.data(), columns, b * block, p.bits, out + p.block_at(b));
    }
  });
  return p;
}

void Packed::dequantise(int row, float *out) const {
  const uint8_t *panel = data.get() + size_t(row / panel_rows) * panel_bytes;
  const int r = row % panel_rows, parts = biased ? 2 : 1, offset = 1 << (bits - 1);
  for (int i = 0; i < columns; i++) {
    const uint8_t *b = panel + block_at(i / block);
    const int j = i % block / 4, at = 4 * r + i % 4;
    int q = bits == 8 ? b[64 * j + at] : j < 4 ? b[64 * j + at] & 15 : b[64 * (j - 4) + at] >> 4;
    if (bits == 5) {
      q |= (b[256 + at] >> j & 1) << 4;
    }
    uint16_t half[2] = {};
    for (int part = 0; part < parts; part++) {
      std::memcpy(half + part, panel + scales_at(i / group) + (part * panel_rows + r) * 2, 2);
    }
    out[i] = factor * (half_to_float(half[0]) * float(q - offset) + half_to_float(half[1]));
  }
}

std::vector<const Isa *> all() {
  std::vector<const Isa *> list;
  for (const Isa *i : {avx512(), avxvnni(), avx2(), neon(), &scalar()}) {
    if (i != nullptr) {
      list.push_back(i);
    }
  }
  return list;
}

namespace {

const Isa *find(const std::string &name) {
  for (const Isa *i : all()) {
    if (i->here() && (name.empty() || name == i->name)) {
      return i;
    }
  }
  return nullptr;
}

const Isa *&current() {
  static const Isa *isa = [] {
    const char *name = std::getenv("LOADSTONE_ISA");
    const Isa *found = find(name == nullptr ? "" : name);
    return found == nullptr ? find("") : found;
  }();
  return isa;
}

} // namespace

const Isa &isa() { return *current(); }

bool use(const char *name) {
  const Isa *found = find(name);
  if (found != nullptr) {
    current() = found;
  }
  return found != nullptr;
}

} // namespace quant
} // namespace ls
