//go:build mlx

#include "attention_tile.h"
#include "product.h"
#include "simd.h"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <mutex>

// Defined in blas.cc by OpenBLAS, and on macOS by Accelerate.
extern "C" void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha,
                            const float *a, int lda, const float *b, int ldb, float beta, float *c,
                            int ldc);

namespace ls {
namespace kernels {
namespace {

// The number of rows of x up to which reading a float32 weight only once matters more than
// OpenBLAS's faster arithmetic. Quantised weights have no such limit: with AVX-512 VNNI their
// kernels do 3 times as many multiplications a second as OpenBLAS (170 and 55 billion on one core
// at 3.6 GHz), so they are never widened for OpenBLAS.
constexpr int few = 16;

// The bytes of a weight that one task reads: so few that a thread which has lost its processor does
// not hold up the others for long.
constexpr size_t piece_bytes = 64 << 10;

// How a product is cut into tasks. A unit is a panel of a packed weight, or a row of a float32
// weight.
struct Cut {
  int units, outputs; // of a unit
  int step;           // units that a task takes
  int tasks() const { return (units + step - 1) / step; }
};

Cut cut(const Linear &w, int rows, int columns) {
  if (w.packed) {
    const size_t bytes = w.packed->panel_bytes * (1 + rows / 16);
    return {w.packed->panels(), quant::panel_rows, std::max<int>(1, piece_bytes / bytes)};
  }
  if (w.halves) {
    return {w.halves->panels(), half::panel_rows, half::piece(*w.halves, rows)};
  }
  return {w.outputs, 1, std::max<int>(4, 4 * piece_bytes / sizeof(float) / columns / 4 * 4)};
}

// Reports whether OpenBLAS multiplies so many rows with a weight.
bool by_blas(const Linear &w, int rows) {
  return !w.packed && !w.halves && !w.steady && rows > few;
}

// Returns the largest finite number, or -INFINITY where there is none.
template <int LANES> LS_INLINE float largest_of(const float *x, int n) {
  using F = typename simd::Of<LANES>::f;
  const F low = F{} - INFINITY, finite = F{} + FLT_MAX;
  F best = low;
  for (int i = 0; i < n; i += LANES) {
    const F v = simd::load<LANES>(x + i, n - i, -INFINITY);
    best = simd::larger(v <= finite ? v : low, best); // the comparison is false for NaN
  }
  return simd::top<LANES>(best);
}
LS_WIDTHS(float, largest, largest_of, (const float *x, int n), x, n)

// The place of the largest number of a row, the first of equals. Threads look at pieces of the row,
// in any order.
class Best {
public:
  void offer(int first, const float *x, int n) {
    const float high = largest(x, n);
    if (high == -INFINITY || high < high_.load(std::memory_order_relaxed)) {
      return;
    }
    const int place = first + int(std::find(x, x + n, high) - x);
    const std::lock_guard<std::mutex> lock(mutex_);
    const float before = high_.load(std::memory_order_relaxed);
    if (high > before || (high == before && place < place_)) {
      high_.store(high, std::memory_order_relaxed);
      place_ = place;
    }
  }
  int place() const { return place_; }

private:
  std::atomic<float> high_{-INFINITY};
  std::mutex mutex_;
  int place_ = -1;
};

} // namespace

void Operand::multiply_units(const Linear &w, int from, int to, float *y, int ldy) const {
  if (w.packed) {
    quantised_.multiply(*w.packed, from, to, y, ldy);
  } else if (w.halves) {
    halves_.multiply(*w.halves, from, to, y, ldy);
  } else {
    few_rows(w.w->data<float>() + size_t(from) * columns_, plain_.data(), y, rows_, to - from,
             columns_, ldy);
  }
}

void Operand::multiply(const std::vector<Term> &terms) const {
  struct Share {
    const Term *term;
    Cut cut;
    int end; // the number of tasks of this term and of those before it
  };
  std::vector<Share> shares;
  int tasks = 0;
  for (const Term &t : terms) {
    const Linear &w = *t.w;
    if (by_blas(w, rows_)) {
      cblas_sgemm(101, 111, 112, rows_, w.outputs, columns_, 1, plain_.data(), columns_,
                  w.w->data<float>(), columns_, 0, t.y, w.outputs);
      continue;
    }
    const Cut c = cut(w, rows_, columns_);
    tasks += c.tasks();
    shares.push_back({&t, c, tasks});
  }
  Pool::shared().run(tasks, [&](int i) {
    auto s = shares.begin();
    while (i >= s->end) {
      s++;
    }
    const Cut &c = s->cut;
    const int from = (i - s->end + c.tasks()) * c.step, to = std::min(from + c.step, c.units);
    multiply_units(*s->term->w, from, to, s->term->y + size_t(from) * c.outputs,
                   s->term->w->outputs);
  });
  for (const Term &t : terms) {
    if (t.w->bias) {
      const float *bias = t.w->bias->data<float>();
      each_row(rows_, [&](int r) {
        float *y = t.y + size_t(r) * t.w->outputs;
        for (int i = 0; i < t.w->outputs; i++) {
          y[i] += bias[i];
        }
      });
    }
  }
}

// Where only the place of a row's largest number is wanted, the row is never stored: each task
// compares the numbers that it has just computed, while they are in its cache.
void Operand::head(const Linear &w, const std::vector<Output> &outputs, float cap) const {
  if (std::all_of(outputs.begin(), outputs.end(),
                  [](const Output &o) { return o.logits != nullptr; })) {
    multiply({{&w, outputs[0].logits}});
    if (cap > 0) {
      each_row(rows_,
               [&](int r) { cap_rows(outputs[r].logits, w.outputs, 1, w.outputs, cap); });
    }
    return;
  }
  std::vector<Best> best(rows_);
  const auto deal = [&](int first, int n, float *y, int ldy) {
    if (cap > 0) {
      cap_rows(y, ldy, rows_, n, cap);
    }
    for (int r = 0; r < rows_; r++, y += ldy) {
      if (outputs[r].logits != nullptr) {
        std::memcpy(outputs[r].logits + first, y, n * sizeof(float));
      } else {
        best[r].offer(first, y, n);
      }
    }
  };
  if (by_blas(w, rows_)) {
    std::vector<float> y(size_t(rows_) * w.outputs);
    multiply({{&w, y.data()}});
    constexpr int step = 4096;
    Pool::shared().run((w.outputs + step - 1) / step, [&](int i) {
      deal(i * step, std::min(step, w.outputs - i * step), y.data() + i * step, w.outputs);
    });
  } else {
    const Cut c = cut(w, rows_, columns_);
    Pool::shared().run(c.tasks(), [&](int i) {
      const int from = i * c.step, to = std::min(from + c.step, c.units);
      const int first = from * c.outputs, n = std::min(to * c.outputs, w.outputs) - first;
      thread_local std::vector<float> y;
      y.resize(size_t(rows_) * n);
      multiply_units(w, from, to, y.data(), n);
      deal(first, n, y.data(), n);
    });
  }
  for (int r = 0; r < rows_; r++) {
    if (outputs[r].best != nullptr) {
      *outputs[r].best = best[r].place();
    }
  }
}

} // namespace kernels
} // namespace ls
