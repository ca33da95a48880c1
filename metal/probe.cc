//go:build mlx

// Entry points to single kernels, for tests and benchmarks.

#include "internal.h"
#include "pool.h"
#include "product.h"
#include "simd.h"

#include <atomic>
#include <chrono>
#include <cstring>

using namespace ls;

// Returns the seconds that times calls of f take.
template <typename F> static double seconds_of(int times, F &&f) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < times; i++) {
    f();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int ls_matmul(int32_t n, const float *a, const float *b, float *c, char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    array out = mx::matmul(array(a, {n, n}, mx::float32), array(b, {n, n}, mx::float32));
    mx::eval(out);
    std::memcpy(c, out.data<float>(), size_t(n) * n * sizeof(float));
  });
}

// Computes y = x W^T for m rows of x, times times, and returns the seconds.
static double product(const Linear &w, const float *x, int m, float *y, int times) {
  kernels::Operand left;
  left.fill(m, w.inputs, {&w}, [&](int r, float *) { return x + size_t(r) * w.inputs; });
  return seconds_of(times, [&] { left.multiply({{&w, y}}); });
}

int ls_quantised_product(const uint32_t *words, const float *scales, const float *biases,
                         int32_t rows, int32_t columns, int32_t group, int32_t bits, const float *x,
                         int32_t m, int32_t activation_bits, float *y, int32_t times,
                         double *seconds, char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    Arena memory;
    const auto packed = std::make_shared<quant::Packed>(
        quant::pack(words, scales, biases, rows, columns, group, bits, memory));
    const Linear w{
        .outputs = rows, .inputs = columns, .packed = packed, .fine = activation_bits == 16};
    *seconds = product(w, x, m, y, times);
  });
}

int ls_half_product(const uint16_t *words, int32_t brain, int32_t rows, int32_t columns,
                    const float *x, int32_t m, float *y, int32_t times, double *seconds, char *err,
                    size_t errlen) {
  return guard(err, errlen, [&] {
    Arena memory;
    const auto halves =
        std::make_shared<half::Packed>(half::pack(words, brain != 0, rows, columns, memory));
    *seconds = product({.outputs = rows, .inputs = columns, .halves = halves}, x, m, y, times);
  });
}

typedef uint64_t Words __attribute__((vector_size(32))); // half a cache line; see simd.h

// Reads n cache lines with as few instructions as possible, and prefetches as far ahead as the
// kernels of one row.
LS_CLONES static uint64_t sum(const Words *p, size_t n) {
  Words even = {}, odd = {};
  for (size_t i = 0; i < 2 * n; i += 2) {
    __builtin_prefetch(p + i + 128);
    even += p[i];
    odd += p[i + 1];
  }
  even += odd;
  return even[0] + even[1] + even[2] + even[3];
}

int ls_read_memory(int64_t bytes, int32_t times, double *seconds, char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    constexpr size_t piece = 1 << 10; // cache lines
    Arena memory;
    const std::shared_ptr<uint8_t> data = memory.take(bytes);
    std::memset(data.get(), 1, bytes);
    const auto *words = reinterpret_cast<const Words *>(data.get());
    std::atomic<uint64_t> total{0};
    *seconds = seconds_of(times, [&] {
      Pool::shared().run(int(bytes / 64 / piece),
                         [&](int i) { total += sum(words + 2 * i * piece, piece); });
    });
  });
}
