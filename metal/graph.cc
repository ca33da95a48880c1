//go:build mlx

// The parts of the network in MLX's own operations. A GPU runs these, and the CPU kernels are
// tested against them.

#include "internal.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace ls;

// The mask of sequence s for its keys from position lo on: a row sees a key that is at or before
// it, and inside the window.
static array causal_mask(const Batch::Seq &s, int lo, int window) {
  const int keys = s.start + s.len - lo;
  array query = mx::reshape(mx::arange(s.start, s.start + s.len, mx::int32), {s.len, 1});
  array key = mx::reshape(mx::arange(lo, lo + keys, mx::int32), {1, keys});
  array mask = mx::less_equal(key, query);
  return window > 0 ? mx::logical_and(mask, mx::greater(key, query - array(window))) : mask;
}

// The vectors of some positions out of a cache of kv_heads x cells x head_dim: a view where there
// is one run of cells, else the runs put together.
static array gather(const array &cache, const std::vector<Run> &runs) {
  const int heads = cache.shape(0), dim = cache.shape(2);
  std::vector<array> pieces;
  for (const Run &r : runs) {
    pieces.push_back(mx::slice(cache, {0, r.cell, 0}, {heads, r.cell + r.count, dim}));
  }
  return pieces.size() == 1 ? pieces[0] : mx::concatenate(pieces, 1);
}

static array cap(const array &x, float limit) {
  const array c(limit, x.dtype());
  return c * mx::tanh(x / c);
}

// Attention whose scores are capped, which MLX has no operation for: 1 x heads x rows x dim.
static array capped_attention(const array &q, const array &k, const array &v, const ls_config &c,
                              const std::optional<array> &mask) {
  const int rows = q.shape(2), dim = q.shape(3);
  const array grouped = mx::reshape(q, {c.kv_heads, c.heads / c.kv_heads, rows, dim});
  const auto keys = [](const array &x) { return mx::expand_dims(mx::squeeze(x, 0), 1); };
  array scores = mx::matmul(grouped * array(c.attention_scale, q.dtype()),
                            mx::swapaxes(keys(k), 2, 3));
  scores = cap(scores, c.attention_cap);
  if (mask) {
    scores = mx::where(*mask, scores, array(-INFINITY, scores.dtype()));
  }
  return mx::reshape(mx::matmul(mx::softmax(scores, -1, true), keys(v)), {1, c.heads, rows, dim});
}

// Rotates x, tokens x heads x 1 x head_dim. Every token is a batch entry of its own, so that each
// has its own position.
array ls_model::graph_rope(const Rope &rope, array x, const array &positions) const {
  const int rotated = 2 * int(rope.frequencies.size());
  std::vector<float> wavelengths; // over 2 pi
  for (double f : rope.frequencies) {
    wavelengths.push_back(float(1 / f));
  }
  if (rope.scale != 1) {
    std::vector<float> scales(config.head_dim, 1);
    std::fill_n(scales.begin(), rotated, float(rope.scale));
    x = x * mx::astype(array(scales.data(), {config.head_dim}, mx::float32), x.dtype());
  }
  return mx::fast::rope(x, rotated, false, std::nullopt, 1, positions,
                        array(wavelengths.data(), {rotated / 2}, mx::float32));
}

// Writes the new keys and values, kv_heads x tokens x head_dim, into the caches of a layer.
void ls_model::graph_store(Layer &l, const array &k, const array &v, const Batch &batch) const {
  const auto put = [&](std::optional<array> &cache, const array &x, int first, const Run &r) {
    const int heads = config.kv_heads, dim = config.head_dim;
    array vectors =
        mx::astype(mx::slice(x, {0, first, 0}, {heads, first + r.count, dim}), kv_dtype);
    array old = std::move(*cache);
    cache = mx::slice_update(old, vectors, mx::Shape{0, r.cell, 0},
                             mx::Shape{heads, r.cell + r.count, dim});
  };
  for (const Batch::Seq &s : batch.seqs) {
    int first = s.first;
    for (const Run &r : batch.runs(s, l.sliding, s.start, s.start + s.len)) {
      put(l.keys, k, first, r);
      put(l.values, v, first, r);
      first += r.count;
    }
  }
}

// The attention of one sequence, from all queries of the batch, heads x tokens x head_dim, to its
// own tokens x (heads x head_dim).
array ls_model::graph_attend_sequence(const Layer &l, const array &q, const Batch &batch,
                                      const Batch::Seq &s) const {
  const int dim = config.head_dim, hi = s.start + s.len;
  const int lo = l.sliding ? std::max(0, s.start - config.window + 1) : 0;
  const auto runs = batch.runs(s, l.sliding, lo, hi);
  array qs =
      mx::expand_dims(mx::slice(q, {0, s.first, 0}, {config.heads, s.first + s.len, dim}), 0);
  array ks = mx::astype(mx::expand_dims(gather(*l.keys, runs), 0), q.dtype());
  array vs = mx::astype(mx::expand_dims(gather(*l.values, runs), 0), q.dtype());
  // A single token sees all of lo..hi-1, so it needs no mask.
  std::optional<array> mask;
  if (s.len > 1) {
    mask = causal_mask(s, lo, l.sliding ? config.window : 0);
  }
  array a = config.attention_cap > 0
                ? capped_attention(qs, ks, vs, config, mask)
                : mx::fast::scaled_dot_product_attention(qs, ks, vs, config.attention_scale,
                                                         mask ? "array" : "", mask);
  return mx::reshape(mx::transpose(mx::squeeze(a, 0), {1, 0, 2}), {s.len, config.heads * dim});
}

// The attention of a layer, from projections, tokens x (heads x head_dim), to the same of the
// heads' outputs.
array ls_model::graph_attend(Layer &l, array q, array k, array v, const Batch &batch) const {
  const int n = int(batch.tokens.size()), dim = config.head_dim;
  const array positions(batch.positions.data(), {n}, mx::int32);
  const auto heads = [&](array x, int count, const std::optional<array> &w) {
    x = mx::reshape(x, {n, count, 1, dim});
    if (w) {
      x = mx::fast::rms_norm(x, *w, config.eps);
    }
    if (l.rotates) {
      x = graph_rope(ropes[l.sliding], x, positions);
    }
    return mx::transpose(mx::reshape(x, {n, count, dim}), {1, 0, 2});
  };
  q = heads(q, config.heads, l.q_norm);
  k = heads(k, config.kv_heads, l.k_norm);
  if (config.query_beta != 0) {
    std::vector<float> factors;
    for (int p : batch.positions) {
      factors.push_back(query_factor(config, p));
    }
    q = q * mx::astype(array(factors.data(), {1, n, 1}, mx::float32), q.dtype());
  }
  v = mx::transpose(mx::reshape(v, {n, config.kv_heads, dim}), {1, 0, 2});

  // All writes come before any read, because MLX would copy the whole cache for a write while a
  // view of it is alive.
  graph_store(l, k, v, batch);
  std::vector<array> out;
  for (const Batch::Seq &s : batch.seqs) {
    out.push_back(graph_attend_sequence(l, q, batch, s));
  }
  return out.size() == 1 ? out[0] : mx::concatenate(out, 0);
}

array ls_model::graph_gated(const array &gate, const array &up) const {
  if (!config.gelu) {
    return gate * mx::sigmoid(gate) * up;
  }
  const array u = gate + array(0.044715f, dtype) * gate * gate * gate;
  return array(0.5f, dtype) * gate *
         (array(1.0f, dtype) + mx::tanh(array(0.7978845608028654f, dtype) * u)) * up;
}

// What the experts make of the rows of x, tokens x hidden, each times its share.
array ls_model::graph_mixture(const Layer &l, const array &x) const {
  const int n = x.shape(0), k = config.active_experts;
  const array shares = mx::softmax((*l.router)(x), -1, true);
  const array which =
      mx::slice(mx::argsort(mx::negative(shares), -1), {0, 0}, {n, k}); // the largest first
  array share = mx::take_along_axis(shares, which, -1);
  if (config.norm_shares) {
    share = share / mx::sum(share, -1, true);
  }
  const array rows = mx::reshape(x, {n, 1, 1, config.hidden});
  const array y = l.downs(graph_gated(l.gates(rows, which), l.ups(rows, which)), which);
  return mx::sum(mx::squeeze(y, 2) * mx::expand_dims(mx::astype(share, y.dtype()), 2), 1);
}

array ls_model::graph_layers(array h, const Batch &batch) {
  const auto norm = [&](const array &x, const std::optional<array> &w) {
    return w ? mx::fast::rms_norm(x, *w, config.eps) : x;
  };
  for (Layer &l : layers) {
    array x = norm(h, l.attn_norm);
    array a = sum_parts(l.o(graph_attend(l, l.q(x), l.k(x), l.v(x), batch)));
    h = h + norm(a, l.post_attn_norm);
    x = norm(h, l.mlp_norm);
    a = l.router ? graph_mixture(l, x) : l.mlp.down(graph_gated(l.mlp.gate(x), l.mlp.up(x)));
    h = h + norm(sum_parts(a), l.post_mlp_norm);
  }
  return h;
}

void ls_model::graph_step(const Batch &batch, const std::vector<Output> &outputs) {
  array h = mx::astype(embed.rows(batch.tokens), dtype);
  if (config.embedding_scale != 1) {
    h = h * array(config.embedding_scale, dtype);
  }
  graph_head(graph_layers(h, batch), outputs);
}

// Some rows of x, in their order.
static array take(const array &x, const std::vector<int> &rows) {
  const int n = int(rows.size());
  return n == x.shape(0) ? x : mx::take(x, array(rows.data(), {n}, mx::int32), 0);
}

// The place of the largest finite number of each row, the first of equals, -1 where none is finite.
static array largest(const array &x) {
  const array finite = mx::isfinite(x); // MLX's argmax prefers NaN
  const array place = mx::argmax(mx::where(finite, x, array(-INFINITY)), 1);
  return mx::where(mx::any(finite, 1), mx::astype(place, mx::int32), array(-1));
}

// Evaluates a step: the caches, and the head on the rows of h that outputs name.
void ls_model::graph_head(const array &h, const std::vector<Output> &outputs) const {
  std::vector<array> out;
  for (const Layer &l : layers) {
    out.push_back(*l.keys);
    out.push_back(*l.values);
  }
  if (outputs.empty()) {
    mx::eval(out);
    return;
  }
  std::vector<int> tokens, rows, picks; // rows and picks are indices of outputs
  for (size_t i = 0; i < outputs.size(); i++) {
    tokens.push_back(outputs[i].token);
    (outputs[i].logits != nullptr ? rows : picks).push_back(int(i));
  }
  const array x = mx::take(h, array(tokens.data(), {int(tokens.size())}, mx::int32), 0);
  array all =
      mx::astype((head ? *head : embed)(mx::fast::rms_norm(x, norm, config.eps)), mx::float32);
  if (config.final_cap > 0) {
    all = cap(all, config.final_cap);
  }
  std::optional<array> logits, best;
  if (!rows.empty()) {
    out.push_back(logits.emplace(take(all, rows)));
  }
  if (!picks.empty()) {
    out.push_back(best.emplace(largest(take(all, picks))));
  }
  mx::eval(out);
  for (size_t i = 0; i < rows.size(); i++) {
    std::memcpy(outputs[rows[i]].logits, logits->data<float>() + i * config.vocab,
                config.vocab * sizeof(float));
  }
  for (size_t i = 0; i < picks.size(); i++) {
    *outputs[picks[i]].best = best->data<int32_t>()[i];
  }
}
