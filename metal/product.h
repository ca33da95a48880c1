// y = x W^T on all threads, for quantised weights, for weights of 16 bits and for those in float32.
#ifndef LOADSTONE_PRODUCT_H
#define LOADSTONE_PRODUCT_H

#include "half.h"
#include "internal.h"
#include "pool.h"
#include "quant.h"

#include <cstring>

namespace ls {
namespace kernels {

// Calls f(r) for every row, on all threads where there are many rows. A decode step of few
// sequences stays on one thread.
template <typename F> void each_row(int rows, F &&f) {
  constexpr int piece = 16;
  Pool::shared().run((rows + piece - 1) / piece, [&](int i) {
    for (int r = i * piece; r < std::min(rows, (i + 1) * piece); r++) {
      f(r);
    }
  });
}

// The left-hand rows of products, in the form that each weight's kernels take: quantised, in tiles,
// or as they are. It keeps its memory for the next use.
class Operand {
public:
  // make(r, buffer) returns row r, a pointer to columns floats that may be in buffer.
  template <typename F>
  void fill(int rows, int columns, const std::vector<const Linear *> &weights, F &&make) {
    rows_ = rows, columns_ = columns;
    bool quantised = false, halves = false, plain = false, fine = false;
    for (const Linear *w : weights) {
      fine = fine || w->fine;
      (w->packed ? quantised : w->halves ? halves : plain) = true;
    }
    if (quantised) {
      quantised_.resize(rows, columns, fine);
    }
    if (halves) {
      halves_.resize(rows, columns);
    }
    if (plain) {
      plain_.resize(size_t(rows) * columns);
    }
    each_row(rows, [&](int r) {
      static thread_local std::vector<float> buffer; // threads of the pool never end
      buffer.resize(columns);
      const float *row = make(r, buffer.data());
      if (quantised) {
        quantised_.set(r, row);
      }
      if (halves) {
        halves_.set(r, row);
      }
      if (plain) {
        std::memcpy(plain_.data() + size_t(r) * columns, row, columns * sizeof(float));
      }
    });
  }

  // A product of all rows with w; y is rows x w->outputs.
  struct Term {
    const Linear *w;
    float *y;
  };
  void multiply(const std::vector<Term> &terms) const; // and adds the biases
  // Computes the product with w and gives row i to outputs[i], which wants the row or only the
  // place of its largest number. The rows that are wanted lie one after the other in memory. Unless
  // cap is 0, each number x becomes cap tanh(x / cap).
  void head(const Linear &w, const std::vector<Output> &outputs, float cap) const;

private:
  // Multiplies panels, or rows of a float32 weight, from..to-1 with all rows, into y, rows x ldy.
  // This is the work of one task.
  void multiply_units(const Linear &w, int from, int to, float *y, int ldy) const;
  int rows_ = 0, columns_ = 0;
  quant::Rows quantised_;
  half::Rows halves_;
  std::vector<float> plain_;
};

// Multiplies the rows of w (n x k) with all rows of x (m x k), into y, m x ldy.
void few_rows(const float *w, const float *x, float *y, int m, int n, int k, int ldy);

} // namespace kernels
} // namespace ls

#endif
