//go:build mlx

// Rows of packed weights, and the choice of the instruction set that multiplies them.

#include "quant.h"

#include <cstdlib>
#include <cstring>
#include <string>

namespace ls {
namespace quant {

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
