// The arithmetic of attention on a tile of keys or of values, in float32: what it knows nothing of is sequences, threads and
// the cache.
#ifndef LOADSTONE_ATTENTION_TILE_H
#define LOADSTONE_ATTENTION_TILE_H

#include <algorithm>
#include <cstddef>
#include <limits>

namespace ls {
namespace kernels {

// What rows of queries have seen so far: top score, sum of weights under it, weighted sum of values (rows x dim).
struct Seen {
  float *top, *sum, *o;

  static size_t size(int rows, int dim) { return size_t(rows) * (dim + 2); }
  Seen(float *p, int rows) : top(p), sum(p + rows), o(p + 2 * size_t(rows)) {}
  void reset(int rows, int dim) {
    std::fill(top, sum, -std::numeric_limits<float>::infinity());
    std::fill(sum, o + size_t(rows) * dim, 0.0f);
  }
  Seen from(int row, int dim) const {
    Seen s = *this;
    s.top += row, s.sum += row, s.o += size_t(row) * dim;
    return s;
  }
};

// c (+)= a b, m x k times k x n, all small and in the caches.
void product(const float *a, int lda, const float *b, int ldb, int m, int k, int n, float *c, int ldc, bool add);

// t[d][j] = k[j][d] for n keys; rows of t are ld apart.
void transpose(const float *k, int n, int dim, float *t, int ld);

// Rows of queries, group of them to a position from first on, take in the scores of the n keys from position p on: s, rows
// that are ld apart, become weights, and what the rows have seen is rescaled.
void weigh_all(float *s, int ld, int rows, int group, int first, int window, int p, int n, Seen seen, int dim);

// Adds to what rows have seen in earlier spans what they have seen in the next one. A row that has seen nothing, for it
// stands before the span or its window has passed it, has a top of minus infinity and weighs nothing.
void fold(Seen a, Seen b, int rows, int dim);

} // namespace kernels
} // namespace ls

#endif
