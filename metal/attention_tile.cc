//go:build mlx

#include "attention_tile.h"
#include "simd.h"

#include <cmath>
#include <cstring>

namespace ls {
namespace kernels {

using simd::width;

// The same as product for R rows of a and V vectors of columns, of which the last may be cut short.
template <int LANES, int R, int V>
LS_INLINE void panel(const float *a, int lda, const float *b, int ldb, int k, float *c, int ldc,
                     int last, bool add) {
  using v = typename simd::Of<LANES>::f;
  v acc[R][V] = {};
  for (int r = 0; r < R && add; r++) {
    for (int i = 0; i < V; i++) {
      acc[r][i] = simd::load<LANES>(c + r * ldc + i * LANES, i == V - 1 ? last : LANES);
    }
  }
  for (int i = 0; i < k; i++) {
    v x[V];
    for (int j = 0; j < V; j++) {
      x[j] = simd::load<LANES>(b + size_t(i) * ldb + j * LANES, j == V - 1 ? last : LANES);
    }
    for (int r = 0; r < R; r++) {
      for (int j = 0; j < V; j++) {
        acc[r][j] += a[r * lda + i] * x[j];
      }
    }
  }
  for (int r = 0; r < R; r++) {
    for (int i = 0; i < V; i++) {
      simd::store<LANES>(c + r * ldc + i * LANES, acc[r][i], i == V - 1 ? last : LANES);
    }
  }
}

// The same for n columns: V vectors at a time, and of the rest half as many.
template <int LANES, int R, int V>
LS_INLINE void panels(const float *a, int lda, const float *b, int ldb, int k, int n, float *c,
                      int ldc, bool add) {
  int j = 0;
  for (; j + V * LANES <= n; j += V * LANES) {
    panel<LANES, R, V>(a, lda, b + j, ldb, k, c + j, ldc, LANES, add);
  }
  if constexpr (V > 1) {
    panels<LANES, R, V / 2>(a, lda, b + j, ldb, k, n - j, c + j, ldc, add);
  } else if (j < n) {
    panel<LANES, R, 1>(a, lda, b + j, ldb, k, c + j, ldc, n - j, add);
  }
}

// A panel has so many rows and vectors that the multipliers have sums which do not wait for one
// another, eight for two multipliers of four cycles, and that the sums stay in registers: AVX2 has
// sixteen, the other instruction sets thirty-two. With AVX-512, two or three rows of four vectors
// are slower than of two.
template <int LANES>
LS_INLINE void product_of(const float *a, int lda, const float *b, int ldb, int m, int k, int n,
                          float *c, int ldc, bool add) {
  constexpr int V = std::max(2, width / LANES), few = LANES == 16 ? V : 2 * V;
  for (; m >= 6; m -= 6, a += 6 * size_t(lda), c += 6 * size_t(ldc)) {
    panels<LANES, 6, V>(a, lda, b, ldb, k, n, c, ldc, add);
  }
  if (m == 4) {
    panels<LANES, 4, V>(a, lda, b, ldb, k, n, c, ldc, add);
    return;
  }
  if (m >= 3) {
    panels<LANES, 3, few>(a, lda, b, ldb, k, n, c, ldc, add);
    m -= 3, a += 3 * size_t(lda), c += 3 * size_t(ldc);
  }
  if (m == 2) {
    panels<LANES, 2, few>(a, lda, b, ldb, k, n, c, ldc, add);
  } else if (m == 1) {
    panels<LANES, 1, 8>(a, lda, b, ldb, k, n, c, ldc, add);
  }
}

namespace {
LS_WIDTHS(void, product_here, product_of,
          (const float *a, int lda, const float *b, int ldb, int m, int k, int n, float *c, int ldc,
           bool add),
          a, lda, b, ldb, m, k, n, c, ldc, add)
} // namespace

void product(const float *a, int lda, const float *b, int ldb, int m, int k, int n, float *c,
             int ldc, bool add) {
  product_here(a, lda, b, ldb, m, k, n, c, ldc, add);
}

// Transposes elements from..to-1 of eight keys.
LS_INLINE void transpose_eight(const float *k, int dim, int from, int to, float *t, int ld) {
  typedef float v4 __attribute__((vector_size(16)));
  typedef float v8 __attribute__((vector_size(32)));
  int d = from;
  for (; d + 4 <= to; d += 4) {
    v8 r[4]; // elements d..d+3 of keys e and e+4, so that no element has to change halves
    for (int e = 0; e < 4; e++) {
      v4 x, y;
      std::memcpy(&x, k + size_t(e) * dim + d, sizeof x);
      std::memcpy(&y, k + size_t(e + 4) * dim + d, sizeof y);
      r[e] = __builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7);
    }
    const v8 a = __builtin_shufflevector(r[0], r[1], 0, 8, 1, 9, 4, 12, 5, 13);
    const v8 b = __builtin_shufflevector(r[2], r[3], 0, 8, 1, 9, 4, 12, 5, 13);
    const v8 c = __builtin_shufflevector(r[0], r[1], 2, 10, 3, 11, 6, 14, 7, 15);
    const v8 e = __builtin_shufflevector(r[2], r[3], 2, 10, 3, 11, 6, 14, 7, 15);
    const v8 o[4] = {__builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13),
                     __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15),
                     __builtin_shufflevector(c, e, 0, 1, 8, 9, 4, 5, 12, 13),
                     __builtin_shufflevector(c, e, 2, 3, 10, 11, 6, 7, 14, 15)};
    for (int x = 0; x < 4; x++) {
      std::memcpy(t + size_t(d + x) * ld, &o[x], sizeof o[x]);
    }
  }
  for (; d < to; d++) {
    for (int e = 0; e < 8; e++) {
      t[size_t(d) * ld + e] = k[size_t(e) * dim + d];
    }
  }
}

LS_CLONES void transpose(const float *k, int n, int dim, float *t, int ld, const Ahead &ahead) {
  constexpr int part = 16; // elements between prefetches
  for (int d = 0; d < dim; d += part) {
    const int end = std::min(d + part, dim);
    ahead.prefetch(ahead.bytes * d / dim, ahead.bytes * end / dim);
    if (n == 8) {
      transpose_eight(k, dim, d, end, t, ld);
      continue;
    }
    for (int j = 0; j < n; j++) {
      for (int i = d; i < end; i++) {
        t[size_t(i) * ld + j] = k[size_t(j) * dim + i];
      }
    }
  }
}

template <int LANES>
LS_INLINE void cap_rows_of(float *x, int ld, int rows, int n, float limit) {
  for (int r = 0; r < rows; r++) {
    float *row = x + size_t(r) * ld;
    for (int i = 0; i < n; i += LANES) {
      const auto e = simd::exp<LANES>(simd::load<LANES>(row + i, n - i) * (2 / limit));
      simd::store<LANES>(row + i, limit - 2 * limit / (e + 1), n - i);
    }
  }
}

// Makes weights of the scores of one row, 0 outside lo..hi-1, and rescales its sums.
template <int LANES>
LS_INLINE void weigh(float *s, int n, int lo, int hi, float &top, float &sum, float *o, int dim) {
  using F = typename simd::Of<LANES>::f;
  lo = std::max(lo, 0), hi = std::min(hi, n);
  if (lo >= hi) {
    std::fill(s, s + n, 0.0f);
    return;
  }
  F high = F{} + s[lo];
  for (int i = lo; i < hi; i += LANES) {
    high = simd::larger(simd::load<LANES>(s + i, hi - i, s[lo]), high);
  }
  const float t = std::max(top, simd::top<LANES>(high));
  if (t > top) {
    const float shrink = std::exp(top - t); // 0 at first: top is minus infinity
    top = t;
    sum *= shrink;
    for (int i = 0; i < dim; i++) {
      o[i] *= shrink;
    }
  }
  F total[width / LANES] = {};
  for (int i = lo; i < hi; i += width) {
#pragma GCC unroll 4
    for (int j = 0; j < width / LANES; j++) {
      const int at = i + j * LANES;
      const F e = simd::exp<LANES>(simd::load<LANES>(s + at, hi - at, t - 200) - t);
      simd::store<LANES>(s + at, e, hi - at);
      total[j] += e;
    }
  }
  sum += simd::total<LANES>(total);
  std::fill(s, s + lo, 0.0f);
  std::fill(s + hi, s + n, 0.0f);
}

template <int LANES>
LS_INLINE void weigh_all_of(float *s, int ld, int rows, int group, int first, int window, int p,
                            int n, Seen seen, int dim) {
  for (int r = 0; r < rows; r++) {
    const int at = first + r / group;
    weigh<LANES>(s + size_t(r) * ld, n, window > 0 ? at - window + 1 - p : 0, at + 1 - p,
                 seen.top[r], seen.sum[r], seen.o + size_t(r) * dim, dim);
  }
}

template <int LANES> LS_INLINE void fold_of(Seen a, Seen b, int rows, int dim) {
  for (int r = 0; r < rows; r++) {
    const float t = std::max(a.top[r], b.top[r]);
    const float x = a.top[r] == t ? 1 : std::exp(a.top[r] - t),
                y = b.top[r] == t ? 1 : std::exp(b.top[r] - t);
    a.top[r] = t;
    a.sum[r] = a.sum[r] * x + b.sum[r] * y;
    float *to = a.o + size_t(r) * dim;
    const float *from = b.o + size_t(r) * dim;
    for (int i = 0; i < dim; i += LANES) {
      const int m = dim - i;
      simd::store<LANES>(
          to + i, simd::load<LANES>(to + i, m) * x + simd::load<LANES>(from + i, m) * y, m);
    }
  }
}

namespace {
LS_WIDTHS(void, cap_rows_here, cap_rows_of, (float *x, int ld, int rows, int n, float limit), x,
          ld, rows, n, limit)
LS_WIDTHS(void, weigh_all_here, weigh_all_of,
          (float *s, int ld, int rows, int group, int first, int window, int p, int n, Seen seen,
           int dim),
          s, ld, rows, group, first, window, p, n, seen, dim)
LS_WIDTHS(void, fold_here, fold_of, (Seen a, Seen b, int rows, int dim), a, b, rows, dim)
} // namespace

void cap_rows(float *x, int ld, int rows, int n, float limit) {
  cap_rows_here(x, ld, rows, n, limit);
}

void weigh_all(float *s, int ld, int rows, int group, int first, int window, int p, int n,
               Seen seen, int dim) {
  weigh_all_here(s, ld, rows, group, first, window, p, n, seen, dim);
}

void fold(Seen a, Seen b, int rows, int dim) { fold_here(a, b, rows, dim); }

} // namespace kernels
} // namespace ls
