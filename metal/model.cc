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
    const int cell = s.table[sliding][p / block_tokens] * block_tokens + offset;
    const int count = std::min(block_tokens - offset, hi - p);
    if (!out.empty() && out.back().cell + out.back().count == cell) {
      out.back().count += count;
    } else {
      out.push_back({cell, count});
    }
    p += count;
  }
  return out;
}

RopeTable::RopeTable(const std::vector<int> &positions, int dim, float base, float scale) {
  const int half = dim / 2;
  std::vector<double> inverse(half);
  for (int i = 0; i < half; i++) {
    inverse[i] = scale * std::pow(double(base), -2.0 * i / dim);
  }
  cos.reserve(positions.size() * half);
  sin.reserve(positions.size() * half);
  for (int p : positions) {
    for (int i = 0; i < half; i++) {
      cos.push_back(float(std::cos(p * inverse[i])));
      sin.push_back(float(std::sin(p * inverse[i])));
    }
  }
}

void ls_model::step(std::shared_ptr<const Batch> batch, const std::vector<Output> &outputs) {
  if (!broken.empty()) {
    throw std::runtime_error("the model is unusable after an earlier error (" + broken +
                             "); open it again");
  }
  if (!config.graph) {
    mx::eval(kernels::step(*this, std::move(batch), outputs));
    return;
  }
  try {
    graph_step(*batch, outputs);
  } catch (const std::exception &e) {
    // The buffers of the cache may be lost. With the kernels, which write in place, they cannot be.
    broken = e.what();
    throw;
  }
}
