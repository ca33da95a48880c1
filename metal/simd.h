// Vectors in the portable form of GCC and Clang. On x86 LS_CLONES compiles a function for AVX-512,
// for AVX2 and for any processor, and the loader picks one. A function that such a function calls
// must be LS_INLINE, or it is compiled for any processor only. With LS_NO_AVX512 defined nothing is
// compiled for AVX-512, to measure on a processor that has it how one without it would do.
//
// LS_WIDTHS defines a function that calls f<LANES>, a template over the length of its vectors, with
// as many lanes as the processor has. Longer vectors, which the compiler splits, are slow with
// AVX2: in a loop that makes sums they do not stay in registers (7 to 65 times slower), and GCC 12
// compares and selects their elements one by one. No result may depend on LANES: sums are made in
// 16 lanes, whatever the vectors are.
#ifndef LOADSTONE_SIMD_H
#define LOADSTONE_SIMD_H

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#ifdef LS_NO_AVX512
#define LS_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#define LS_WIDTH_16(result, name, f, parameters, ...)
#else
#define LS_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define LS_WIDTH_16(result, name, f, parameters, ...)                                              \
  __attribute__((target("arch=x86-64-v4"))) result name parameters { return f<16>(__VA_ARGS__); }
#endif
#define LS_WIDTHS(result, name, f, parameters, ...)                                                \
  LS_WIDTH_16(result, name, f, parameters, __VA_ARGS__)                                            \
  __attribute__((target("arch=x86-64-v3"))) result name parameters { return f<8>(__VA_ARGS__); }   \
  __attribute__((target("default"))) result name parameters { return f<4>(__VA_ARGS__); }
#else
#define LS_CLONES
#define LS_WIDTHS(result, name, f, parameters, ...)                                                \
  result name parameters { return f<4>(__VA_ARGS__); }
#endif
#define LS_INLINE static inline __attribute__((always_inline))

namespace ls {

// The float32 that has these bits, and the bits of one.
LS_INLINE float bits_float(uint32_t b) {
  float f;
  std::memcpy(&f, &b, sizeof f);
  return f;
}

LS_INLINE uint32_t float_bits(float f) {
  uint32_t b;
  std::memcpy(&b, &f, sizeof b);
  return b;
}

namespace simd {

constexpr int width = 16; // the lanes in which sums are made

// Vectors of LANES floats, and of as many whole numbers.
template <int LANES> struct Of;
template <> struct Of<16> {
  typedef float f __attribute__((vector_size(64)));
  typedef int32_t i __attribute__((vector_size(64)));
  typedef uint32_t u __attribute__((vector_size(64)));
  typedef uint16_t h __attribute__((vector_size(32)));
};
template <> struct Of<8> {
  typedef float f __attribute__((vector_size(32)));
  typedef int32_t i __attribute__((vector_size(32)));
  typedef uint32_t u __attribute__((vector_size(32)));
  typedef uint16_t h __attribute__((vector_size(16)));
};
template <> struct Of<4> {
  typedef float f __attribute__((vector_size(16)));
  typedef int32_t i __attribute__((vector_size(16)));
  typedef uint32_t u __attribute__((vector_size(16)));
  typedef uint16_t h __attribute__((vector_size(8)));
};

typedef Of<16>::f vf;

template <int LANES = width> LS_INLINE typename Of<LANES>::f load(const float *p) {
  typename Of<LANES>::f v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <int LANES = width> LS_INLINE void store(float *p, typename Of<LANES>::f v) {
  std::memcpy(p, &v, sizeof v);
}

// Loads and stores of the first n elements, all of them if n >= LANES and none if n < 0. The others
// are loaded as fill, and not stored.
template <int LANES = width>
LS_INLINE typename Of<LANES>::f load(const float *p, int n, float fill = 0) {
  if (n >= LANES) {
    return load<LANES>(p);
  }
  typename Of<LANES>::f v = {};
  v += fill;
  std::memcpy(&v, p, std::max(n, 0) * sizeof(float));
  return v;
}

template <int LANES = width> LS_INLINE void store(float *p, typename Of<LANES>::f v, int n) {
  if (n >= LANES) {
    store<LANES>(p, v);
    return;
  }
  const typename Of<LANES>::f some = v; // v itself has no address, and stays in a register
  std::memcpy(p, &some, std::max(n, 0) * sizeof(float));
}

#define LS_LOW(v) __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7)
#define LS_HIGH(v) __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)

// Computes the total of 16 lanes: the halves are added, then the halves of the result, and so on.
// Sixteen dependent steps would cost more than the product before them.
template <int LANES> LS_INLINE float total(const typename Of<LANES>::f *v) {
  Of<4>::f q;
  if constexpr (LANES == 4) {
    q = (v[0] + v[2]) + (v[1] + v[3]);
  } else {
    Of<8>::f h;
    if constexpr (LANES == 8) {
      h = v[0] + v[1];
    } else {
      h = LS_LOW(v[0]) + LS_HIGH(v[0]);
    }
    q = __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
  }
  return (q[0] + q[2]) + (q[1] + q[3]);
}

LS_INLINE float total(vf v) { return total<16>(&v); }

template <typename V> LS_INLINE V larger(V x, V y) { return x > y ? x : y; }
template <typename V> LS_INLINE V abs(V x) { return x < 0 ? -x : x; }

// Returns the largest of all lanes.
template <int LANES> LS_INLINE float top(typename Of<LANES>::f v) {
  Of<4>::f q;
  if constexpr (LANES == 4) {
    q = v;
  } else {
    Of<8>::f h;
    if constexpr (LANES == 8) {
      h = v;
    } else {
      h = larger(LS_LOW(v), LS_HIGH(v));
    }
    q = larger(__builtin_shufflevector(h, h, 0, 1, 2, 3),
               __builtin_shufflevector(h, h, 4, 5, 6, 7));
  }
  const float a = q[0] > q[2] ? q[0] : q[2], b = q[1] > q[3] ? q[1] : q[3];
  return a > b ? a : b;
}

template <int LANES> LS_INLINE float dot(const float *a, const float *b, int n) {
  constexpr int parts = width / LANES;
  typename Of<LANES>::f s[2 * parts] = {};
  int i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
#pragma GCC unroll 8
    for (int j = 0; j < 2 * parts; j++) {
      s[j] += load<LANES>(a + i + j * LANES) * load<LANES>(b + i + j * LANES);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < parts; j++) {
    s[j] += s[parts + j];
  }
  float sum = total<LANES>(s);
  for (; i < n; i++) {
    sum += a[i] * b[i];
  }
  return sum;
}

// Computes e^x to about 2 units in the last place: x = n ln 2 + f, |f| <= ln 2 / 2, with a
// polynomial of degree 6 (expf of the Cephes library).
template <int LANES> LS_INLINE typename Of<LANES>::f exp(typename Of<LANES>::f x) {
  using F = typename Of<LANES>::f;
  const F lo = F{} - 87.0f, hi = F{} + 88.0f;
  x = x < lo ? lo : x;
  x = x > hi ? hi : x;
  // 1.5 x 2^23: adding it rounds to nearest and leaves n in the lowest bits.
  const F magic = F{} + 12582912.0f;
  const F t = x * 1.44269504f + magic;
  const F m = t - magic;
  const F f = x - m * 0.693359375f + m * 2.12194440e-4f;
  F p = 1.9875691500e-4f * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * f * f + f + 1.0f;
  typename Of<LANES>::i e;
  std::memcpy(&e, &t, sizeof e);
  e = (e + 127) << 23;
  F scale;
  std::memcpy(&scale, &e, sizeof scale);
  return p * scale;
}

} // namespace simd
} // namespace ls

#endif
