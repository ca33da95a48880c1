//go:build mlx

// Attention on a CPU: norms, rope, the writes to the paged cache, and the reads from the cache in
// place and in its format.
//
// Keys and values are read in tiles that fit the first-level cache, and the softmax is computed
// tile by tile: each row of queries keeps the largest score so far, the sum of the weights relative
// to it and the weighted sum of values, and rescales both sums when a larger score comes (Milakov
// and Gimelshein, arXiv 1805.02867; Dao et al., FlashAttention, arXiv 2205.14135). No score is
// written to memory.
//
// A row's result is the same to the last bit, whatever else is in the step and however the prompt
// is cut into steps. The product after attention rounds the row to 8 bits, where a float that
// differs in its last bit can round to another whole number and so change the answer some tokens
// later. Therefore:
//   - Tiles begin at absolute multiples of their size. Positions that a row does not see have a
//     weight of exactly 0.
//   - A score is summed over the elements of the head in their order, whether rows are few or many,
//     from keys that were transposed. The alternative, a sum in each lane and their total at the
//     end, needs no transposition, but makes a prompt 1.5 to 1.9 times as expensive. With keys
//     transposed by eights, a single row is as fast as it would be that way (head dimensions of 64
//     and 256, AVX-512).
//   - A row begins anew at absolute multiples of a span, and the results of its spans are folded
//     together in their order, by the same rule as tiles, whichever threads computed them. So work
//     can be cut along the history wherever that keeps threads busy.

#include "attention_tile.h"
#include "internal.h"
#include "pool.h"
#include "simd.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <memory>

namespace ls {
namespace kernels {
namespace {

template <int LANES> LS_INLINE float squares_of(const float *x, int n) {
  return simd::dot<LANES>(x, x, n);
}
LS_WIDTHS(float, squares, squares_of, (const float *x, int n), x, n)

// Applies a norm, unless w is null, and then rope to one vector of a head: element i is rotated
// with element i + pairs. Elements from 2 pairs on are not rotated.
LS_INLINE void norm_and_rope(const float *x, const float *w, float eps, const float *cos,
                             const float *sin, int pairs, int dim, float scale, float *y) {
  const float inv = w != nullptr ? scale / std::sqrt(squares(x, dim) / dim + eps) : scale;
  for (int i = 0; i < pairs; i++) {
    const float a = x[i] * inv * (w != nullptr ? w[i] : 1),
                b = x[i + pairs] * inv * (w != nullptr ? w[i + pairs] : 1);
    y[i] = a * cos[i] - b * sin[i];
    y[i + pairs] = a * sin[i] + b * cos[i];
  }
  for (int i = 2 * pairs; i < dim; i++) {
    y[i] = x[i] * inv * (w != nullptr ? w[i] : 1);
  }
}

struct Attention {
  static constexpr int max_rows = 64; // tokens of a piece
  static constexpr int shares = 4;    // a piece may be as large as a thread's work divided by this
  static constexpr int few_rows = 16; // tokens that use a tile before the next tokens do

  const ls_config &config;
  int heads, kv_heads, dim, window;
  float eps, scale;
  KVFormat kv;
  uint8_t *keys, *values; // kv_heads x cells x row
  size_t head;            // bytes of one head
  const Batch &batch;
  const RopeTable &rope;
  const float *q_norm, *k_norm; // null without them

  // A tile of keys and one of values fit the first-level cache together. A span is a whole number
  // of tiles, and so long that folding costs next to nothing: spans of 128 positions of dim 256
  // made a prompt of 2048 tokens 7 % more expensive.
  int tile() const { return dim <= 128 ? 64 : dim <= 256 ? 32 : 16; }
  int span() const { return std::max(256, 32768 / dim / 64 * 64); }

  // Tokens t..t+n-1 of a sequence, for the heads that share kv head h. They attend to positions
  // lo..hi-1.
  struct Rows {
    const Batch::Seq *seq;
    int h, t, n, lo, hi;
    // The place, in floats, of the results of their spans in the array of results; -1 if one piece
    // does all spans and needs none.
    ptrdiff_t results = -1;
    std::atomic<int> left{}; // spans that are not done
  };
  // A piece of work: positions lo..hi-1 of rows.
  struct Piece {
    Rows *rows;
    int lo, hi;
  };

  // The cache is written in place. This bends MLX's rule that arrays never change, but we are the
  // only owner of these arrays, and only this stream reads them.
  void operator()(const float *queries, const float *new_keys, const float *new_values,
                  float *out) const {
    const int tokens = int(batch.tokens.size());
    const std::unique_ptr<float[]> q(new float[size_t(tokens) * heads * dim]);
    std::vector<const Batch::Seq *> owner;
    owner.reserve(tokens);
    for (const Batch::Seq &s : batch.seqs) {
      owner.insert(owner.end(), s.len, &s);
    }
    Pool::shared().run((tokens + 31) / 32, [&](int i) {
      prepare(queries, new_keys, new_values, owner.data(), i * 32, std::min(tokens, i * 32 + 32),
              q.get());
    });

    std::deque<Rows> all;
    double work = 0;
    for (const Batch::Seq &seq : batch.seqs) {
      const int step = row_tile(seq);
      // The last rows go first, because they take longest.
      for (int t = (seq.len - 1) / step * step; t >= 0; t -= step) {
        const int n = std::min(step, seq.len - t), hi = seq.start + t + n;
        const int lo = window > 0 ? std::max(0, seq.start + t - window + 1) : 0;
        for (int h = 0; h < kv_heads; h++) {
          Rows &r = all.emplace_back();
          r.seq = &seq, r.h = h, r.t = t, r.n = n, r.lo = lo, r.hi = hi;
          work += double(n) * (hi - lo);
        }
      }
    }
    // Rows that are a small share of the work are one piece: no thread waits long for it.
    const double small = work / (shares * Pool::shared().threads());
    std::vector<Piece> pieces;
    size_t floats = 0;
    for (Rows &r : all) {
      const int first = r.lo / span(), last = (r.hi - 1) / span();
      if (first == last || Pool::shared().threads() == 1 || double(r.n) * (r.hi - r.lo) <= small) {
        pieces.push_back({&r, r.lo, r.hi});
        continue;
      }
      r.results = ptrdiff_t(floats), r.left = last - first + 1;
      floats += r.left * Seen::size(r.n * (heads / kv_heads), dim);
      for (int i = first; i <= last; i++) {
        pieces.push_back({&r, std::max(r.lo, i * span()), std::min(r.hi, (i + 1) * span())});
      }
    }
    const std::unique_ptr<float[]> results(new float[floats]);
    Pool::shared().run(int(pieces.size()),
                       [&](int i) { attend(pieces[i], q.get(), results.get(), out); });
  }

  // Returns the tokens of a piece: fewer than max_rows where a thread would be without work.
  int row_tile(const Batch::Seq &seq) const {
    const int hi = seq.start + seq.len, lo = window > 0 ? std::max(0, seq.start - window + 1) : 0;
    const int spans = (hi - 1) / span() - lo / span() + 1;
    int n = max_rows;
    while (n > few_rows &&
           (seq.len + n - 1) / n * kv_heads * spans < shares * Pool::shared().threads()) {
      n /= 2;
    }
    return n;
  }

  // Writes the queries of tokens from..to-1, after norm and rope, into q (sequence, kv head, token,
  // head of the group, dim), and their keys and values into the cache.
  LS_CLONES void prepare(const float *qs, const float *ks, const float *vs,
                         const Batch::Seq *const *owner, int from, int to, float *q) const {
    const int group = heads / kv_heads, pairs = rope.pairs;
    const size_t row = kv.row(dim);
    std::vector<float> key(dim);
    for (int t = from; t < to; t++) {
      const Batch::Seq &seq = *owner[t];
      const size_t i = t - seq.first, cell = batch.cells[window > 0][t];
      const float *cos = rope.cos.data() + size_t(t) * pairs,
                  *sin = rope.sin.data() + size_t(t) * pairs;
      const float scale = this->scale * query_factor(config, batch.positions[t]);
      for (int h = 0; h < heads; h++) {
        const size_t at = (size_t(h / group) * seq.len + i) * group + h % group;
        norm_and_rope(qs + (size_t(t) * heads + h) * dim, q_norm, eps, cos, sin, pairs, dim, scale,
                      q + (size_t(seq.first) * heads + at) * dim);
        kv.rotate(q + (size_t(seq.first) * heads + at) * dim, dim);
      }
      for (int h = 0; h < kv_heads; h++) {
        norm_and_rope(ks + (size_t(t) * kv_heads + h) * dim, k_norm, eps, cos, sin, pairs, dim, 1,
                      key.data());
        kv.encode(key.data(), dim, keys + h * head + cell * row);
        kv.encode(vs + (size_t(t) * kv_heads + h) * dim, dim, values + h * head + cell * row);
      }
    }
  }

  // Returns the vectors of n positions from p on as float32: in place if they lie there as such,
  // side by side, else decoded into buf.
  const float *fetch(const uint8_t *plane, const Batch::Seq &seq, int p, int n, float *buf) const {
    const size_t row = kv.row(dim);
    const std::vector<int> &table = seq.table[window > 0];
    for (int done = 0; done < n;) {
      const int at = p + done, offset = at % batch.block_tokens;
      const size_t cell = size_t(table[at / batch.block_tokens]) * batch.block_tokens + offset;
      int count = std::min(batch.block_tokens - offset, n - done);
      while (done + count < n &&
             table[(at + count) / batch.block_tokens] * size_t(batch.block_tokens) ==
                 cell + count) {
        count = std::min(count + batch.block_tokens, n - done);
      }
      if (count == n && kv.bits == 32) {
        return reinterpret_cast<const float *>(plane + cell * row);
      }
      kv.decode(plane + cell * row, count, dim, buf + size_t(done) * dim);
      done += count;
    }
    return buf;
  }

  // Returns where the keys and values of n positions from p on lie, up to the end of their block.
  Ahead ahead(const Batch::Seq &seq, int h, int p, int n) const {
    const int block = seq.table[window > 0][p / batch.block_tokens],
              at = p % batch.block_tokens;
    const size_t row = kv.row(dim),
                 first = h * head + (size_t(block) * batch.block_tokens + at) * row;
    return {keys + first, values + first, std::min(n, batch.block_tokens - at) * row};
  }

  // Prefetches what fetch will read of n positions from p on.
  void prefetch(const Batch::Seq &seq, int h, int p, int n) const {
    while (n > 0) {
      const Ahead a = ahead(seq, h, p, n);
      a.prefetch(0, a.bytes);
      const int count = int(a.bytes / kv.row(dim));
      p += count, n -= count;
    }
  }

  // Transposes the keys k of n positions from p on, and prefetches the next positions meanwhile, so
  // that arithmetic and reading go on side by side. When a step returns to the keys and values of a
  // layer, those of the other layers have driven them out of the caches, and transposing keys reads
  // eight at a time, which the processor does not foresee. Without prefetching, eight streams after
  // 4096 tokens took 1.4 to 1.5 times as long on a Zen 4. A tile that is prefetched at once, before
  // the arithmetic, takes the time of both: a processor has 16 reads under way, and waits at the
  // next one. On an Emerald Rapids one token's attention then read its keys and values at 9 to 12
  // GB/s, now at 14 to 18 (with the panels of product_of 16 to 21; n=3, AVX-512). With the values
  // prefetched in the product of the values before them, it read them at 13 to 16.
  void turn(const Batch::Seq &seq, int h, int p, int n, int next, const float *k, float *t) const {
    int j = 0;
    for (; j < n; j += 8) {
      const int count = std::min(8, next - j);
      transpose(k + size_t(j) * dim, std::min(8, n - j), dim, t + j, tile(),
                count > 0 ? ahead(seq, h, p + n + j, count) : Ahead{});
    }
    prefetch(seq, h, p + n + j, next - j);
  }

  void attend(const Piece &w, const float *queries, float *results, float *out) const {
    const Rows &r = *w.rows;
    const int group = heads / kv_heads, rows = r.n * group, step = few_rows * group,
              tile = this->tile();
    const size_t size = Seen::size(rows, dim);
    static thread_local std::vector<float> scratch; // threads of the pool never end
    scratch.resize(2 * size + size_t(step) * tile + size_t(2) * tile * dim);
    float *s = scratch.data() + 2 * size, *buf = s + size_t(step) * tile,
          *turned = buf + size_t(tile) * dim;
    Seen all(r.results < 0 ? scratch.data()
                           : results + r.results + (w.lo / span() - r.lo / span()) * size,
             rows);

    prefetch(*r.seq, r.h, w.lo, std::min(w.hi, (w.lo / tile + 1) * tile) - w.lo);
    const float *q =
        queries + (size_t(r.seq->first) * heads + (size_t(r.h) * r.seq->len + r.t) * group) * dim;
    for (int p = w.lo; p < w.hi;) {
      Seen seen = p == w.lo ? all : Seen(scratch.data() + size, rows);
      seen.reset(rows, dim);
      for (const int end = std::min(w.hi, (p / span() + 1) * span()); p < end;) {
        const int n = std::min(end, (p / tile + 1) * tile) - p;
        turn(*r.seq, r.h, p, n, std::min(tile, w.hi - p - n),
             fetch(keys + r.h * head, *r.seq, p, n, buf), turned);
        const float *v = fetch(values + r.h * head, *r.seq, p, n, buf);
        for (int i = 0; i < rows; i += step) {
          const int m = std::min(step, rows - i), first = r.seq->start + r.t + i / group;
          // The tile is later than all of these rows, or their windows have passed it.
          if (p > first + (m - 1) / group || (window > 0 && p + n <= first - window + 1)) {
            continue;
          }
          const Seen some = seen.from(i, dim);
          product(q + size_t(i) * dim, dim, turned, tile, m, dim, n, s, tile, false);
          if (config.attention_cap > 0) {
            cap_rows(s, tile, m, n, config.attention_cap);
          }
          weigh_all(s, tile, m, group, first, window, p, n, some, dim);
          product(s, tile, v, dim, m, n, dim, some.o, dim, true);
        }
        p += n;
      }
      if (seen.o != all.o) {
        fold(all, seen, rows, dim);
      }
    }
    if (r.results < 0) {
      finish(r, all, out);
    } else if (w.rows->left.fetch_sub(1) == 1) { // the results of the other spans are there as well
      Seen sum(results + r.results, rows);
      for (int i = 1; i <= (r.hi - 1) / span() - r.lo / span(); i++) {
        fold(sum, Seen(results + r.results + i * size, rows), rows, dim);
      }
      finish(r, sum, out);
    }
  }

  // Divides the sums of values by the sums of weights, into the rows of the output.
  void finish(const Rows &rows, Seen seen, float *out) const {
    const int group = heads / kv_heads;
    for (int r = 0; r < rows.n * group; r++) {
      float *dst = out + ((size_t(rows.seq->first) + rows.t + r / group) * heads + rows.h * group +
                          r % group) *
                             dim;
      const float *o = seen.o + size_t(r) * dim;
      const float inv = 1 / seen.sum[r];
      for (int i = 0; i < dim; i++) {
        dst[i] = o[i] * inv;
      }
      kv.unrotate(dst, dim);
    }
  }
};

} // namespace

void attend(const Layer &l, const float *q, const float *k, const float *v, const ls_config &c,
            KVFormat kv, const Batch &batch, const RopeTable &rope, float *out) {
  array keys = *l.keys, values = *l.values;
  const size_t head = size_t(keys.shape(1)) * keys.shape(2);
  const auto data = [](const std::optional<array> &a) { return a ? a->data<float>() : nullptr; };
  Attention{c,
            c.heads,
            c.kv_heads,
            c.head_dim,
            l.sliding ? c.window : 0,
            c.eps,
            c.attention_scale,
            kv,
            keys.data<uint8_t>(),
            values.data<uint8_t>(),
            head,
            batch,
            rope,
            data(l.q_norm),
            data(l.k_norm)}(q, k, v, out);
}

} // namespace kernels
} // namespace ls
