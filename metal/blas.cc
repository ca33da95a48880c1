//go:build mlx

// OpenBLAS in front of MLX's own BLAS, on Linux.
//
// The MLX wheel is linked to the reference BLAS: plain loops on one thread, 40 times slower than
// OpenBLAS. libmlx calls cblas_sgemm and two other functions by name through the dynamic linker,
// which asks the executable first. So the executable defines them (the linker exports the names
// that a library on its command line refers to) and forwards the calls to OpenBLAS, whose own names
// have the prefix scipy_ and so cannot answer by themselves. If this mechanism broke, nothing would
// fail and everything would be slow: TestBLAS asks the dynamic linker which object answers. On
// macOS MLX uses Accelerate and none of this is needed.

#include "bridge.h"
#include "internal.h"
#include "pool.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#ifdef __linux__
#include <dlfcn.h>
#include <link.h>

namespace {
std::atomic<uint64_t> calls{0};
constexpr int row_major = 101, no_trans = 111;
using Sgemm = void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                       float, float *, int);
} // namespace

extern "C" {
void scipy_cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                       int lda, const float *b, int ldb, float beta, float *c, int ldc);
void scipy_cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha,
                       const double *a, int lda, const double *b, int ldb, double beta, double *c,
                       int ldc);
void scipy_cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha,
                       const void *a, int lda, const void *b, int ldb, const void *beta, void *c,
                       int ldc);
void scipy_openblas_set_num_threads(int n);

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                 int lda, const float *b, int ldb, float beta, float *c, int ldc) {
  calls.fetch_add(1, std::memory_order_relaxed);
  // OpenBLAS runs on one thread (ls_init), and the pieces of a product run on ours. Its own threads
  // meet at barriers, and when the system takes the processor from one of them, all wait. Beside
  // other work on two processors a prefill of 512 tokens of Gemma 3 270M took 0.8 to 20 s with its
  // threads and, in the same minutes, 1.3 to 2.3 s with ours.
  const int side = std::max(m, n), piece = 128;
  if (order != row_major || side < 2 * piece || double(m) * n * k < 4e6) {
    scipy_cblas_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    return;
  }
  ls::Pool::shared().run((side + piece - 1) / piece, [&](int i) {
    const int at = i * piece, count = std::min(piece, side - at);
    if (side == n) {
      const float *slice = b + (tb == no_trans ? size_t(at) : size_t(at) * ldb);
      scipy_cblas_sgemm(order, ta, tb, m, count, k, alpha, a, lda, slice, ldb, beta, c + at, ldc);
    } else {
      const float *slice = a + (ta == no_trans ? size_t(at) * lda : size_t(at));
      scipy_cblas_sgemm(order, ta, tb, count, n, k, alpha, slice, lda, b, ldb, beta,
                        c + size_t(at) * ldc, ldc);
    }
  });
}

void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                 int lda, const double *b, int ldb, double beta, double *c, int ldc) {
  scipy_cblas_dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                 int lda, const void *b, int ldb, const void *beta, void *c, int ldc) {
  scipy_cblas_cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void ls_blas_init(void) { scipy_openblas_set_num_threads(1); }

uint64_t ls_blas_calls(void) { return calls.load(std::memory_order_relaxed); }

int ls_blas_object(char *path, size_t pathlen, char *err, size_t errlen) {
  return ls::guard(err, errlen, [&] {
    void *sym = dlsym(RTLD_DEFAULT, "cblas_sgemm");
    Dl_info info;
    if (sym == nullptr || dladdr(sym, &info) == 0) {
      throw std::runtime_error("the dynamic linker does not know cblas_sgemm");
    }
    std::strncpy(path, info.dli_fname, pathlen - 1);
    path[pathlen - 1] = 0;
  });
}

// Finds the BLAS that libmlx brought along among the loaded libraries.
static int find_blas(dl_phdr_info *info, size_t, void *out) {
  const char *base = std::strrchr(info->dlpi_name, '/');
  if (base != nullptr && std::strncmp(base, "/libblas", 8) == 0) {
    *static_cast<std::string *>(out) = info->dlpi_name;
    return 1;
  }
  return 0;
}

int ls_reference_matmul(int32_t n, const float *a, const float *b, float *c, char *err,
                        size_t errlen) {
  return ls::guard(err, errlen, [&] {
    std::string lib;
    dl_iterate_phdr(find_blas, &lib);
    void *handle = lib.empty() ? nullptr : dlopen(lib.c_str(), RTLD_NOW | RTLD_NOLOAD);
    auto sgemm =
        handle == nullptr ? nullptr : reinterpret_cast<Sgemm>(dlsym(handle, "cblas_sgemm"));
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
void ls_blas_init(void) {}
uint64_t ls_blas_calls(void) { return 0; }
int ls_blas_object(char *, size_t, char *err, size_t errlen) {
  return ls::guard(err, errlen, [] { throw std::runtime_error("MLX uses Accelerate here"); });
}
int ls_reference_matmul(int32_t, const float *, const float *, float *, char *err, size_t errlen) {
  return ls::guard(err, errlen, [] { throw std::runtime_error("MLX uses Accelerate here"); });
}
} // extern "C"

#endif
