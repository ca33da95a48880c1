// OpenBLAS for mlx-lm, by LD_PRELOAD. The MLX wheel is linked to the reference BLAS, plain loops on
// one thread; whoever runs it on a CPU in earnest puts another in front. The names of this one, of
// PyPI's scipy-openblas32, have a prefix.

void scipy_cblas_sgemm(int, int, int, int, int, int, float, const float *, int, const float *, int,
                       float, float *, int);

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                 int lda, const float *b, int ldb, float beta, float *c, int ldc) {
  scipy_cblas_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
