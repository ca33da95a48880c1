//go:build mlx

// CPU kernels as MLX primitives of our own.
//
// On a CPU MLX composes a norm, a rope or an attention from a dozen small operations, each a pass over memory and a
// task for its worker thread; a decode step is made of small operations. These do each in one pass and run once for the
// whole batch. BenchmarkDecode compares both (graph=true is MLX's own).

#include "kernel.h"
#include "simd.h"

#include <algorithm>
#include <cmath>

namespace ls {
namespace kernels {
namespace {

using simd::vf;
using simd::width;

LS_CLONES void norm_rows(const float *x, const float *w, const float *residual, float *y, int rows, int n, float eps) {
  for (int r = 0; r < rows; r++, x += n, y += n) {
    const float inv = 1 / std::sqrt(simd::dot(x, x, n) / n + eps);
    for (int i = 0; i < n; i++) {
      y[i] = x[i] * inv * w[i];
    }
    if (residual != nullptr) {
      for (int i = 0; i < n; i++) {
        y[i] += residual[i];
      }
      residual += n;
    }
  }
}

LS_CLONES void glu_all(const float *gate, const float *up, float *y, size_t n, bool gelu) {
  // GELU's tanh form is x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3), and SiLU is x * sigmoid(x).
  const float a = gelu ? -1.5957691216057308f : -1, b = gelu ? a * 0.044715f : 0;
  for (size_t i = 0; i < n; i += width) {
    const int m = int(std::min<size_t>(width, n - i));
    const vf g = simd::load(gate + i, m), u = simd::load(up + i, m);
    simd::store(y + i, g * u / (1 + simd::exp(g * (a + b * g * g))), m);
  }
}

} // namespace

array norm(const array &x, const array &w, float eps, const std::optional<array> &residual) {
  std::vector<array> inputs{x, w};
  if (residual) {
    inputs.push_back(*residual);
  }
  return make(
      "norm", x.shape(),
      [eps](const std::vector<array> &in, array &out) {
        const int n = in[1].size();
        norm_rows(in[0].data<float>(), in[1].data<float>(), in.size() > 2 ? in[2].data<float>() : nullptr,
                  out.data<float>(), int(in[0].size() / n), n, eps);
      },
      std::move(inputs));
}

array glu(const array &gate, const array &up, bool gelu) {
  return make(
      "glu", gate.shape(),
      [gelu](const std::vector<array> &in, array &out) {
        glu_all(in[0].data<float>(), in[1].data<float>(), out.data<float>(), out.size(), gelu);
      },
      {gate, up});
}

} // namespace kernels
} // namespace ls
