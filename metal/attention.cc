//go:build mlx

// Attention on a CPU: norms, rope, the writes to the paged cache and the reads from it where it
// lies, in whatever format.
//
// Keys and values go by in tiles that fit the first cache, and the softmax is taken as they do: each row of queries keeps
// the largest score so far, the sum of the weights under it and the weighted sum of values, and rescales both when a
// larger score comes (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., FlashAttention, arXiv 2205.14135). No score
// is written to memory.
//
// A row's result is the same to its last bit whatever else is in the step and however the prompt is cut, for the product
// after it rounds it to 8 bits, and one float that differs can become another whole number and, by and by, another
// answer. So:
//   - tiles begin at absolute multiples of their size. Positions that a row does not see weigh exactly 0;
//   - a score is summed over the head's dimension in turn, whether rows are few or many, from keys that were turned round.
//     Lanes over the dimension, added up at the end, need no turning, but cost a prompt 1.5 to 1.9 times as much, and
//     with the turning by eights a row alone is as fast without (head dimensions of 64 and 256, AVX-512);
//   - a row begins anew at absolute multiples of a span, and its spans are folded together in their order by the same
//     rule as above, whichever threads computed them. So work is cut along the history wherever that keeps threads busy.

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

struct Attention {
  static constexpr int most_rows = 64; // tokens of a piece
  static constexpr int shares = 4;     // of the work, for each thread, that are small enough
  static constexpr int few_rows = 16;  // tokens that are done with a tile before others begin with it

  int heads, kv_heads, dim, window;
  float eps, scale;
  KVFormat kv;
  uint8_t *keys, *values; // kv_heads x slots x row
  size_t head;            // bytes of one head
  const Batch &batch;
  const RopeTable &rope;
  const float *q_norm, *k_norm; // Gemma's

  // A tile of keys and one of values are in the first cache at a time. A span is a whole number of tiles, and long enough
  // that what it costs to fold is nothing: 128 positions of dim 256 made a prompt of 2048 tokens 7 % dearer.
  int tile() const { return dim <= 128 ? 64 : dim <= 256 ? 32 : 16; }
  int span() const { return std::max(256, 32768 / dim / 64 * 64); }

  // Tokens t..t+n-1 of a sequence, for the heads that share kv head h: what they attend to lies in positions lo..hi-1.
  struct Rows {
    const Batch::Seq *seq;
    int h, t, n, lo, hi;
    ptrdiff_t part = -1;     // where in parts, in floats, their spans' results are; -1: nowhere, one piece does them all
    std::atomic<int> left{}; // spans that are not done
  };
  // A piece of work: positions lo..hi-1 of rows.
  struct Piece {
    Rows *rows;
    int lo, hi;
  };

  // The cache is written in place: MLX's rule that arrays never change is bent here, by their only owner, on the one
  // stream that reads them.
  void operator()(const float *queries, const float *new_keys, const float *new_values, float *out) const {
    const int tokens = int(batch.tokens.size());
    const std::unique_ptr<float[]> q(new float[size_t(tokens) * heads * dim]);
    std::vector<const Batch::Seq *> owner;
    owner.reserve(tokens);
    for (const Batch::Seq &s : batch.seqs) {
      owner.insert(owner.end(), s.len, &s);
    }
    Pool::shared().run((tokens + 31) / 32, [&](int i) {
      prepare(queries, new_keys, new_values, owner.data(), i * 32, std::min(tokens, i * 32 + 32), q.get());
    });

    std::deque<Rows> all;
    double work = 0;
    for (const Batch::Seq &seq : batch.seqs) {
      const int step = row_tile(seq);
      // The last rows go first, they are the longest.
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
    // What is a small share of the work is one piece, for nobody waits long for it.
    const double small = work / (shares * Pool::shared().threads());
    std::vector<Piece> pieces;
    size_t floats = 0;
    for (Rows &r : all) {
      const int first = r.lo / span(), last = (r.hi - 1) / span();
      if (first == last || Pool::shared().threads() == 1 || double(r.n) * (r.hi - r.lo) <= small) {
        pieces.push_back({&r, r.lo, r.hi});
        continue;
      }
      r.part = ptrdiff_t(floats), r.left = last - first + 1;
      floats += r.left * Seen::size(r.n * (heads / kv_heads), dim);
      for (int i = first; i <= last; i++) {
        pieces.push_back({&r, std::max(r.lo, i * span()), std::min(r.hi, (i + 1) * span())});
      }
    }
    const std::unique_ptr<float[]> parts(new float[floats]);
    Pool::shared().run(int(pieces.size()), [&](int i) { attend(pieces[i], q.get(), parts.get(), out); });
  }

  // Tokens of a piece: fewer where that leaves a thread without work.
  int row_tile(const Batch::Seq &seq) const {
    const int hi = seq.start + seq.len, lo = window > 0 ? std::max(0, seq.start - window + 1) : 0;
    const int spans = (hi - 1) / span() - lo / span() + 1;
    int n = most_rows;
    while (n > few_rows && (seq.len + n - 1) / n * kv_heads * spans < shares * Pool::shared().threads()) {
      n /= 2;
    }
    return n;
  }

  // Norms and rotates the queries of tokens from..to-1 into q (sequence, kv head, token, head of the group, dim), and
  // their keys into the cache.
  LS_CLONES void prepare(const float *qs, const float *ks, const float *vs, const Batch::Seq *const *owner, int from, int to,
                         float *q) const {
    const int group = heads / kv_heads, half = dim / 2;
    const size_t row = kv.row(dim);
    std::vector<float> key(dim);
    for (int t = from; t < to; t++) {
      const Batch::Seq &seq = *owner[t];
      const size_t i = t - seq.first, slot = batch.slots[window > 0][t];
      const float *cos = rope.cos.data() + size_t(t) * half, *sin = rope.sin.data() + size_t(t) * half;
      for (int h = 0; h < heads; h++) {
        const size_t at = (size_t(h / group) * seq.len + i) * group + h % group;
        turn(qs + (size_t(t) * heads + h) * dim, q_norm, eps, cos, sin, dim, scale, q + (size_t(seq.first) * heads + at) * dim);
        kv.rotate(q + (size_t(seq.first) * heads + at) * dim, dim);
      }
      for (int h = 0; h < kv_heads; h++) {
        turn(ks + (size_t(t) * kv_heads + h) * dim, k_norm, eps, cos, sin, dim, 1, key.data());
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
      const int at = p + done, offset = at % batch.block_tokens;
      const size_t slot = size_t(table[at / batch.block_tokens]) * batch.block_tokens + offset;
      int count = std::min(batch.block_tokens - offset, n - done);
      while (done + count < n && table[(at + count) / batch.block_tokens] * size_t(batch.block_tokens) == slot + count) {
        count = std::min(count + batch.block_tokens, n - done);
      }
      if (count == n && kv.bits == 32) {
        return reinterpret_cast<const float *>(plane + slot * row);
      }
      kv.decode(plane + slot * row, count, dim, buf + size_t(done) * dim);
      done += count;
    }
    return buf;
  }

  // Asks for what fetch will read of n positions from p on, for the second cache, which can wait for more at a time than the
  // first. A step comes back to a layer's keys and values when the other layers' have driven them out of the caches, and
  // turning keys round reads eight at a time, which the processor does not foresee: without this eight streams after 4096
  // tokens took 1.4 to 1.5 times as long, and with the first cache's asking half a tile ahead one stream whose blocks are
  // scattered 1.3 times.
  void ahead(const Batch::Seq &seq, int h, int p, int n) const {
    const std::vector<int> &table = seq.table[window > 0];
    for (int end = p + n; p < end;) {
      const int offset = p % batch.block_tokens, count = std::min(batch.block_tokens - offset, end - p);
      const size_t at = h * head + (size_t(table[p / batch.block_tokens]) * batch.block_tokens + offset) * kv.row(dim);
      for (const uint8_t *plane : {keys, values}) {
        for (size_t i = 0; i < count * kv.row(dim); i += 64) {
          __builtin_prefetch(plane + at + i, 0, 2);
        }
      }
      p += count;
    }
  }

  void attend(const Piece &w, const float *queries, float *parts, float *out) const {
    const Rows &r = *w.rows;
    const int group = heads / kv_heads, rows = r.n * group, step = few_rows * group, tile = this->tile();
    const size_t size = Seen::size(rows, dim);
    static thread_local std::vector<float> scratch; // lives as long as its thread, which is for good
    scratch.resize(2 * size + size_t(step) * tile + size_t(2) * tile * dim);
    float *s = scratch.data() + 2 * size, *buf = s + size_t(step) * tile, *turned = buf + size_t(tile) * dim;
    Seen all(r.part < 0 ? scratch.data() : parts + r.part + (w.lo / span() - r.lo / span()) * size, rows);

    ahead(*r.seq, r.h, w.lo, std::min(w.hi, (w.lo / tile + 1) * tile) - w.lo);
    const float *q = queries + (size_t(r.seq->first) * heads + (size_t(r.h) * r.seq->len + r.t) * group) * dim;
    for (int p = w.lo; p < w.hi;) {
      Seen seen = p == w.lo ? all : Seen(scratch.data() + size, rows);
      seen.reset(rows, dim);
      for (const int end = std::min(w.hi, (p / span() + 1) * span()); p < end;) {
        const int n = std::min(end, (p / tile + 1) * tile) - p;
        ahead(*r.seq, r.h, p + n, std::min(tile, w.hi - p - n));
        transpose(fetch(keys + r.h * head, *r.seq, p, n, buf), n, dim, turned, tile);
        const float *v = fetch(values + r.h * head, *r.seq, p, n, buf);
        for (int i = 0; i < rows; i += step) {
          const int m = std::min(step, rows - i), first = r.seq->start + r.t + i / group;
          // Later than all of these rows, or past their windows.
          if (p > first + (m - 1) / group || (window > 0 && p + n <= first - window + 1)) {
            continue;
          }
          const Seen some = seen.from(i, dim);
          product(q + size_t(i) * dim, dim, turned, tile, m, dim, n, s, tile, false);
          weigh_all(s, tile, m, group, first, window, p, n, some, dim);
          product(s, tile, v, dim, m, n, dim, some.o, dim, true);
        }
        p += n;
      }
      if (seen.o != all.o) {
        fold(all, seen, rows, dim);
      }
    }
    if (r.part < 0) {
      finish(r, all, out);
    } else if (w.rows->left.fetch_sub(1) == 1) { // the others' are there as well
      Seen sum(parts + r.part, rows);
      for (int i = 1; i <= (r.hi - 1) / span() - r.lo / span(); i++) {
        fold(sum, Seen(parts + r.part + i * size, rows), rows, dim);
      }
      finish(r, sum, out);
    }
  }

  // Divides by the sums of weights, into the rows of the output.
  void finish(const Rows &rows, Seen seen, float *out) const {
    const int group = heads / kv_heads;
    for (int r = 0; r < rows.n * group; r++) {
      float *dst = out + ((size_t(rows.seq->first) + rows.t + r / group) * heads + rows.h * group + r % group) * dim;
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

void attend(const Layer &l, const float *q, const float *k, const float *v, const ls_config &c, KVFormat kv, const Batch &batch,
            const RopeTable &rope, float *out) {
  array keys = *l.keys, values = *l.values;
  const size_t head = size_t(keys.shape(1)) * keys.shape(2);
  const auto data = [](const std::optional<array> &a) { return a ? a->data<float>() : nullptr; };
  Attention{c.heads, c.kv_heads, c.head_dim, l.sliding ? c.window : 0, c.eps, c.attention_scale, kv,
            keys.data<uint8_t>(), values.data<uint8_t>(), head, batch, rope, data(l.q_norm), data(l.k_norm)}(q, k, v, out);
}

} // namespace kernels
} // namespace ls
