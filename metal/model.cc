//go:build mlx

// The network: Llama and Gemma 3, from token ids to logits.

#include "internal.h"

#include <algorithm>
#include <cmath>
#include <cstring>

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

void ls_model::step(std::shared_ptr<const Batch> batch, const std::vector<int> &rows, float *logits) {
  if (!broken.empty()) {
    throw std::runtime_error("the model is unusable after an earlier error (" + broken + "); open it again");
  }
  const bool gemma = config.arch == LS_GEMMA3;
  const auto norm_ = [&](const array &x, const array &w, const std::optional<array> &residual = {}) {
    return config.graph ? graph_norm(x, w, residual) : kernels::norm(x, w, config.eps, residual);
  };
  std::shared_ptr<RopeTable> global, local;
  if (!config.graph) {
    global = rope_table(batch->positions, config.head_dim, config.rope_theta, config.rope_scale);
    local = gemma ? rope_table(batch->positions, config.head_dim, config.rope_local_theta, 1) : global;
  }

  array h = embed.rows(array(batch->tokens.data(), {int(batch->tokens.size())}, mx::int32));
  h = mx::astype(h, dtype);
  if (config.embedding_scale != 1) {
    h = h * array(config.embedding_scale, dtype);
  }
  try {
    for (Layer &l : layers) {
      array x = norm_(h, l.in_norm);
      array q = l.q(x), k = l.k(x), v = l.v(x);
      array a = config.graph ? graph_attend(l, q, k, v, *batch)
                             : kernels::attend(l, q, k, v, config, kv, batch, l.sliding ? local : global);
      a = l.o(a);
      h = gemma ? norm_(a, l.post_norm, h) : h + a;
      x = norm_(h, gemma ? *l.pre_ff : l.post_norm);
      array gate = l.gate(x), up = l.up(x);
      if (!config.graph) {
        a = kernels::glu(gate, up, gemma);
      } else if (gemma) {
        array u = gate + array(0.044715f, dtype) * gate * gate * gate;
        a = array(0.5f, dtype) * gate * (array(1.0f, dtype) + mx::tanh(array(0.7978845608028654f, dtype) * u)) * up;
      } else {
        a = gate * mx::sigmoid(gate) * up;
      }
      a = l.down(a);
      h = gemma ? norm_(a, *l.post_ff, h) : h + a;
    }

    std::vector<array> out;
    if (!rows.empty()) {
      // A long prompt wants one row of logits, and the head is the largest matrix there is.
      array x = mx::take(h, array(rows.data(), {int(rows.size())}, mx::int32), 0);
      out.push_back(mx::astype((head ? *head : embed)(norm_(x, norm)), mx::float32));
    } else if (!config.graph) {
      out.push_back(h);
    }
    if (config.graph) {
      for (Layer &l : layers) {
        out.push_back(*l.keys);
        out.push_back(*l.values);
      }
    }
    mx::eval(out);
    if (!rows.empty()) {
      std::memcpy(logits, out[0].data<float>(), rows.size() * config.vocab * sizeof(float));
    }
  } catch (const std::exception &e) {
    // A graph that failed half-way may have taken the cache's buffers with it; the kernels write in place and have not.
    if (config.graph) {
      broken = e.what();
    }
    throw;
  }
}
