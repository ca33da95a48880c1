// The arithmetic of attention on a tile of keys or of values, in float32. Sequences, threads and
// the cache are attention.cc's business.
#ifndef LOADSTONE_ATTENTION_TILE_H
#define LOADSTONE_ATTENTION_TILE_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace ls {
namespace kernels {

// The running softmax of rows of queries over the positions so far: the largest score, the sum of
// the weights relative to it, and the weighted sum of values (rows x dim).
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

// c = a b, or c += a b where add is set: m x k times k x n, all small and in the caches.
void product(const float *a, int lda, const float *b, int ldb, int m, int k, int n, float *c,
             int ldc, bool add);

// Keys and values that will be read soon: where they begin, and the bytes of each.
struct Ahead {
  const uint8_t *keys, *values;
  size_t bytes;

  // Prefetches the cache lines that begin in bytes from..to-1 into the second-level cache, which
  // can have more reads under way than the first-level one.
  void prefetch(size_t from, size_t to) const {
    for (size_t i = (from + 63) / 64 * 64; i < to; i += 64) {
      __builtin_prefetch(keys + i, 0, 2);
      __builtin_prefetch(values + i, 0, 2);
    }
  }
};

// Transposes n keys, at most 8: t[d][j] = k[j][d]. Rows of t are ld apart. In between it prefetches
// what is ahead, a few lines at a time.
void transpose(const float *k, int n, int dim, float *t, int ld, const Ahead &ahead);

// Makes limit tanh(x / limit) of n numbers in each of some rows, which are ld apart.
void cap_rows(float *x, int ld, int rows, int n, float limit);

// Takes the scores of n keys, from position p on, into the softmax of rows of queries. There are
// group rows to a position, from position first on. The scores s, rows that are ld apart, become
// weights, and seen is rescaled.
void weigh_all(float *s, int ld, int rows, int group, int first, int window, int p, int n,
               Seen seen, int dim);

// Adds the softmax of the next span, b, to that of the spans before it, a. A row that has seen
// nothing of a span, because it stands before the span or its window has passed it, has a top of
// minus infinity there, and that span has no weight.
void fold(Seen a, Seen b, int rows, int dim);

} // namespace kernels
} // namespace ls

#endif
