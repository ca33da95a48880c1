//go:build mlx

// The network: Llama and Gemma 3, from token ids to logits.

#include "internal.h"

#include <algorithm>
#include <cmath>

using namespace ls;

std::vector<Run> Batch::runs(const Seq &s, bool sliding, int lo, int hi) const {
  std::vector<Run> out;
  for (int p = lo; p < hi;) {
    const int offset = p % block_tokens;
    const int slot = s.table[sliding][p / block_tokens] * block_tokens + offset;
    const int count = std::min(block_tokens - offset, hi - p);
    if (!out.empty() && out.back().slot + out.back().count == slot) {
      out.back().count += count;
    } else {
      out.push_back({slot, count});
    }
    p += count;
  }
  return out;
}

static std::shared_ptr<RopeTable> rope_table(const std::vector<int> &positions, int dim, float base, float scale) {
  auto t = std::make_shared<RopeTable>();
  const int half = dim / 2;
  std::vector<double> inverse(half);
  for (int i = 0; i < half; i++) {
    inverse[i] = scale * std::pow(double(base), -2.0 * i / dim);
  }
  t->cos.reserve(positions.size() * half);
  t->sin.reserve(positions.size() * half);
  for (int p : positions) {
    for (int i = 0; i < half; i++) {
      t->cos.push_back(float(std::cos(p * inverse[i])));
      t->sin.push_back(float(std::sin(p * inverse[i])));
    }
  }
  return t;
}

// What four primitives make of a layer: see kernels.cc and attention.cc.
array ls_model::kernel_layers(array h, std::shared_ptr<const Batch> batch) const {
  const bool gemma = config.arch == LS_GEMMA3;
  const auto global = rope_table(batch->positions, config.head_dim, config.rope_theta, config.rope_scale);
  const auto local = gemma ? rope_table(batch->positions, config.head_dim, config.rope_local_theta, 1) : global;
  for (const Layer &l : layers) {
    const auto qkv = kernels::products(h, l.in_norm, config.eps, {&l.q, &l.k, &l.v});
    array a = kernels::attend(l, qkv[0], qkv[1], qkv[2], config, kv, batch, l.sliding ? local : global);
    h = kernels::close(a, l.o, gemma ? std::optional(l.post_norm) : std::nullopt, config.eps, h);
    h = kernels::mlp(h, l, config);
  }
  return h;
}

void ls_model::step(std::shared_ptr<const Batch> batch, const std::vector<Asked> &asked) {
  if (!broken.empty()) {
    throw std::runtime_error("the model is unusable after an earlier error (" + broken + "); open it again");
  }
  try {
    array h = mx::astype(embed.rows(batch->tokens), dtype);
    if (config.embedding_scale != 1) {
      h = h * array(config.embedding_scale, dtype);
    }
    if (config.graph) {
      graph_head(graph_layers(h, *batch), asked);
      return;
    }
    h = kernel_layers(h, batch);
    mx::eval(h);
    if (!asked.empty()) { // a long prompt wants one row, and the head is the largest matrix there is
      kernels::head(h, norm, config.eps, head ? *head : embed, asked);
    }
  } catch (const std::exception &e) {
    // A graph that failed half-way may have taken the cache's buffers with it; the kernels write in place and have not.
    if (config.graph) {
      broken = e.what();
    }
    throw;
  }
}
