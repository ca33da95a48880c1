// Compares the kernels for quantised weights, the tiles for float16 weights, the vectors of simd.h
// and the conversions of floats.h with the simplest arithmetic. It does not need MLX, so that a
// cross compiler and an emulator can try the kernels of other processors. It prints the instruction
// sets that it ran, all differences, and a digest of all quantised products, which must be the same
// on every processor. cross_test.go compiles and runs it.

#include "../half.h"
#include "../quant.h"
#include "../simd.h"

#include <cmath>
#include <cstdio>
#include <random>
#include <string>

using namespace ls;

static int failures = 0;

template <typename... Args> static void fail(const char *format, Args... args) {
  if (failures++ < 20) {
    std::printf(format, args...);
  }
}

// The kinds of weights and activations: ordinary ones, and some that come near the ends of every
// range in the kernels.
enum Data { normal, uneven, largest, alternating, halves, tiny, zero, kinds };

static std::mt19937_64 rng(7);

// Returns a number that is about normally distributed, and the same to the last bit on every
// processor.
static float gauss() {
  const uint64_t r = rng();
  return float(int((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) - 131070) /
         37837;
}

static std::vector<uint32_t> random_words(size_t n, Data kind) {
  std::vector<uint32_t> words(n);
  for (size_t i = 0; i < n; i++) {
    words[i] = kind == largest ? ~0u : kind == alternating ? (i % 2 ? ~0u : 0) : uint32_t(rng());
  }
  return words;
}

static std::vector<float> random_rows(int rows, int columns, Data kind) {
  std::vector<float> x(size_t(rows) * columns);
  for (size_t i = 0; i < x.size(); i++) {
    const float g = gauss();
    switch (kind) {
    case uneven:
      x[i] = std::ldexp(g, int(rng() % 24));
      break;
    case largest:
      x[i] = i / columns % 2 ? -127 : 127;
      break;
    case alternating:
      x[i] = i % 2 ? -127 : 127;
      break;
    case halves:
      x[i] = i % quant::block == 0 ? 93.7f : (float(int(rng() % 253) - 126) + 0.5f) / (127 / 93.7f);
      break;
    case tiny:
      x[i] = g * 1e-30f;
      break;
    case zero:
      x[i] = 0;
      break;
    default:
      x[i] = g;
      break;
    }
  }
  return x;
}

// Rounds activations to multiples of a 127th of the largest in their block, where they are fine to
// multiples of a 127 x 254th.
static std::vector<double> rounded(const std::vector<float> &x, bool fine) {
  const float steps = fine ? 127 * 254 : 127;
  std::vector<double> out(x.size());
  for (size_t b = 0; b < x.size(); b += quant::block) {
    float max = 0;
    for (int i = 0; i < quant::block; i++) {
      max = std::max(max, std::fabs(x[b + i]));
    }
    for (size_t i = b; i < b + quant::block && max > 0; i++) {
      out[i] = std::nearbyint(x[i] * (steps / max)) * double(max / steps);
    }
  }
  return out;
}

static std::vector<float> product(const quant::Packed &w, const float *x, int rows, bool fine) {
  quant::Rows left;
  left.resize(rows, w.columns, fine);
  for (int r = 0; r < rows; r++) {
    left.set(r, x + size_t(r) * w.columns);
  }
  std::vector<float> y(size_t(rows) * w.rows, NAN);
  left.multiply(w, 0, w.panels(), y.data(), w.rows);
  return y;
}

static uint64_t digest = 14695981039346656037u; // FNV-1a

// Compares the scalar kernels, one row at a time, with double arithmetic, and all other kernels,
// with one row and several, with the scalar ones to the last bit.
static void check(const std::vector<const char *> &isas, int outputs, int columns, int group,
                  int bits, bool biased, bool fine, Data kind) {
  constexpr int max_rows = 17;
  const auto words = random_words(size_t(outputs) * columns * bits / 32, kind);
  const float middle = float(1 << (bits - 1));
  std::vector<float> scales(size_t(outputs) * columns / group), biases(scales.size()),
      offsets(scales.size());
  for (size_t i = 0; i < scales.size(); i++) {
    // float16 represents them all exactly, whichever power of two they are divided by, and so does
    // float32 the biases of the file.
    scales[i] = float(rng() % 200) / 4096;
    offsets[i] = biased ? float(int(rng() % 200) - 100) / 512 : 0;
    biases[i] = offsets[i] - scales[i] * middle;
  }
  Arena memory;
  const quant::Packed w = quant::pack(words.data(), scales.data(), biases.data(), outputs, columns,
                                      group, bits, memory);
  const std::vector<float> x = random_rows(max_rows, columns, kind);
  const std::vector<double> whole = rounded(x, fine);
  const auto wrong = [&](const char *isa, int rows, size_t i, float got, double want) {
    fail("%s: %d x %d, %d bits, groups of %d, biased %d, fine %d, data %d, %d rows: "
         "element %d of row %d is %.9g, want %.9g\n",
         isa, outputs, columns, bits, group, biased, fine, kind, rows, int(i % outputs),
         int(i / outputs), double(got), want);
  };

  std::vector<float> alone, row(columns);
  quant::use("scalar");
  for (int m = 0; m < max_rows; m++) {
    const std::vector<float> y = product(w, x.data() + size_t(m) * columns, 1, fine);
    alone.insert(alone.end(), y.begin(), y.end());
  }
  for (int n = 0; n < outputs; n++) {
    w.dequantise(n, row.data());
    for (int m = 0; m < max_rows; m++) {
      // Each block adds a product, and one for its bias. Each product has three roundings before
      // that of its sum. Where activations are fine, there are twice as many.
      double want = 0, size = 0;
      for (int k = 0; k < columns; k++) {
        const double a = whole[size_t(m) * columns + k],
                     offset = offsets[(size_t(n) * columns + k) / group];
        want += double(row[k]) * a;
        size += (std::fabs(row[k] - offset) + std::fabs(offset)) * std::fabs(a);
      }
      const double bound = 0x1p-24 * (columns / quant::block * (biased ? 2 : 1) + 3) *
                           (fine ? 2 : 1) * size;
      const float got = alone[size_t(m) * outputs + n];
      if (!(std::fabs(got - want) <= bound)) {
        wrong("scalar", 1, size_t(m) * outputs + n, got, want);
      }
    }
  }
  for (float y : alone) {
    uint32_t b;
    std::memcpy(&b, &y, sizeof b);
    digest = (digest ^ b) * 1099511628211u;
  }
  for (const char *isa : isas) {
    quant::use(isa);
    const bool tiles = quant::isa().tiles[0] > 1; // else each row is computed by itself anyway
    for (int rows = tiles ? 1 : max_rows; rows <= max_rows; rows++) {
      const std::vector<float> y = product(w, x.data(), rows, fine);
      for (size_t i = 0; i < y.size(); i++) {
        if (std::memcmp(&y[i], &alone[i], sizeof(float)) != 0) {
          wrong(isa, rows, i, y[i], alone[i]);
        }
      }
    }
  }
}

// Compares the tiles that widen float16 by an instruction with single fused multiplications, to the
// last bit, for all float16 numbers except infinities and NaN.
static void check_halves() {
  constexpr int columns = 97, max_rows = half::tile_rows[0];
  std::vector<uint16_t> w(columns * half::panel_rows);
  std::vector<float> x(columns * max_rows);
  for (const half::Widening &widening : half::widenings()) {
    if (!widening.here()) {
      continue;
    }
    std::printf("ran %s\n", widening.name);
    for (int size = 0; size < half::tile_sizes; size++) {
      const int rows = half::tile_rows[size];
      for (int n = 1; n <= half::panel_rows; n++) {
        for (uint16_t &h : w) {
          const uint64_t r = rng();
          h = uint16_t((r % 31) << 10 | (r >> 8 & 0x83ff));
        }
        for (float &v : x) {
          v = gauss();
        }
        std::vector<float> y(size_t(rows) * half::panel_rows, -1);
        widening.tiles[size](reinterpret_cast<const uint8_t *>(w.data()), x.data(), columns,
                             y.data(), half::panel_rows, n);
        for (int m = 0; m < rows; m++) {
          for (int i = 0; i < half::panel_rows; i++) {
            float want = i < n ? 0 : -1; // outputs that do not exist are not written
            for (int k = 0; k < columns && i < n; k++) {
              want = std::fma(half_to_float(w[k * half::panel_rows + i]), x[k * rows + m],
                              want);
            }
            const float got = y[m * half::panel_rows + i];
            if (std::memcmp(&got, &want, sizeof got) != 0) {
              fail("%s: %d rows, output %d of %d, row %d is %.9g, want %.9g\n", widening.name, rows,
                   i, n, m, double(got), double(want));
            }
          }
        }
      }
    }
  }
}

// Compares vectors of LANES floats with single floats. Sums are those of 16 lanes, whatever LANES.
template <int LANES> static void check_vectors() {
  using F = typename simd::Of<LANES>::f;
  for (float at = -86; at < 87; at += 0.37f) {
    F x;
    for (int i = 0; i < LANES; i++) {
      x[i] = at + 0.02f * float(i);
    }
    const F y = simd::exp<LANES>(x);
    for (int i = 0; i < LANES; i++) {
      if (!(std::fabs(y[i] / std::exp(double(x[i])) - 1) < 4e-7)) {
        fail("%d lanes: exp(%g) is %g\n", LANES, double(x[i]), double(y[i]));
      }
    }
  }
  for (int n = 0; n < 100; n++) {
    float a[100], b[100], uneven[16];
    double dot = 0, top = -INFINITY;
    for (int i = 0; i < 100; i++) {
      a[i] = float(int(rng() % 2001) - 1000), b[i] = float(int(rng() % 9) - 4);
      dot += i < n ? double(a[i]) * b[i] : 0;
      top = std::max(top, i < LANES ? double(a[i]) : top);
    }
    for (float &v : uneven) {
      v = std::ldexp(gauss(), int(rng() % 24));
    }
    float sums[16]; // of halves, of their halves, and so on
    std::memcpy(sums, uneven, sizeof sums);
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; i++) {
        sums[i] += sums[i + half];
      }
    }
    F v[16 / LANES];
    std::memcpy(v, uneven, sizeof v);
    const F part = simd::load<LANES>(a, n % 17, -3);
    bool same = simd::dot<LANES>(a, b, n) == float(dot) && // whole numbers: exact
                simd::top<LANES>(simd::load<LANES>(a)) == float(top) &&
                simd::total<LANES>(v) == sums[0];
    float stored[16] = {};
    simd::store<LANES>(stored, part, n % 17 - 1);
    for (int i = 0; i < LANES; i++) {
      const float want = i < n % 17 ? a[i] : -3;
      same = same && part[i] == want && stored[i] == (i < n % 17 - 1 ? want : 0);
    }
    if (!same) {
      fail("%d lanes: dot, total, top, load or store differ for %d elements\n", LANES, n);
    }
  }
}

// Returns a float16, written out.
static double value_of(uint16_t h) {
  const int exp = h >> 10 & 31, frac = h & 1023;
  const double size = exp == 0 ? std::ldexp(frac, -24) : std::ldexp(1024 + frac, exp - 25);
  return h & 0x8000 ? -size : size;
}

// Converts all float16 numbers to float32 and back, and what lies between two of them.
static void check_conversions() {
  for (int h = 0; h < 0x10000; h++) {
    const float f = half_to_float(uint16_t(h));
    const bool finite = (h & 0x7c00) != 0x7c00;
    if (finite ? double(f) != value_of(uint16_t(h)) || std::signbit(f) != (h >= 0x8000)
               : std::isnan(f) != ((h & 1023) != 0) || std::isfinite(f)) {
      fail("float16 %04x is %g\n", h, double(f));
    }
    if (!finite || (h & 0x7fff) == 0x7bff) { // the largest: what is above it becomes infinite
      continue;
    }
    const float next = half_to_float(uint16_t(h + 1)), middle = (f + next) / 2;
    const float near[] = {f, std::nextafter(middle, f), middle, std::nextafter(middle, next)};
    const int want[] = {h, h, h + h % 2, h + 1};
    for (int i = 0; i < 4; i++) {
      if (float_to_half(near[i]) != want[i]) {
        fail("%g becomes float16 %04x, want %04x\n", double(near[i]), float_to_half(near[i]),
             want[i]);
      }
    }
  }
}

// A weight is packed alike whichever of the types that hold them its scales and biases have.
static void check_types(int outputs, int groups, bool biased) {
  constexpr int group = 32, bits = 4;
  const int columns = groups * group;
  const auto words = random_words(size_t(outputs) * columns * bits / 32, normal);
  for (int32_t type : {LS_F16, LS_BF16}) {
    std::vector<uint16_t> scales(size_t(outputs) * groups), biases(scales.size());
    std::vector<float> wide[2];
    const auto widen = [&](uint16_t h) {
      const uint32_t b = uint32_t(h) << 16;
      float f;
      std::memcpy(&f, &b, sizeof f);
      return type == LS_F16 ? float(value_of(h)) : f;
    };
    for (size_t i = 0; i < scales.size(); i++) {
      const uint64_t r = rng();
      // Up to 2^16 apart, of both signs. A symmetric bias is -8 times the scale.
      const int exponent = 8 + int(r % 16), sign = int(r >> 4 & 1) << 15;
      scales[i] = uint16_t(type == LS_F16 ? exponent << 10 | (r >> 8 & 1023) | sign
                                          : (exponent + 100) << 7 | (r >> 8 & 127) | sign);
      const int step = type == LS_F16 ? 3 << 10 : 3 << 7;
      biases[i] = biased ? uint16_t(scales[i] ^ (r >> 32 & 0x803f))
                         : uint16_t((scales[i] ^ 0x8000) + step);
      wide[0].push_back(widen(scales[i])), wide[1].push_back(widen(biases[i]));
    }
    Arena memory;
    const quant::Packed want = quant::pack(words.data(), wide[0].data(), wide[1].data(), outputs,
                                           columns, group, bits, memory),
                        got = quant::pack(words.data(), Floats(scales.data(), type),
                                          Floats(biases.data(), type), outputs, columns, group,
                                          bits, memory);
    if (got.factor != want.factor || got.biased != want.biased || got.biased != biased ||
        got.bytes() != want.bytes() ||
        std::memcmp(got.data.get(), want.data.get(), got.bytes()) != 0) {
      fail("%d x %d, type %d, biased %d: packed in another way than from float32\n", outputs,
           columns, type, biased);
    }
  }
}

int main() {
  check_vectors<16>(), check_vectors<8>(), check_vectors<4>();
  check_conversions();
  std::vector<const char *> isas;
  for (const quant::Isa *isa : quant::all()) {
    if (quant::use(isa->name)) {
      isas.push_back(isa->name);
      std::printf("ran %s\n", isa->name);
    }
  }
  for (int bits : {2, 3, 4, 5, 6, 8}) {
    for (int group : {32, 64, 128}) {
      for (int kind = normal; kind < kinds; kind++) {
        for (bool biased : {false, true}) {
          for (bool fine : {false, true}) {
            check(isas, 39, 3 * group, group, bits, biased, fine, Data(kind));
          }
        }
      }
      for (int outputs : {1, 15, 16, 17}) {
        check(isas, outputs, group, group, bits, true, outputs % 2 == 1, normal);
      }
    }
  }
  check_halves();
  for (bool biased : {false, true}) {
    check_types(39, 7, biased);
    check_types(16, 300, biased); // more than are widened at a time
  }
  std::printf("digest %016llx\n%d failures\n", (unsigned long long)digest, failures);
  return failures > 0;
}
