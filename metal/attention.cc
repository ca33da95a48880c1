//go:build mlx

// Attention on a CPU as one MLX primitive: norms, rope, the writes to the paged cache and the reads from it where it
// lies.

#include "kernel.h"
#include "pool.h"
#include "simd.h"

#include <algorithm>
#include <cmath>
#include <cstring>

extern "C" void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                            const float *b, int ldb, float beta, float *c, int ldc);

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

// s[j] = q[j] . k[i] for rows j < nq and keys i < nk.
LS_CLONES void scores(const float *q, int nq, const float *k, int nk, int dim, float *s, int ld) {
  for (int i = 0; i < nk; i++) {
    for (int j = 0; j < nq; j++) {
      s[j * ld + i] = simd::dot(q + j * dim, k + size_t(i) * dim, dim);
    }
  }
}

// o[j] += sum of s[j][i] v[i]. Keys go by 32, so that what the next row reads again is still in the first cache.
LS_CLONES void mix(const float *s, int ld, int nq, const float *v, int nk, int dim, float *o) {
  for (int i0 = 0; i0 < nk; i0 += 32) {
    const int i1 = std::min(nk, i0 + 32);
    for (int j = 0; j < nq; j++) {
      int d = 0;
      for (; d + 4 * width <= dim; d += 4 * width) {
        float *p = o + j * dim + d;
        vf a = simd::load(p), b = simd::load(p + width), c = simd::load(p + 2 * width), e = simd::load(p + 3 * width);
        for (int i = i0; i < i1; i++) {
          const float *r = v + size_t(i) * dim + d;
          const float x = s[j * ld + i];
          a += x * simd::load(r);
          b += x * simd::load(r + width);
          c += x * simd::load(r + 2 * width);
          e += x * simd::load(r + 3 * width);
        }
        simd::store(p, a), simd::store(p + width, b), simd::store(p + 2 * width, c), simd::store(p + 3 * width, e);
      }
      for (int i = i0; i < i1; i++) {
        for (int e = d; e < dim; e++) {
          o[j * dim + e] += s[j * ld + i] * v[size_t(i) * dim + e];
        }
      }
    }
  }
}

// Softmax of s[lo..hi-1]; everything else up to n becomes 0.
LS_CLONES void softmax(float *s, int lo, int hi, int n) {
  float top = s[lo];
  for (int i = lo; i < hi; i++) {
    top = std::max(top, s[i]);
  }
  vf sum = {};
  for (int i = lo; i < hi; i += width) {
    const int m = std::min(width, hi - i);
    const vf e = simd::exp(simd::load(s + i, m, top - 200) - top);
    simd::store(s + i, e, m);
    sum += e;
  }
  const float inv = 1 / simd::total(sum);
  for (int i = lo; i < hi; i++) {
    s[i] *= inv;
  }
  std::fill(s, s + lo, 0.0f);
  std::fill(s + hi, s + n, 0.0f);
}

struct Attention {
  static constexpr int few = 8; // rows up to which packing operands for BLAS costs more than it saves

  int heads, kv_heads, dim, window;
  float eps, scale;
  std::shared_ptr<const Batch> batch;
  std::shared_ptr<const RopeTable> rope;

  // in: q, k, v (tokens x heads x dim), keys, values (kv_heads x slots x dim), and q_norm, k_norm for Gemma.
  // The cache is written in place: MLX's rule that arrays never change is bent here, by their only owner, on the one
  // stream that reads them.
  void operator()(const std::vector<array> &in, array &out) const {
    float *keys = const_cast<float *>(in[3].data<float>()), *values = const_cast<float *>(in[4].data<float>());
    const size_t head = size_t(in[3].shape(1)) * dim;
    std::vector<float> q(in[0].size());
    prepare(in, q.data(), keys, values, head);

    // Tiles of rows: what causality and the window hide from all of a tile is not computed. The last go first, they
    // are the longest.
    struct Tile {
      const Batch::Seq *seq;
      int head, first, rows;
    };
    std::vector<Tile> tiles;
    for (const Batch::Seq &seq : batch->seqs) {
      for (int t = (seq.len - 1) / 64 * 64; t >= 0; t -= 64) {
        for (int h = 0; h < kv_heads; h++) {
          tiles.push_back({&seq, h, t, std::min(64, seq.len - t)});
        }
      }
    }
    Pool::shared().run(int(tiles.size()), [&](int i) {
      const Tile &t = tiles[i];
      attend(*t.seq, t.first, t.rows, t.head, q.data(), keys + t.head * head, values + t.head * head,
             out.data<float>());
    });
  }

  // Norms and rotates queries into q (sequence, kv head, token, head of the group, dim), and keys into the cache.
  LS_CLONES void prepare(const std::vector<array> &in, float *q, float *keys, float *values, size_t head) const {
    const float *qn = in.size() > 5 ? in[5].data<float>() : nullptr, *kn = in.size() > 5 ? in[6].data<float>() : nullptr;
    const float *qs = in[0].data<float>(), *ks = in[1].data<float>(), *vs = in[2].data<float>();
    const int group = heads / kv_heads, half = dim / 2;
    for (const Batch::Seq &seq : batch->seqs) {
      for (int i = 0; i < seq.len; i++) {
        const size_t t = seq.first + i, slot = batch->slots[window > 0][t];
        const float *cos = rope->cos.data() + t * half, *sin = rope->sin.data() + t * half;
        for (int h = 0; h < heads; h++) {
          const size_t row = (size_t(h / group) * seq.len + i) * group + h % group;
          turn(qs + (t * heads + h) * dim, qn, eps, cos, sin, dim, scale, q + (size_t(seq.first) * heads + row) * dim);
        }
        for (int h = 0; h < kv_heads; h++) {
          turn(ks + (t * kv_heads + h) * dim, kn, eps, cos, sin, dim, 1, keys + h * head + slot * dim);
          std::memcpy(values + h * head + slot * dim, vs + (t * kv_heads + h) * dim, dim * sizeof(float));
        }
      }
    }
  }

  // One tile: rows t..t+n-1 of a sequence, times the heads that share kv head h.
  void attend(const Batch::Seq &seq, int t, int n, int h, const float *queries, const float *keys, const float *values,
              float *out) const {
    const int group = heads / kv_heads, rows = n * group;
    const int first = seq.start + t, hi = first + n, lo = window > 0 ? std::max(0, first - window + 1) : 0;
    const int ld = hi - lo;
    const float *q = queries + (size_t(seq.first) * heads + (size_t(h) * seq.len + t) * group) * dim;
    std::vector<float> s(size_t(rows) * ld), o(size_t(rows) * dim);
    const auto runs = batch->runs(seq, window > 0, lo, hi);

    int col = 0;
    for (const Run &r : runs) {
      const float *k = keys + size_t(r.slot) * dim;
      if (rows <= few) {
        scores(q, rows, k, r.count, dim, s.data() + col, ld);
      } else {
        cblas_sgemm(101, 111, 112, rows, r.count, dim, 1, q, dim, k, dim, 0, s.data() + col, ld);
      }
      col += r.count;
    }
    for (int row = 0; row < rows; row++) {
      const int p = first + row / group;
      softmax(s.data() + size_t(row) * ld, window > 0 ? std::max(0, p - window + 1) - lo : 0, p + 1 - lo, ld);
    }
    col = 0;
    for (const Run &r : runs) {
      const float *v = values + size_t(r.slot) * dim;
      if (rows <= few) {
        mix(s.data() + col, ld, rows, v, r.count, dim, o.data());
      } else {
        cblas_sgemm(101, 111, 111, rows, dim, r.count, 1, s.data() + col, ld, v, dim, 1, o.data(), dim);
      }
      col += r.count;
    }
    float *dst = out + (size_t(seq.first + t) * heads + h * group) * dim;
    for (int i = 0; i < n; i++, dst += heads * dim) {
      std::memcpy(dst, o.data() + size_t(i) * group * dim, size_t(group) * dim * sizeof(float));
    }
  }
};

} // namespace

array attend(const Layer &l, const array &q, const array &k, const array &v, const ls_config &c,
             std::shared_ptr<const Batch> batch, std::shared_ptr<const RopeTable> rope) {
  std::vector<array> inputs{q, k, v, *l.keys, *l.values};
  if (l.q_norm) {
    inputs.push_back(*l.q_norm);
    inputs.push_back(*l.k_norm);
  }
  return make("attend", q.shape(),
              Attention{c.heads, c.kv_heads, c.head_dim, l.sliding ? c.window : 0, c.eps, c.attention_scale,
                        std::move(batch), std::move(rope)},
              std::move(inputs));
}

} // namespace kernels
} // namespace ls
