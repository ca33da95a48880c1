//go:build mlx

// The packing of quantised weights: from the rows of a file to the panels of quant.h. It is most of
// the time of a load, so a weight is read and written once, on all threads, with few operations a
// byte: 4 bits, the common case, never become bytes, and scales are widened piece by piece.

#include "quant.h"

#include "floats.h"
#include "pool.h"
#include "simd.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace ls {
namespace quant {
namespace {

// The scales and biases of a weight's groups. A bias in a file is that of code 0, the ones here are
// those of the middle of a code's range. Many weights are symmetric: there they are all 0.
struct Groups {
  Floats scales, biases;
  float middle;
};

constexpr int piece = 256; // scales and as many biases, in the first-level cache

// Widens n <= piece scales and biases from index first on, and moves the biases to the middle.
LS_INLINE void widen(const Groups &groups, size_t first, int n, float *scale, float *bias) {
  ls::widen(groups.scales, first, n, scale);
  ls::widen(groups.biases, first, n, bias);
  for (int i = 0; i < n; i++) {
    bias[i] += groups.middle * scale[i];
  }
}

// What has to be known of all scales and biases before the first can be written. The bits of floats
// without their signs are in the order of the floats, and what is not finite comes last.
struct Range {
  uint32_t max = 0;    // of the bits of all
  bool biased = false; // whether a bias is not 0
};

LS_INLINE uint32_t bits_of(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return bits & 0x7fffffff;
}

LS_CLONES Range range_of(const Groups &groups, size_t from, size_t to) {
  float scale[piece], bias[piece];
  uint32_t max = 0, any = 0;
  for (; from < to; from += piece) {
    const int n = int(std::min<size_t>(piece, to - from));
    widen(groups, from, n, scale, bias);
    for (int i = 0; i < n; i++) {
      const uint32_t b = bits_of(bias[i]);
      max = std::max(max, std::max(bits_of(scale[i]), b));
      any |= b;
    }
  }
  return {max, any != 0};
}

Range range_of_all(const Groups &groups, size_t n) {
  constexpr size_t share = 64 * piece;
  std::vector<Range> ranges((n + share - 1) / share);
  Pool::shared().run(int(ranges.size()), [&](int i) {
    ranges[i] = range_of(groups, i * share, std::min(n, (i + 1) * share));
  });
  Range all;
  for (const Range &r : ranges) {
    all.max = std::max(all.max, r.max);
    all.biased = all.biased || r.biased;
  }
  return all;
}

// Writes the scales and biases of one row, r, of a panel. at has the places of the groups' lines.
LS_CLONES void put_groups(const Groups &groups, size_t first, const std::vector<size_t> &at,
                          const Packed &p, int r, uint8_t *panel) {
  float scale[piece], bias[piece];
  uint16_t half[2][piece];
  for (size_t g = 0; g < at.size(); g += piece) {
    const int n = int(std::min<size_t>(piece, at.size() - g));
    widen(groups, first + g, n, scale, bias);
    for (int i = 0; i < n; i++) {
      half[0][i] = float_to_half(scale[i] / p.factor);
      half[1][i] = float_to_half(bias[i] / p.factor);
    }
    for (int i = 0; i < n; i++) {
      uint8_t *to = panel + at[g + i] + 2 * r;
      std::memcpy(to, half[0] + i, 2);
      if (p.biased) {
        std::memcpy(to + line / 2, half[1] + i, 2);
      }
    }
  }
}

// Unpacks the elements of one row, which are one little-endian stream of bits, and adds shift to
// each.
template <int BITS>
LS_INLINE void unpack_row(const uint8_t *words, int columns, int shift, uint8_t *out) {
  for (int i = 0; i < columns; i += 8, words += BITS, out += 8) {
    uint64_t eight = 0;
    std::memcpy(&eight, words, BITS);
    for (int j = 0; j < 8; j++) {
      out[j] = uint8_t((eight >> BITS * j & ((1 << BITS) - 1)) + shift);
    }
  }
}

LS_CLONES void unpack(const uint8_t *words, int columns, int bits, int shift, uint8_t *out) {
  switch (bits) {
  case 2:
    return unpack_row<2>(words, columns, shift, out);
  case 3:
    return unpack_row<3>(words, columns, shift, out);
  case 4:
    return unpack_row<4>(words, columns, shift, out);
  case 5:
    return unpack_row<5>(words, columns, shift, out);
  case 6:
    return unpack_row<6>(words, columns, shift, out);
  case 7:
    return unpack_row<7>(words, columns, shift, out);
  }
  std::memcpy(out, words, columns);
}

// Packs one block of 32 columns out of 16 rows of bytes.
LS_CLONES void pack_block(const uint8_t *rows, int columns, int at, int bits, uint8_t *out) {
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

typedef uint8_t bytes __attribute__((vector_size(16)));
typedef uint32_t words __attribute__((vector_size(16)));

// Packs one block of 32 columns out of 16 rows of 4 bits an element: 16 bytes of a row become 4
// bytes of each of the 4 x 64.
LS_INLINE void pack_nibbles(const uint8_t *const rows[panel_rows], size_t at, uint8_t *out) {
  for (int r = 0; r < panel_rows; r += 4) {
    words v[4];
    for (int i = 0; i < 4; i++) {
      bytes b;
      std::memcpy(&b, rows[r + i] + at, 16);
      const bytes even = b & 15, odd = b >> 4;
      const bytes low = __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21,
                                                6, 22, 7, 23);
      const bytes high = __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                                 13, 29, 14, 30, 15, 31);
      const bytes both = low | high << 4;
      std::memcpy(v + i, &both, 16);
    }
    const words a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5),
                b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7),
                c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5),
                d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    const words chunk[4] = {
        __builtin_shufflevector(a, c, 0, 1, 4, 5), __builtin_shufflevector(a, c, 2, 3, 6, 7),
        __builtin_shufflevector(b, d, 0, 1, 4, 5), __builtin_shufflevector(b, d, 2, 3, 6, 7)};
    for (int j = 0; j < 4; j++) {
      std::memcpy(out + 64 * j + 4 * r, chunk + j, 16);
    }
  }
}

// Packs the codes of a panel whose rows are those of a file from row on, of which there exist so
// many. Those that do not are zeros.
LS_CLONES void put_nibbles(const Packed &p, const uint8_t *row, int there, uint8_t *panel) {
  static const uint8_t none[16] = {};
  const uint8_t *rows[panel_rows];
  const size_t row_bytes = size_t(p.columns) / 2;
  for (int r = 0; r < panel_rows; r++) {
    rows[r] = r < there ? row + r * row_bytes : none;
  }
  const int blocks = p.columns / block;
  if (there == panel_rows) {
    for (int b = 0; b < blocks; b++) {
      pack_nibbles(rows, size_t(b) * 16, panel + p.block_at(b));
    }
    return;
  }
  for (int b = 0; b < blocks; b++) {
    pack_nibbles(rows, 0, panel + p.block_at(b));
    for (int r = 0; r < there; r++) {
      rows[r] += 16;
    }
  }
}

// The same with any number of bits.
void put_codes(const Packed &p, const uint8_t *row, int bits, int there, uint8_t *panel) {
  static thread_local std::vector<uint8_t> wide; // threads of the pool never end
  wide.assign(size_t(panel_rows) * p.columns, 0);
  // Elements of fewer bits than p.bits are moved to the middle of its range, so that offset is the
  // middle of both ranges.
  const int shift = (1 << (p.bits - 1)) - (1 << (bits - 1));
  for (int r = 0; r < there; r++) {
    unpack(row + r * (size_t(p.columns) * bits / 8), p.columns, bits, shift,
           wide.data() + size_t(r) * p.columns);
  }
  for (int b = 0; b < p.columns / block; b++) {
    pack_block(wide.data(), p.columns, b * block, p.bits, panel + p.block_at(b));
  }
}

} // namespace

Packed pack(const void *words, const Floats &scales, const Floats &biases, int rows, int columns,
            int group, int bits, Arena &memory) {
  Packed p;
  p.rows = rows, p.columns = columns, p.group = group;
  p.bits = bits <= 4 ? 4 : bits == 5 ? 5 : 8;
  const Groups groups{scales, biases, float(1 << (bits - 1))};
  const size_t each = columns / group; // groups of a row
  const Range range = range_of_all(groups, rows * each);
  float max;
  std::memcpy(&max, &range.max, 4);
  if (!(max < INFINITY)) {
    throw std::runtime_error("its scales or biases are not finite");
  }
  p.biased = range.biased;
  // The smallest power of two for which all lie below 2^15. The files have scales in float32,
  // float16 or bfloat16. float16 has all digits of bfloat16 but not its range, and a scale that is
  // 2^28 times smaller than the largest does not matter.
  p.factor = max == 0 ? 1 : std::ldexp(1.0f, std::ilogb(max) - 14);
  p.panel_bytes = p.block_at(columns / block - 1) + size_t(p.bits) * line;
  p.data = memory.take(p.bytes());

  std::vector<size_t> at(each);
  for (size_t g = 0; g < each; g++) {
    at[g] = p.scales_at(int(g));
  }
  const size_t row_bytes = size_t(columns) * bits / 8;
  Pool::shared().run(p.panels(), [&](int n) {
    const size_t first = size_t(n) * panel_rows;
    const int there = int(std::min<size_t>(panel_rows, rows - first));
    const uint8_t *row = static_cast<const uint8_t *>(words) + first * row_bytes;
    uint8_t *panel = p.data.get() + n * p.panel_bytes;
    for (size_t g = 0; g < each; g += p.line_groups()) {
      std::memset(panel + at[g], 0, line);
    }
    for (int r = 0; r < there; r++) {
      put_groups(groups, (first + r) * each, at, p, r, panel);
    }
    if (bits == 4) {
      put_nibbles(p, row, there, panel);
    } else {
      put_codes(p, row, bits, there, panel);
    }
  });
  return p;
}

} // namespace quant
} // namespace ls
