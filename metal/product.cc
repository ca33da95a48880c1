//go:build mlx

#include "product.h"

// By OpenBLAS (blas.cc), on macOS by Accelerate.
extern "C" void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                            const float *b, int ldb, float beta, float *c, int ldc);

namespace ls {
namespace kernels {
namespace {

// Rows of x up to which reading a float32 weight once matters more than OpenBLAS's arithmetic. Quantised weights have no
// such limit: their kernels do 3 times OpenBLAS's multiplications a second with AVX-512 VNNI (170 and 55 billion on one
// core at 3.6 GHz), so that nothing is ever widened for it.
constexpr int few = 16;

// Bytes of a weight that one task reads: small enough that a thread which lost its processor holds up little.
constexpr size_t piece_bytes = 64 << 10;

} // namespace

void Operand::multiply(const std::vector<Term> &terms) const {
  struct Piece {
    const Term *term;
    int from, to; // panels, or rows of a float32 weight
  };
  std::vector<Piece> pieces;
  for (const Term &t : terms) {
    const Linear &w = *t.w;
    if (w.packed) {
      const int step = std::max<int>(1, piece_bytes / (w.packed->panel_bytes * (1 + rows_ / 16)));
      for (int n = 0; n < w.packed->panels(); n += step) {
        pieces.push_back({&t, n, std::min(n + step, w.packed->panels())});
      }
    } else if (w.halves) {
      const int panels = w.halves->panels(), step = half::piece(*w.halves, rows_);
      for (int n = 0; n < panels; n += step) {
        pieces.push_back({&t, n, std::min(n + step, panels)});
      }
    } else if (rows_ <= few) {
      const int step = std::max<int>(4, 4 * piece_bytes / sizeof(float) / columns_ / 4 * 4);
      for (int n = 0; n < w.outputs; n += step) {
        pieces.push_back({&t, n, std::min(n + step, w.outputs)});
      }
    } else {
      cblas_sgemm(101, 111, 112, rows_, w.outputs, columns_, 1, plain_.data(), columns_, w.w->data<float>(), columns_, 0,
                  t.y, w.outputs);
    }
  }
  Pool::shared().run(int(pieces.size()), [&](int i) {
    const Piece &p = pieces[i];
    const Linear &w = *p.term->w;
    if (w.packed) {
      quantised_.multiply(*w.packed, p.from, p.to, p.term->y, w.outputs);
    } else if (w.halves) {
      halves_.multiply(*w.halves, p.from, p.to, p.term->y, w.outputs);
    } else {
      few_rows(w.w->data<float>(), plain_.data(), p.term->y, rows_, w.outputs, columns_, p.from, p.to);
    }
  });
}

} // namespace kernels
} // namespace ls
