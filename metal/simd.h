// Vectors of 16 floats in the portable form of GCC and Clang: the compiler splits them where those
// of the machine are shorter. On x86 LS_CLONES compiles a function for AVX-512, for AVX2 and for
// any processor, and the loader picks one. A function that such a function calls must be LS_INLINE,
// or it is compiled for any processor only.
//
// LS_WIDTHS defines a function that calls f<LANES>, a template over the length of its vectors, with
// as many lanes as the processor has. Longer vectors do not stay in registers from one iteration of
// a loop to the next: where a loop makes sums, they made AVX2 7 to 65 times slower. No result may
// depend on LANES.
#ifndef LOADSTONE_SIMD_H
#define LOADSTONE_SIMD_H

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define LS_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define LS_WIDTHS(name, f, parameters, ...)                                                        \
  __attribute__((target("arch=x86-64-v4"))) void name parameters { f<16>(__VA_ARGS__); }           \
  __attribute__((target("arch=x86-64-v3"))) void name parameters { f<8>(__VA_ARGS__); }            \
  __attribute__((target("default"))) void name parameters { f<4>(__VA_ARGS__); }
#else
#define LS_CLONES
#define LS_WIDTHS(name, f, parameters, ...)                                                        \
  void name parameters { f<4>(__VA_ARGS__); }
#endif
#define LS_INLINE static inline __attribute__((always_inline))

namespace ls {
namespace simd {

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
constexpr int width = 16;

// Vectors of LANES floats, and of as many whole numbers of 32 and 16 bits.
template <int LANES> struct Of;
template <> struct Of<16> {
  typedef float f __attribute__((vector_size(64)));
  typedef uint32_t u __attribute__((vector_size(64)));
  typedef uint16_t h __attribute__((vector_size(32)));
};
template <> struct Of<8> {
  typedef float f __attribute__((vector_size(32)));
  typedef uint32_t u __attribute__((vector_size(32)));
  typedef uint16_t h __attribute__((vector_size(16)));
};
template <> struct Of<4> {
  typedef float f __attribute__((vector_size(16)));
  typedef uint32_t u __attribute__((vector_size(16)));
  typedef uint16_t h __attribute__((vector_size(8)));
};

// Loads and stores of the first n <= LANES elements. The others are loaded as fill, and not stored.
template <int LANES = width>
LS_INLINE typename Of<LANES>::f load(const float *p, int n, float fill = 0) {
  typename Of<LANES>::f v = {};
  if (n == LANES) {
    std::memcpy(&v, p, sizeof v);
  } else {
    v += fill;
    std::memcpy(&v, p, n * sizeof(float));
  }
  return v;
}

template <int LANES = width> LS_INLINE void store(float *p, typename Of<LANES>::f v, int n) {
  if (n == LANES) {
    std::memcpy(p, &v, sizeof v);
  } else {
    std::memcpy(p, &v, n * sizeof(float));
  }
}

LS_INLINE vf load(const float *p) {
  vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

LS_INLINE void store(float *p, vf v) { std::memcpy(p, &v, sizeof v); }

// Calls f on the halves of a vector, then on the halves of the result, and so on. Sixteen dependent
// steps would cost more than the product before them.
#define LS_HALVES(T, v, f)                                                                         \
  typedef T v8 __attribute__((vector_size(32)));                                                   \
  typedef T v4 __attribute__((vector_size(16)));                                                   \
  v8 a[2];                                                                                         \
  std::memcpy(a, &v, sizeof v);                                                                    \
  const v8 b = f(a[0], a[1]);                                                                      \
  v4 c[2];                                                                                         \
  std::memcpy(c, &b, sizeof b);                                                                    \
  const v4 d = f(c[0], c[1]);                                                                      \
  return f(f(d[0], d[2]), f(d[1], d[3]))

#define LS_ADD(x, y) ((x) + (y))
#define LS_LARGER(x, y) ((x) > (y) ? (x) : (y))

LS_INLINE float total(vf v) { LS_HALVES(float, v, LS_ADD); }
LS_INLINE int32_t total(vi v) { LS_HALVES(int32_t, v, LS_ADD); }
LS_INLINE float top(vf v) { LS_HALVES(float, v, LS_LARGER); }
LS_INLINE vf larger(vf x, vf y) { return LS_LARGER(x, y); }
LS_INLINE vf abs(vf x) { return x < 0 ? -x : x; }

// Computes the totals of four vectors. Lanes of 128 bits are added first, for all four together.
LS_INLINE void totals(const vf v[4], float *out) {
  const auto fold = [](vf a, vf b) __attribute__((always_inline)) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
           __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30,
                                   31);
  };
  const vf a = fold(v[0], v[1]), b = fold(v[2], v[3]);
  vf c = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
         __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  c += __builtin_shufflevector(c, c, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  for (int i = 0; i < 4; i++) {
    out[i] = c[4 * i] + c[4 * i + 1];
  }
}

LS_INLINE float dot(const float *a, const float *b, int n) {
  vf s0 = {}, s1 = {};
  int i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
    s0 += load(a + i) * load(b + i);
    s1 += load(a + i + width) * load(b + i + width);
  }
  float sum = total(s0 + s1);
  for (; i < n; i++) {
    sum += a[i] * b[i];
  }
  return sum;
}

// Computes e^x to about 2 units in the last place: x = n ln 2 + f, |f| <= ln 2 / 2, with a
// polynomial of degree 6 (expf of the Cephes library).
LS_INLINE vf exp(vf x) {
  const vf lo = vf{} - 87.0f, hi = vf{} + 88.0f;
  x = x < lo ? lo : x;
  x = x > hi ? hi : x;
  // 1.5 x 2^23: adding it rounds to nearest and leaves n in the lowest bits.
  const vf magic = vf{} + 12582912.0f;
  const vf t = x * 1.44269504f + magic;
  const vf m = t - magic;
  const vf f = x - m * 0.693359375f + m * 2.12194440e-4f;
  vf p = 1.9875691500e-4f * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * f * f + f + 1.0f;
  vi e;
  std::memcpy(&e, &t, sizeof e);
  e = (e + 127) << 23;
  vf scale;
  std::memcpy(&scale, &e, sizeof scale);
  return p * scale;
}

} // namespace simd
} // namespace ls

#endif
