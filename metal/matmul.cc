//go:build mlx

// y = x W^T in float32 for few rows of x and a large W. A decode step consists mostly of such
// products.
//
// The time of such a product is that of reading W once. OpenBLAS's sgemm packs W first, which reads
// and writes all of it before the work starts, and its sgemv takes only one row of x. Here every
// thread takes rows of W and multiplies them with all rows of x while they are in its cache. A
// decode step of SmolLM2 on two processors took 65 ms with OpenBLAS and 25 ms with this for 1
// sequence, 121 and 41 ms for 8 sequences (BenchmarkDecode; graph=true is MLX's operations with
// OpenBLAS).

#include "product.h"
#include "simd.h"

namespace ls {
namespace kernels {
namespace {

using simd::vf;
using simd::width;

// Multiplies four rows of w with M rows of x.
template <int M> LS_INLINE void tile(const float *w, const float *x, float *y, int k, int ldy) {
  vf acc[4][M] = {};
  int i = 0;
  for (; i + width <= k; i += width) {
    vf xs[M];
    for (int m = 0; m < M; m++) {
      xs[m] = simd::load(x + size_t(m) * k + i);
    }
    for (int r = 0; r < 4; r++) {
      const vf v = simd::load(w + size_t(r) * k + i);
      for (int m = 0; m < M; m++) {
        acc[r][m] += v * xs[m];
      }
    }
  }
  for (int r = 0; r < 4; r++) {
    for (int m = 0; m < M; m++) {
      float sum = simd::total(acc[r][m]);
      for (int j = i; j < k; j++) {
        sum += w[size_t(r) * k + j] * x[size_t(m) * k + j];
      }
      y[size_t(m) * ldy + r] = sum;
    }
  }
}

} // namespace

LS_CLONES void few_rows(const float *w, const float *x, float *y, int m, int n, int k, int ldy) {
  int r = 0;
  for (; r + 4 <= n; r += 4) {
    const float *wr = w + size_t(r) * k;
    int i = 0;
    for (; i + 4 <= m; i += 4) {
      tile<4>(wr, x + size_t(i) * k, y + size_t(i) * ldy + r, k, ldy);
    }
    for (; i + 2 <= m; i += 2) {
      tile<2>(wr, x + size_t(i) * k, y + size_t(i) * ldy + r, k, ldy);
    }
    for (; i < m; i++) {
      tile<1>(wr, x + size_t(i) * k, y + size_t(i) * ldy + r, k, ldy);
    }
  }
  for (; r < n; r++) {
    for (int i = 0; i < m; i++) {
      y[size_t(i) * ldy + r] = simd::dot<width>(x + size_t(i) * k, w + size_t(r) * k, k);
    }
  }
}

} // namespace kernels
} // namespace ls
