//go:build mlx

// Attention on a CPU as one MLX primitive: norms, rope, the writes to the paged cache and the reads from it where it
// lies, in whatever format.
//
// Keys and values go by in tiles that fit the first cache, and the softmax is taken as they do: each row of queries keeps
// the largest score so far, the sum of the weights under it and the weighted sum of values, and rescales both when a
// larger score comes (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., FlashAttention, arXiv 2205.14135). No score
// is written to memory. A step of few tokens with a long history is cut along the history, or one head would keep one
// processor busy; the parts are merged by the same rule.

#include "kernel.h"
#include "pool.h"
#include "simd.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

namespace ls {
namespace kernels {
namespace {

using simd::vf;
using simd::width;

// One head's vector: perhaps a norm, then the rotation of its two halves.
LS_INLINE void turn(const float *x, const float *w, float eps, const float *cos, const float *sin, int dim, float scale,
                    float *y) {
  const int half = dim / 2;
  const float inv = w != nullptr ? scale / std::sqrt(simd::dot(x, x, dim) / dim + eps) : scale;
  for (int i = 0; i < half; i++) {
    const float a = x[i] * inv * (w != nullptr ? w[i] : 1), b = x[i + half] * inv * (w != nullptr ? w[i + half] : 1);
    y[i] = a * cos[i] - b * sin[i];
    y[i + half] = a * sin[i] + b * cos[i];
  }
}

// c (+)= a b for R rows of a and V vectors of columns, of which the last may be cut short.
template <int R, int V>
LS_INLINE void panel(const float *a, int lda, const float *b, int ldb, int k, float *c, int ldc, int last, bool add) {
  vf acc[R][V] = {};
  for (int r = 0; r < R && add; r++) {
    for (int v = 0; v < V; v++) {
      acc[r][v] = simd::load(c + r * ldc + v * width, v == V - 1 ? last : width);
    }
  }
  for (int i = 0; i < k; i++) {
    vf x[V];
    for (int v = 0; v < V; v++) {
      x[v] = simd::load(b + size_t(i) * ldb + v * width, v == V - 1 ? last : width);
    }
    for (int r = 0; r < R; r++) {
      for (int v = 0; v < V; v++) {
        acc[r][v] += a[r * lda + i] * x[v];
      }
    }
  }
  for (int r = 0; r < R; r++) {
    for (int v = 0; v < V; v++) {
      simd::store(c + r * ldc + v * width, acc[r][v], v == V - 1 ? last : width);
    }
  }
}

template <int R, int V>
LS_INLINE void panels(const float *a, int lda, const float *b, int ldb, int k, int n, float *c, int ldc, bool add) {
  int j = 0;
  for (; j + V * width <= n; j += V * width) {
    panel<R, V>(a, lda, b + j, ldb, k, c + j, ldc, width, add);
  }
  for (; j < n; j += width) {
    panel<R, 1>(a, lda, b + j, ldb, k, c + j, ldc, std::min(width, n - j), add);
  }
}

// c (+)= a b, m x k times k x n, all small and in the caches. Six rows and one vector are twelve of AVX2's sixteen
// registers, and already as fast as the multipliers are: eight and two with AVX-512 gained nothing.
LS_CLONES void product(const float *a, int lda, const float *b, int ldb, int m, int k, int n, float *c, int ldc,
                       bool add) {
  int i = 0;
  for (; i + 6 <= m; i += 6) {
    panels<6, 1>(a + size_t(i) * lda, lda, b, ldb, k, n, c + size_t(i) * ldc, ldc, add);
  }
  for (; i + 3 <= m; i += 3) {
    panels<3, 2>(a + size_t(i) * lda, lda, b, ldb, k, n, c + size_t(i) * ldc, ldc, add);
  }
  for (; i < m; i++) {
    panels<1, 4>(a + size_t(i) * lda, lda, b, ldb, k, n, c + size_t(i) * ldc, ldc, add);
  }
}

template <int R> LS_INLINE void dots(const float *q, const float *k, int dim, float *s, int ld) {
  vf acc[R][4] = {};
  int i = 0;
  for (; i + width <= dim; i += width) {
    vf x[4];
    for (int j = 0; j < 4; j++) {
      x[j] = simd::load(k + size_t(j) * dim + i);
    }
    for (int r = 0; r < R; r++) {
      const vf y = simd::load(q + r * dim + i);
      for (int j = 0; j < 4; j++) {
        acc[r][j] += y * x[j];
      }
    }
  }
  for (int r = 0; r < R; r++) {
    simd::totals(acc[r], s + r * ld);
    for (int e = i; e < dim; e++) {
      for (int j = 0; j < 4; j++) {
        s[r * ld + j] += q[r * dim + e] * k[size_t(j) * dim + e];
      }
    }
  }
}

// s[j][i] = q[j] . k[i] for few rows of q, from keys as they lie.
LS_CLONES void scores(const float *q, int rows, const float *k, int n, int dim, float *s, int ld) {
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    const float *ki = k + size_t(i) * dim;
    int j = 0;
    for (; j + 2 <= rows; j += 2) {
      dots<2>(q + j * dim, ki, dim, s + j * ld + i, ld);
    }
    for (; j < rows; j++) {
      dots<1>(q + j * dim, ki, dim, s + j * ld + i, ld);
    }
  }
  for (; i < n; i++) {
    for (int j = 0; j < rows; j++) {
      s[j * ld + i] = simd::dot(q + j * dim, k + size_t(i) * dim, dim);
    }
  }
}

// t[d][j] = k[j][d] for n keys; rows of t are ld apart.
LS_CLONES void transpose(const float *k, int n, int dim, float *t, int ld) {
  typedef float v4 __attribute__((vector_size(16)));
  int j = 0;
  for (; j + 4 <= n; j += 4) {
    int d = 0;
    for (; d + 4 <= dim; d += 4) {
      v4 r[4];
      for (int e = 0; e < 4; e++) {
        std::memcpy(&r[e], k + size_t(j + e) * dim + d, sizeof r[e]);
      }
      const v4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
      const v4 c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), e = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
      const v4 o[4] = {__builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
                       __builtin_shufflevector(c, e, 0, 1, 4, 5), __builtin_shufflevector(c, e, 2, 3, 6, 7)};
      for (int x = 0; x < 4; x++) {
        std::memcpy(t + size_t(d + x) * ld + j, &o[x], sizeof o[x]);
      }
    }
    for (; d < dim; d++) {
      for (int e = 0; e < 4; e++) {
        t[size_t(d) * ld + j + e] = k[size_t(j + e) * dim + d];
      }
    }
  }
  for (; j < n; j++) {
    for (int d = 0; d < dim; d++) {
      t[size_t(d) * ld + j] = k[size_t(j) * dim + d];
    }
  }
}

// What rows of queries have seen so far: top score, sum of weights under it, weighted sum of values (rows x dim).
struct Seen {
  float *top, *sum, *o;
};

// Turns the scores of one row into weights, 0 outside lo..hi-1, and rescales what it has seen.
LS_INLINE void weigh(float *s, int n, int lo, int hi, float &top, float &sum, float *o, int dim) {
  lo = std::max(lo, 0), hi = std::min(hi, n);
  if (lo >= hi) {
    std::fill(s, s + n, 0.0f);
    return;
  }
  vf most = vf{} + s[lo];
  for (int i = lo; i < hi; i += width) {
    const vf x = simd::load(s + i, std::min(width, hi - i), s[lo]);
    most = x > most ? x : most;
  }
  float t = top;
  for (int i = 0; i < width; i++) {
    t = std::max(t, most[i]);
  }
  if (t > top) {
    const float shrink = std::exp(top - t); // 0 at first: top is minus infinity
    top = t;
    sum *= shrink;
    for (int i = 0; i < dim; i++) {
      o[i] *= shrink;
    }
  }
  vf total = {};
  for (int i = lo; i < hi; i += width) {
    const int m = std::min(width, hi - i);
    const vf e = simd::exp(simd::load(s + i, m, t - 200) - t);
    simd::store(s + i, e, m);
    total += e;
  }
  sum += simd::total(total);
  std::fill(s, s + lo, 0.0f);
  std::fill(s + hi, s + n, 0.0f);
}

// Rows of queries, group of them to a position from first on, take in the scores of the n keys from position p on.
LS_CLONES void weigh_all(float *s, int ld, int rows, int group, int first, int window, int p, int n, Seen seen,
                         int dim) {
  for (int r = 0; r < rows; r++) {
    const int at = first + r / group;
    weigh(s + size_t(r) * ld, n, window > 0 ? at - window + 1 - p : 0, at + 1 - p, seen.top[r], seen.sum[r],
          seen.o + size_t(r) * dim, dim);
  }
}

struct Attention {
  static constexpr int few = 8;        // rows up to which turning keys round costs more than it saves
  static constexpr int row_tile = 64;  // tokens
  static constexpr int short_run = 16; // new tokens up to which a sequence's history is cut into spans

  int heads, kv_heads, dim, window;
  float eps, scale;
  KVFormat kv;
  uint8_t *keys, *values; // kv_heads x slots x row
  size_t head;            // bytes of one head
  std::shared_ptr<const Batch> batch;
  std::shared_ptr<const RopeTable> rope;

  // A piece of work: tokens t..t+n-1 of a sequence, for the heads that share kv head h, over positions lo..hi-1. With
  // other pieces of the same rows its result goes to a part, else to the output.
  struct Piece {
    const Batch::Seq *seq;
    int h, t, n, lo, hi;
    ptrdiff_t part; // where in parts, in floats; -1: none
  };
  struct Merge {
    const Batch::Seq *seq;
    int h, t, n, count;
    ptrdiff_t part;
  };

  // in: q, k, v (tokens x heads x dim), and q_norm, k_norm for Gemma.
  // The cache is written in place: MLX's rule that arrays never change is bent here, by their only owner, on the one
  // stream that reads them.
  void operator()(const std::vector<array> &in, array &out) const {
    const std::unique_ptr<float[]> q(new float[in[0].size()]);
    const int tokens = int(batch->tokens.size());
    std::vector<const Batch::Seq *> owner;
    owner.reserve(tokens);
    for (const Batch::Seq &s : batch->seqs) {
      owner.insert(owner.end(), s.len, &s);
    }
    Pool::shared().run((tokens + 31) / 32, [&](int i) {
      prepare(in, owner.data(), i * 32, std::min(tokens, i * 32 + 32), q.get());
    });

    // Spans end at multiples of a fixed number, so that what a sequence's sums are does not depend on who else is there.
    const int group = heads / kv_heads, span = std::max(64, 32768 / dim / 16 * 16);
    std::vector<Piece> pieces;
    std::vector<Merge> merges;
    size_t floats = 0;
    for (const Batch::Seq &seq : batch->seqs) {
      // The last rows go first, they are the longest.
      for (int t = (seq.len - 1) / row_tile * row_tile; t >= 0; t -= row_tile) {
        const int n = std::min(row_tile, seq.len - t), hi = seq.start + t + n;
        const int lo = window > 0 ? std::max(0, seq.start + t - window + 1) : 0;
        for (int h = 0; h < kv_heads; h++) {
          if (seq.len > short_run || lo / span == (hi - 1) / span) {
            pieces.push_back({&seq, h, t, n, lo, hi, -1});
            continue;
          }
          Merge m{&seq, h, t, n, 0, ptrdiff_t(floats)};
          for (int p = lo; p < hi; p = (p / span + 1) * span, m.count++) {
            pieces.push_back({&seq, h, t, n, p, std::min(hi, (p / span + 1) * span), ptrdiff_t(floats)});
            floats += size_t(n) * group * (dim + 2);
          }
          merges.push_back(m);
        }
      }
    }
    const std::unique_ptr<float[]> parts(new float[floats]);
    float *dst = out.data<float>();
    Pool::shared().run(int(pieces.size()), [&](int i) { attend(pieces[i], q.get(), parts.get(), dst); });
    for (const Merge &m : merges) {
      merge(m, parts.get(), dst);
    }
  }

  // Norms and rotates the queries of tokens from..to-1 into q (sequence, kv head, token, head of the group, dim), and
  // their keys into the cache.
  LS_CLONES void prepare(const std::vector<array> &in, const Batch::Seq *const *owner, int from, int to,
                         float *q) const {
    const float *qn = in.size() > 3 ? in[3].data<float>() : nullptr, *kn = in.size() > 3 ? in[4].data<float>() : nullptr;
    const float *qs = in[0].data<float>(), *ks = in[1].data<float>(), *vs = in[2].data<float>();
    const int group = heads / kv_heads, half = dim / 2;
    const size_t row = kv.row(dim);
    std::vector<float> key(dim);
    for (int t = from; t < to; t++) {
      const Batch::Seq &seq = *owner[t];
      const size_t i = t - seq.first, slot = batch->slots[window > 0][t];
      const float *cos = rope->cos.data() + size_t(t) * half, *sin = rope->sin.data() + size_t(t) * half;
      for (int h = 0; h < heads; h++) {
        const size_t at = (size_t(h / group) * seq.len + i) * group + h % group;
        turn(qs + (size_t(t) * heads + h) * dim, qn, eps, cos, sin, dim, scale, q + (size_t(seq.first) * heads + at) * dim);
      }
      for (int h = 0; h < kv_heads; h++) {
        turn(ks + (size_t(t) * kv_heads + h) * dim, kn, eps, cos, sin, dim, 1, key.data());
        kv.encode(key.data(), dim, keys + h * head + slot * row);
        kv.encode(vs + (size_t(t) * kv_heads + h) * dim, dim, values + h * head + slot * row);
      }
    }
  }

  // The vectors of n positions from p on as float32: where they lie if they lie so, else in buf.
  const float *fetch(const uint8_t *plane, const Batch::Seq &seq, int p, int n, float *buf) const {
    const size_t row = kv.row(dim);
    const std::vector<int> &table = seq.table[window > 0];
    for (int done = 0; done < n;) {
      const int at = p + done, offset = at % batch->block_tokens;
      const size_t slot = size_t(table[at / batch->block_tokens]) * batch->block_tokens + offset;
      int count = std::min(batch->block_tokens - offset, n - done);
      while (done + count < n && table[(at + count) / batch->block_tokens] * size_t(batch->block_tokens) == slot + count) {
        count = std::min(count + batch->block_tokens, n - done);
      }
      if (count == n && kv.bits == 32) {
        return reinterpret_cast<const float *>(plane + slot * row);
      }
      kv.decode(plane + slot * row, count, dim, buf + size_t(done) * dim);
      done += count;
    }
    return buf;
  }

  void attend(const Piece &w, const float *queries, float *parts, float *out) const {
    const int group = heads / kv_heads, rows = w.n * group, first = w.seq->start + w.t;
    // A tile of keys and one of values are in the first cache at a time.
    const int tile = std::clamp(8192 / dim / 16 * 16, 16, 64);
    static thread_local std::vector<float> scratch; // lives as long as its thread, which is for good
    scratch.resize(size_t(rows) * (tile + dim + 2) + size_t(3) * tile * dim);
    float *s = scratch.data(), *buf = s + size_t(rows) * tile, *turned = buf + size_t(tile) * dim;
    Seen seen{turned + size_t(tile) * dim, nullptr, nullptr};
    if (w.part >= 0) {
      seen.top = parts + w.part;
    }
    seen.sum = seen.top + rows, seen.o = seen.sum + rows;
    std::fill(seen.top, seen.sum, -std::numeric_limits<float>::infinity());
    std::fill(seen.sum, seen.o + size_t(rows) * dim, 0.0f);

    const float *q = queries + (size_t(w.seq->first) * heads + (size_t(w.h) * w.seq->len + w.t) * group) * dim;
    for (int p = w.lo; p < w.hi; p += tile) {
      const int n = std::min(tile, w.hi - p);
      const float *k = fetch(keys + w.h * head, *w.seq, p, n, buf);
      if (rows <= few) {
        scores(q, rows, k, n, dim, s, tile);
      } else {
        transpose(k, n, dim, turned, tile);
        product(q, dim, turned, tile, rows, dim, n, s, tile, false);
      }
      weigh_all(s, tile, rows, group, first, window, p, n, seen, dim);
      const float *v = fetch(values + w.h * head, *w.seq, p, n, buf);
      product(s, tile, v, dim, rows, n, dim, seen.o, dim, true);
    }
    if (w.part < 0) {
      finish(*w.seq, w.h, w.t, rows, seen, out);
    }
  }

  // Divides by the sums of weights, into the rows of the output.
  void finish(const Batch::Seq &seq, int h, int t, int rows, Seen seen, float *out) const {
    const int group = heads / kv_heads;
    for (int r = 0; r < rows; r++) {
      float *dst = out + ((size_t(seq.first) + t + r / group) * heads + h * group + r % group) * dim;
      const float *o = seen.o + size_t(r) * dim;
      const float inv = 1 / seen.sum[r];
      for (int i = 0; i < dim; i++) {
        dst[i] = o[i] * inv;
      }
    }
  }

  // Puts the parts of the same rows together, in the first of them.
  LS_CLONES void merge(const Merge &m, float *parts, float *out) const {
    const int rows = m.n * (heads / kv_heads);
    const size_t size = size_t(rows) * (dim + 2);
    const Seen a{parts + m.part, parts + m.part + rows, parts + m.part + 2 * rows};
    for (int i = 1; i < m.count; i++) {
      const float *top = a.top + i * size, *sum = top + rows, *o = sum + rows;
      for (int r = 0; r < rows; r++) {
        const float t = std::max(a.top[r], top[r]);
        // A row that has seen nothing, for the window has passed it, has a top of minus infinity and weighs nothing.
        const float x = a.top[r] == t ? 1 : std::exp(a.top[r] - t), y = top[r] == t ? 1 : std::exp(top[r] - t);
        a.top[r] = t;
        a.sum[r] = a.sum[r] * x + sum[r] * y;
        for (int d = 0; d < dim; d++) {
          a.o[size_t(r) * dim + d] = a.o[size_t(r) * dim + d] * x + o[size_t(r) * dim + d] * y;
        }
      }
    }
    finish(*m.seq, m.h, m.t, rows, a, out);
  }
};

} // namespace

array attend(const Layer &l, const array &q, const array &k, const array &v, const ls_config &c, KVFormat kv,
             std::shared_ptr<const Batch> batch, std::shared_ptr<const RopeTable> rope) {
  std::vector<array> inputs{q, k, v};
  if (l.q_norm) {
    inputs.push_back(*l.q_norm);
    inputs.push_back(*l.k_norm);
  }
  array keys = *l.keys, values = *l.values;
  const size_t head = size_t(keys.shape(1)) * keys.shape(2);
  return make("attend", q.shape(),
              Attention{c.heads, c.kv_heads, c.head_dim, l.sliding ? c.window : 0, c.eps, c.attention_scale, kv,
                        keys.data<uint8_t>(), values.data<uint8_t>(), head, std::move(batch), std::move(rope)},
              std::move(inputs));
}

} // namespace kernels
} // namespace ls
