//go:build mlx

// The network, from token ids to logits.

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

RopeTable::RopeTable(const std::vector<int> &positions, const Rope &rope)
    : pairs(int(rope.frequencies.size())) {
  cos.reserve(positions.size() * pairs);
  sin.reserve(positions.size() * pairs);
  for (int p : positions) {
    for (double f : rope.frequencies) {
      cos.push_back(float(std::cos(p * f) * rope.scale));
      sin.push_back(float(std::sin(p * f) * rope.scale));
    }
  }
}

float ls::query_factor(const ls_config &c, int position) {
  return c.query_beta == 0
             ? 1
             : float(1 + c.query_beta * std::log(1.0 + position / c.query_every));
}

void ls_model::step(std::shared_ptr<const Batch> batch, const std::vector<Output> &outputs) {
  if (!broken.empty()) {
    throw std::runtime_error("the model is unusable after an earlier error (" + broken +
                             "); open it again");
  }
  const Later::Busy busy(later);
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
