//go:build mlx

// The parts of a layer beside attention, each an MLX primitive of our own.
//
// On a CPU MLX composes a norm or a gated unit from a dozen small operations, each a pass over memory and a task for its
// worker thread, and a decode step is made of small operations. Here a layer is four primitives, attention being one: what
// stands between two products is done row by row while the rows are quantised for the second. BenchmarkDecode compares
// both (graph=true is MLX's own).

#include "kernel.h"
#include "product.h"
#include "simd.h"

#include <algorithm>
#include <cmath>

namespace ls {
namespace kernels {
namespace {

using simd::vf;
using simd::width;

// rms_norm(x) * w, and with residual given, added to that.
LS_CLONES void norm_row(const float *x, const float *w, const float *residual, float *y, int n, float eps) {
  const float inv = 1 / std::sqrt(simd::dot(x, x, n) / n + eps);
  for (int i = 0; i < n; i++) {
    y[i] = x[i] * inv * w[i];
  }
  for (int i = 0; residual != nullptr && i < n; i++) {
    y[i] += residual[i];
  }
}

LS_CLONES void add_row(const float *x, const float *residual, float *y, int n) {
  for (int i = 0; i < n; i++) {
    y[i] = x[i] + residual[i];
  }
}

// y = residual + x, or residual + rms_norm(x) * w.
void close_rows(const float *x, const float *w, const float *residual, float *y, int rows, int n, float eps) {
  constexpr int piece = 16;
  Pool::shared().run((rows + piece - 1) / piece, [&](int i) {
    for (size_t r = i * piece; r < size_t(std::min(rows, (i + 1) * piece)); r++) {
      if (w != nullptr) {
        norm_row(x + r * n, w, residual + r * n, y + r * n, n, eps);
      } else {
        add_row(x + r * n, residual + r * n, y + r * n, n);
      }
    }
  });
}

// act(gate) * up, act being SiLU or GELU (tanh approximation).
LS_CLONES void glu_row(const float *gate, const float *up, float *y, int n, bool gelu) {
  // GELU's tanh form is x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3), and SiLU is x * sigmoid(x).
  const float a = gelu ? -1.5957691216057308f : -1, b = gelu ? a * 0.044715f : 0;
  for (int i = 0; i < n; i += width) {
    const int m = std::min(width, n - i);
    const vf g = simd::load(gate + i, m), u = simd::load(up + i, m);
    simd::store(y + i, g * u / (1 + simd::exp(g * (a + b * g * g))), m);
  }
}

// Memory that lasts from one task to the next: one stream runs them all, one after the other.
struct Scratch {
  Operand x, inner;
  std::vector<float> gate, up, y;
};

Scratch &scratch() {
  static Scratch s;
  return s;
}

const float *data(const std::optional<array> &a) { return a ? a->data<float>() : nullptr; }

} // namespace

std::vector<array> products(const array &x, const std::optional<array> &norm, float eps,
                            const std::vector<const Linear *> &weights) {
  std::vector<mx::Shape> shapes;
  for (const Linear *w : weights) {
    shapes.push_back({x.shape(0), w->outputs});
  }
  return make(
      "products", shapes,
      [weights, w = data(norm), eps](const std::vector<array> &in, std::vector<array> &out) {
        const int rows = in[0].shape(0), n = in[0].shape(1);
        const float *x = in[0].data<float>();
        Operand &left = scratch().x;
        left.fill(rows, n, weights, [=](int r, float *y) {
          const float *row = x + size_t(r) * n;
          if (w == nullptr) {
            return row;
          }
          norm_row(row, w, nullptr, y, n, eps);
          return const_cast<const float *>(y);
        });
        std::vector<Operand::Term> terms;
        for (size_t i = 0; i < weights.size(); i++) {
          terms.push_back({weights[i], out[i].data<float>()});
        }
        left.multiply(terms);
      },
      {x});
}

void head(const array &h, const array &norm, float eps, const Linear &weight, const std::vector<Asked> &asked) {
  const int n = h.shape(1);
  const float *x = h.data<float>(), *w = norm.data<float>();
  Operand &left = scratch().x;
  left.fill(int(asked.size()), n, {&weight}, [&](int i, float *y) {
    norm_row(x + size_t(asked[i].token) * n, w, nullptr, y, n, eps);
    return y;
  });
  left.head(weight, asked);
}

array close(const array &x, const Linear &weight, const std::optional<array> &norm, float eps, const array &residual) {
  return make(
      "close", residual.shape(),
      [weight = &weight, w = data(norm), eps](const std::vector<array> &in, array &out) {
        const int rows = in[0].shape(0), n = in[0].shape(1), hidden = in[1].shape(1);
        const float *x = in[0].data<float>();
        Scratch &s = scratch();
        s.x.fill(rows, n, {weight}, [=](int r, float *) { return x + size_t(r) * n; });
        s.y.resize(size_t(rows) * hidden);
        s.x.multiply({{weight, s.y.data()}});
        close_rows(s.y.data(), w, in[1].data<float>(), out.data<float>(), rows, hidden, eps);
      },
      {x, residual});
}

array mlp(const array &h, const Layer &layer, const ls_config &config) {
  return make(
      "mlp", h.shape(),
      [&layer, &config](const std::vector<array> &in, array &out) {
        const bool gemma = config.arch == LS_GEMMA3;
        const float *before = gemma ? layer.pre_ff->data<float>() : layer.post_norm.data<float>();
        const float *after = gemma ? layer.post_ff->data<float>() : nullptr;
        const int hidden = config.hidden, inner = config.intermediate;
        Scratch &s = scratch();
        // Rows by 256, so that what lies between the products stays in the second cache.
        constexpr int most = 256;
        for (int first = 0; first < in[0].shape(0); first += most) {
          const int rows = std::min(most, in[0].shape(0) - first);
          const float *x = in[0].data<float>() + size_t(first) * hidden;
          s.gate.resize(size_t(rows) * inner), s.up.resize(size_t(rows) * inner), s.y.resize(size_t(rows) * hidden);
          s.x.fill(rows, hidden, {&layer.gate, &layer.up}, [&](int r, float *y) {
            norm_row(x + size_t(r) * hidden, before, nullptr, y, hidden, config.eps);
            return y;
          });
          s.x.multiply({{&layer.gate, s.gate.data()}, {&layer.up, s.up.data()}});
          s.inner.fill(rows, inner, {&layer.down}, [&](int r, float *y) {
            glu_row(s.gate.data() + size_t(r) * inner, s.up.data() + size_t(r) * inner, y, inner, gemma);
            return y;
          });
          s.inner.multiply({{&layer.down, s.y.data()}});
          close_rows(s.y.data(), after, x, out.data<float>() + size_t(first) * hidden, rows, hidden, config.eps);
        }
      },
      {h});
}

} // namespace kernels
} // namespace ls
