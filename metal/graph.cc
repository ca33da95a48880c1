//go:build mlx

// The parts of the network in MLX's own operations: what a GPU runs, and what the CPU kernels are tested against.

#include "internal.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace ls;

// What sequence s may attend to: row t, key j: j is at or before t, and inside the window.
static array causal_mask(const Batch::Seq &s, int lo, int window) {
  const int keys = s.start + s.len - lo;
  array query = mx::reshape(mx::arange(s.start, s.start + s.len, mx::int32), {s.len, 1});
  array key = mx::reshape(mx::arange(lo, lo + keys, mx::int32), {1, keys});
  array mask = mx::less_equal(key, query);
  return window > 0 ? mx::logical_and(mask, mx::greater(key, query - array(window))) : mask;
}

// Rows lo..hi-1 of a sequence out of a cache of kv_heads x slots x head_dim: a view where the blocks lie side by side,
// else the pieces put together.
static array gather(const array &cache, const std::vector<Run> &runs) {
  const int heads = cache.shape(0), dim = cache.shape(2);
  std::vector<array> parts;
  for (const Run &r : runs) {
    parts.push_back(mx::slice(cache, {0, r.slot, 0}, {heads, r.slot + r.count, dim}));
  }
  return parts.size() == 1 ? parts[0] : mx::concatenate(parts, 1);
}

array ls_model::graph_attend(Layer &l, array q, array k, array v, const Batch &batch) const {
  const int n = int(batch.tokens.size()), dim = config.head_dim;
  const array positions(batch.positions.data(), {n}, mx::int32);
  const float base = l.sliding ? config.rope_local_theta : config.rope_theta;
  const float scale = l.sliding ? 1 : config.rope_scale;
  const auto heads = [&](array x, int count, const std::optional<array> &w) {
    x = mx::reshape(x, {n, count, 1, dim});
    if (w) {
      x = mx::fast::rms_norm(x, *w, config.eps);
    }
    // Every token is a batch entry of its own, so that each gets its own position.
    x = mx::fast::rope(x, dim, false, base, scale, positions);
    return mx::transpose(mx::reshape(x, {n, count, dim}), {1, 0, 2});
  };
  q = heads(q, config.heads, l.q_norm);
  k = heads(k, config.kv_heads, l.k_norm);
  v = mx::transpose(mx::reshape(v, {n, config.kv_heads, dim}), {1, 0, 2});

  // All writes come before any read: a live view of the cache would turn the next write into a copy of all of it.
  for (const Batch::Seq &s : batch.seqs) {
    int t = s.first;
    for (const Run &r : batch.runs(s, l.sliding, s.start, s.start + s.len)) {
      const auto put = [&](std::optional<array> &cache, const array &x) {
        array rows = mx::astype(mx::slice(x, {0, t, 0}, {config.kv_heads, t + r.count, dim}), kv_dtype);
        array old = std::move(*cache);
        cache = mx::slice_update(old, rows, mx::Shape{0, r.slot, 0}, mx::Shape{config.kv_heads, r.slot + r.count, dim});
      };
      put(l.keys, k);
      put(l.values, v);
      t += r.count;
    }
  }

  std::vector<array> out;
  for (const Batch::Seq &s : batch.seqs) {
    const int hi = s.start + s.len;
    const int lo = l.sliding ? std::max(0, s.start - config.window + 1) : 0;
    const auto runs = batch.runs(s, l.sliding, lo, hi);
    array qs = mx::expand_dims(mx::slice(q, {0, s.first, 0}, {config.heads, s.first + s.len, dim}), 0);
    array ks = mx::astype(mx::expand_dims(gather(*l.keys, runs), 0), q.dtype());
    array vs = mx::astype(mx::expand_dims(gather(*l.values, runs), 0), q.dtype());
    // A single token sees all of lo..hi-1 and needs no mask.
    std::optional<array> mask;
    if (s.len > 1) {
      mask = causal_mask(s, lo, l.sliding ? config.window : 0);
    }
    array a = mx::fast::scaled_dot_product_attention(qs, ks, vs, config.attention_scale, mask ? "array" : "", mask);
    out.push_back(mx::reshape(mx::transpose(mx::squeeze(a, 0), {1, 0, 2}), {s.len, config.heads * dim}));
  }
  return out.size() == 1 ? out[0] : mx::concatenate(out, 0);
}

array ls_model::graph_layers(array h, const Batch &batch) {
  const bool gemma = config.arch == LS_GEMMA3;
  const auto norm = [&](const array &x, const array &w) { return mx::fast::rms_norm(x, w, config.eps); };
  for (Layer &l : layers) {
    array x = norm(h, l.in_norm);
    array a = l.o(graph_attend(l, l.q(x), l.k(x), l.v(x), batch));
    h = h + (gemma ? norm(a, l.post_norm) : a);
    x = norm(h, gemma ? *l.pre_ff : l.post_norm);
    array gate = l.gate(x), up = l.up(x);
    if (gemma) {
      array u = gate + array(0.044715f, dtype) * gate * gate * gate;
      a = array(0.5f, dtype) * gate * (array(1.0f, dtype) + mx::tanh(array(0.7978845608028654f, dtype) * u)) * up;
    } else {
      a = gate * mx::sigmoid(gate) * up;
    }
    a = l.down(a);
    h = h + (gemma ? norm(a, *l.post_ff) : a);
  }
  return h;
}

void ls_model::graph_step(const Batch &batch, const std::vector<Asked> &asked) {
  array h = mx::astype(embed.rows(batch.tokens), dtype);
  if (config.embedding_scale != 1) {
    h = h * array(config.embedding_scale, dtype);
  }
  graph_head(graph_layers(h, batch), asked);
}

// Evaluates a step: the caches and, where asked for, the head on rows of h.
void ls_model::graph_head(const array &h, const std::vector<Asked> &asked) const {
  std::vector<array> out;
  for (const Layer &l : layers) {
    out.push_back(*l.keys);
    out.push_back(*l.values);
  }
  if (asked.empty()) {
    mx::eval(out);
    return;
  }
  std::vector<int> tokens, given, picked; // the latter places in asked
  for (size_t i = 0; i < asked.size(); i++) {
    tokens.push_back(asked[i].token);
    (asked[i].logits != nullptr ? given : picked).push_back(int(i));
  }
  const auto take = [](const array &x, const std::vector<int> &rows) {
    return int(rows.size()) == x.shape(0) ? x : mx::take(x, array(rows.data(), {int(rows.size())}, mx::int32), 0);
  };
  const array x = mx::take(h, array(tokens.data(), {int(tokens.size())}, mx::int32), 0);
  const array all = mx::astype((head ? *head : embed)(mx::fast::rms_norm(x, norm, config.eps)), mx::float32);
  std::optional<array> logits, best;
  if (!given.empty()) {
    out.push_back(logits.emplace(take(all, given)));
  }
  if (!picked.empty()) {
    // MLX's argmax prefers NaN, and of equals takes the first.
    const array rows = take(all, picked), finite = mx::isfinite(rows);
    const array place = mx::argmax(mx::where(finite, rows, array(-INFINITY)), 1);
    out.push_back(best.emplace(mx::where(mx::any(finite, 1), mx::astype(place, mx::int32), array(-1))));
  }
  mx::eval(out);
  for (size_t i = 0; i < given.size(); i++) {
    std::memcpy(asked[given[i]].logits, logits->data<float>() + i * config.vocab, config.vocab * sizeof(float));
  }
  for (size_t i = 0; i < picked.size(); i++) {
    *asked[picked[i]].best = best->data<int32_t>()[i];
  }
}
