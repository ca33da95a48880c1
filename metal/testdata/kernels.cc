// The kernels for quantised weights and the vectors of simd.h against the dumbest double arithmetic, without MLX, so that
// a cross compiler and an emulator can try another processor's. It prints each instruction set that it ran, and what is
// wrong; cross_test.go compiles and runs it.

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

// Weights and activations that come near the ends of every range in the kernels, beside ordinary ones.
enum Data { normal, uneven, largest, alternating, tiny, zero, kinds };

static std::mt19937_64 rng(7);

static float gauss() { return std::normal_distribution<float>()(rng); }

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
    switch (kind) {
    case uneven: x[i] = gauss() * std::ldexp(1.0f, int(rng() % 24)); break;
    case largest: x[i] = i / columns % 2 ? -127 : 127; break;
    case alternating: x[i] = i % 2 ? -127 : 127; break;
    case tiny: x[i] = gauss() * 1e-30f; break;
    case zero: x[i] = 0; break;
    default: x[i] = gauss(); break;
    }
  }
  return x;
}

// Activations as whole numbers of a 127th of the largest in their block. Those that lie half-way between two are made a
// little smaller: floats with and without fused multiplication round them to either.
static std::vector<double> rounded(std::vector<float> &x) {
  std::vector<double> out(x.size());
  for (size_t b = 0; b < x.size(); b += quant::block) {
    float most = 0;
    for (int i = 0; i < quant::block; i++) {
      most = std::max(most, std::fabs(x[b + i]));
    }
    for (size_t i = b; i < b + quant::block && most > 0; i++) {
      const auto whole = [&] { return double(x[i]) * double(127 / most); };
      while (std::fabs(std::fabs(whole() - std::trunc(whole())) - 0.5) < 1e-4) {
        x[i] *= 0.999f;
      }
      out[i] = std::nearbyint(whole()) * double(most) / 127;
    }
  }
  return out;
}

static std::vector<float> product(const quant::Packed &w, const float *x, int rows) {
  quant::Rows left;
  left.resize(rows, w.columns);
  for (int r = 0; r < rows; r++) {
    left.set(r, x + size_t(r) * w.columns);
  }
  std::vector<float> y(size_t(rows) * w.rows, NAN);
  left.multiply(w, 0, w.panels(), y.data(), w.rows);
  return y;
}

static void check(const char *isa, int outputs, int columns, int group, int bits, bool biased, Data kind) {
  constexpr int most_rows = 17;
  const auto words = random_words(size_t(outputs) * columns * bits / 32, kind);
  std::vector<float> scales(size_t(outputs) * columns / group), biases(scales.size());
  for (size_t i = 0; i < scales.size(); i++) {
    // Float16 holds them all, whatever power of two is taken out of them.
    scales[i] = float(rng() % 200) / 4096;
    biases[i] = biased ? float(int(rng() % 200) - 100) / 512 : -scales[i] * float(1 << (bits - 1));
  }
  Arena memory;
  const quant::Packed w = quant::pack(words.data(), scales.data(), biases.data(), outputs, columns, group, bits, memory);
  std::vector<float> row(columns);
  std::vector<float> x = random_rows(most_rows, columns, kind);
  const std::vector<double> whole = rounded(x);
  std::vector<double> want(size_t(most_rows) * outputs), size(most_rows);
  for (int n = 0; n < outputs; n++) {
    w.dequantise(n, row.data());
    for (int m = 0; m < most_rows; m++) {
      for (int k = 0; k < columns; k++) {
        want[size_t(m) * outputs + n] += double(row[k]) * whole[size_t(m) * columns + k];
      }
    }
  }
  for (int m = 0; m < most_rows; m++) {
    for (int k = 0; k < columns; k++) {
      size[m] += std::fabs(whole[size_t(m) * columns + k]);
    }
  }
  // The terms are at most 12.5 for 8 bits. One weight or one activation that is wrong by 1 shows at this tolerance.
  const double tolerance = 1e-6 * (200.0 / 4096 * (1 << bits) + 0.4);
  std::vector<float> alone(size_t(most_rows) * outputs);
  for (int rows = 1; rows <= most_rows; rows++) {
    const std::vector<float> y = product(w, x.data(), rows);
    for (size_t i = 0; i < y.size(); i++) {
      const int m = int(i / outputs);
      if (!(std::fabs(y[i] - want[i]) <= tolerance * size[m])) {
        fail("%s: %d x %d, %d bits, groups of %d, biased %d, data %d, %d rows: element %d of row %d is %g, want %g\n", isa,
             outputs, columns, bits, group, biased, kind, rows, int(i % outputs), m, double(y[i]), want[i]);
      }
    }
    const std::vector<float> last = product(w, x.data() + size_t(rows - 1) * columns, 1);
    std::copy(last.begin(), last.end(), alone.begin() + size_t(rows - 1) * outputs);
    if (!std::equal(y.begin(), y.end(), alone.begin())) {
      fail("%s: %d x %d, %d bits, groups of %d, data %d: %d rows together are not what they are alone\n", isa, outputs,
           columns, bits, group, kind, rows);
    }
  }
}

static void check_vectors() {
  for (float at = -86; at < 87; at += 0.37f) {
    simd::vf x;
    for (int i = 0; i < simd::width; i++) {
      x[i] = at + 0.02f * float(i);
    }
    const simd::vf y = simd::exp(x);
    for (int i = 0; i < simd::width; i++) {
      if (!(std::fabs(y[i] / std::exp(double(x[i])) - 1) < 4e-7)) {
        fail("exp(%g) is %g\n", double(x[i]), double(y[i]));
      }
    }
  }
  for (int n = 0; n < 100; n++) {
    float a[100], b[100];
    double dot = 0, sum[4] = {}, top = -INFINITY;
    for (int i = 0; i < 100; i++) {
      a[i] = float(int(rng() % 2001) - 1000), b[i] = float(int(rng() % 9) - 4);
      dot += i < n ? double(a[i]) * b[i] : 0;
      sum[i / 16 % 4] += i < 64 ? a[i] : 0;
      top = std::max(top, i < 16 ? double(a[i]) : top);
    }
    const simd::vf v[4] = {simd::load(a), simd::load(a + 16), simd::load(a + 32), simd::load(a + 48)};
    float totals[4];
    simd::totals(v, totals);
    bool same = simd::dot(a, b, n) == float(dot) && simd::top(v[0]) == float(top); // whole numbers: exact
    for (int i = 0; i < 4; i++) {
      same = same && totals[i] == float(sum[i]) && simd::total(v[i]) == float(sum[i]);
    }
    const simd::vf part = simd::load(a, n % 17, -3);
    for (int i = 0; i < simd::width; i++) {
      same = same && part[i] == (i < n % 17 ? a[i] : -3);
    }
    if (!same) {
      fail("vectors of simd.h: dot, totals, top or load differ for %d elements\n", n);
    }
  }
}

int main() {
  check_vectors();
  for (const quant::Isa *isa : quant::all()) {
    if (!quant::use(isa->name)) {
      continue;
    }
    std::printf("ran %s\n", isa->name);
    for (int bits : {2, 3, 4, 5, 6, 8}) {
      for (int group : {32, 64, 128}) {
        for (int kind = normal; kind < kinds; kind++) {
          for (bool biased : {false, true}) {
            check(isa->name, 39, 3 * group, group, bits, biased, Data(kind));
          }
        }
        for (int outputs : {1, 15, 16, 17}) {
          check(isa->name, outputs, group, group, bits, true, normal);
        }
      }
    }
  }
  std::printf("%d failures\n", failures);
  return failures > 0;
}
