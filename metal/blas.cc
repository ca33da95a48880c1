//go:build mlx

// OpenBLAS in front of MLX's own BLAS, on Linux.
//
// The MLX wheel is linked to the reference BLAS: plain loops on one thread, 40 times slower than OpenBLAS. libmlx calls
// cblas_sgemm and two others by name through the dynamic linker, which asks the executable first. So the executable
// defines them (the linker exports what a library on its command line refers to) and forwards to OpenBLAS. Its own
// names carry the prefix scipy_, so that it cannot answer by itself. Were this lost, nothing would fail and everything
// would crawl: TestBLAS asks the dynamic linker who answers. On macOS MLX uses Accelerate and none of this exists.

#include "bridge.h"
#include "internal.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#ifdef __linux__
#include <dlfcn.h>
#include <link.h>

namespace {
std::atomic<uint64_t> calls{0};
constexpr int row_major = 101, no_trans = 111, trans = 112;
using Sgemm = void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
} // namespace

extern "C" {
void scipy_cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                       const float *b, int ldb, float beta, float *c, int ldc);
void scipy_cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                       const double *b, int ldb, double beta, double *c, int ldc);
void scipy_cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda,
                       const void *b, int ldb, const void *beta, void *c, int ldc);
void scipy_cblas_sgemv(int order, int t, int m, int n, float alpha, const float *a, int lda, const float *x, int incx,
                       float beta, float *y, int incy);
void scipy_openblas_set_num_threads(int n);

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc) {
  calls.fetch_add(1, std::memory_order_relaxed);
  // A single row is a matrix-vector product, but sgemm packs the whole matrix before it starts.
  if (order == row_major && m == 1 && ta == no_trans) {
    if (tb == trans) {
      scipy_cblas_sgemv(order, no_trans, n, k, alpha, b, ldb, a, 1, beta, c, 1);
    } else {
      scipy_cblas_sgemv(order, trans, k, n, alpha, b, ldb, a, 1, beta, c, 1);
    }
    return;
  }
  scipy_cblas_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                 const double *b, int ldb, double beta, double *c, int ldc) {
  scipy_cblas_dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda,
                 const void *b, int ldb, const void *beta, void *c, int ldc) {
  scipy_cblas_cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

uint64_t ls_blas_calls(void) { return calls.load(std::memory_order_relaxed); }

void ls_blas_threads(int32_t n) { scipy_openblas_set_num_threads(n); }

int ls_blas_object(char *path, size_t pathlen, char *err, size_t errlen) {
  return ls::guard(err, errlen, [&] {
    void *sym = dlsym(RTLD_DEFAULT, "cblas_sgemm");
    Dl_info info;
    if (sym == nullptr || dladdr(sym, &info) == 0) {
      throw std::runtime_error("the dynamic linker knows no cblas_sgemm");
    }
    std::strncpy(path, info.dli_fname, pathlen - 1);
    path[pathlen - 1] = 0;
  });
}

// Finds, among the loaded libraries, the BLAS that libmlx brought along.
static int find_blas(dl_phdr_info *info, size_t, void *out) {
  const char *base = std::strrchr(info->dlpi_name, '/');
  if (base != nullptr && std::strncmp(base, "/libblas", 8) == 0) {
    *static_cast<std::string *>(out) = info->dlpi_name;
    return 1;
  }
  return 0;
}

int ls_reference_matmul(int32_t n, const float *a, const float *b, float *c, char *err, size_t errlen) {
  return ls::guard(err, errlen, [&] {
    std::string lib;
    dl_iterate_phdr(find_blas, &lib);
    void *handle = lib.empty() ? nullptr : dlopen(lib.c_str(), RTLD_NOW | RTLD_NOLOAD);
    auto sgemm = handle == nullptr ? nullptr : reinterpret_cast<Sgemm>(dlsym(handle, "cblas_sgemm"));
    if (sgemm == nullptr) {
      throw std::runtime_error("this MLX brings no BLAS of its own");
    }
    sgemm(row_major, no_trans, no_trans, n, n, n, 1, a, n, b, n, 0, c, n);
    dlclose(handle);
  });
}
} // extern "C"

#else

extern "C" {
uint64_t ls_blas_calls(void) { return 0; }
void ls_blas_threads(int32_t) {}
int ls_blas_object(char *, size_t, char *err, size_t errlen) {
  return ls::guard(err, errlen, [] { throw std::runtime_error("MLX uses Accelerate here"); });
}
int ls_reference_matmul(int32_t, const float *, const float *, float *, char *err, size_t errlen) {
  return ls::guard(err, errlen, [] { throw std::runtime_error("MLX uses Accelerate here"); });
}
} // extern "C"

#endif
