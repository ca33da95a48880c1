//go:build mlx

#include "internal.h"
#include "pool.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

namespace ls {
namespace {

[[noreturn]] void wrong_shape(const std::string &name, const ls_tensor &t,
                              const std::string &want) {
  std::string shape;
  for (int i = 0; i < t.dims; i++) {
    shape += (i > 0 ? " " : "") + std::to_string(t.shape[i]);
  }
  throw std::runtime_error("tensor " + name + " has shape [" + shape + "], config.json asks for [" +
                           want + "]");
}

mx::Dtype dtype(const std::string &name, const ls_tensor &t) {
  switch (t.type) {
  case LS_F32:
    return mx::float32;
  case LS_F16:
    return mx::float16;
  case LS_BF16:
    return mx::bfloat16;
  case LS_U32:
    return mx::uint32;
  }
  throw std::runtime_error(
      "tensor " + name +
      " has a type that no weight has; F32, F16, BF16 and packed U32 are supported");
}

// Returns a copy in MLX's memory.
array stored(const std::string &name, const ls_tensor &t) {
  array a = empty(mx::Shape(t.shape, t.shape + t.dims), dtype(name, t));
  std::memcpy(a.data<char>(), t.data, t.bytes);
  return a;
}

// Returns the numbers of a tensor.
Floats floats(const std::string &name, const ls_tensor &t) {
  if (!mx::issubdtype(dtype(name, t), mx::floating)) {
    throw std::runtime_error("tensor " + name + " holds integers; floats are expected");
  }
  return {t.data, t.type};
}

LS_CLONES void widen_piece(const Floats &from, size_t first, size_t n, float *to) {
  widen(from, first, n, to);
}

// Converts a tensor to float32, on all threads.
void widen(const std::string &name, const ls_tensor &t, float *out) {
  constexpr size_t piece = 1 << 16;
  const Floats from = floats(name, t);
  const size_t n = t.bytes / mx::size_of(dtype(name, t));
  Pool::shared().run(int((n + piece - 1) / piece), [&](int i) {
    widen_piece(from, i * piece, std::min(piece, n - i * piece), out + i * piece);
  });
}

} // namespace

array empty(const mx::Shape &shape, mx::Dtype type) {
  size_t n = mx::size_of(type);
  for (int d : shape) {
    n *= d;
  }
  return array(mx::allocator::malloc(n), shape, type);
}

array Linear::operator()(const array &x) const {
  const array y = scales ? mx::quantized_matmul(x, *w, *scales, biases, true, group, bits)
                         : mx::matmul(x, *transposed);
  return bias ? y + mx::astype(*bias, y.dtype()) : y;
}

array Linear::rows(const std::vector<int> &ids) const {
  const int n = int(ids.size());
  const array at(ids.data(), {n}, mx::int32);
  if (scales) {
    return mx::dequantize(mx::take(*w, at, 0), mx::take(*scales, at, 0), mx::take(*biases, at, 0),
                          group, bits);
  }
  return mx::take(*w, at, 0);
}

array Stack::operator()(const array &x, const array &which) const {
  if (scales) {
    return mx::gather_qmm(x, *w, *scales, biases, std::nullopt, which, true, group, bits);
  }
  return mx::gather_mm(x, mx::swapaxes(*w, 1, 2), std::nullopt, which);
}

void Linear::row(int id, float *out) const {
  if (packed) {
    packed->dequantise(id, out);
  } else if (halves) {
    halves->row(id, out);
  } else {
    std::memcpy(out, w->data<float>() + size_t(id) * inputs, inputs * sizeof(float));
  }
}

static Linear plain(const array &w) {
  // It is evaluated before it is transposed, so that both share one buffer.
  array stored = w;
  mx::eval(stored);
  array transposed = mx::transpose(stored);
  mx::eval(transposed);
  return Linear{.outputs = w.shape(0), .inputs = w.shape(1), .w = stored, .transposed = transposed};
}

Weights::Weights(const ls_config &config, const ls_tensor *tensors, int n) : config_(config) {
  for (int i = 0; i < n; i++) {
    tensors_.emplace(tensors[i].name, tensors[i]);
  }
}

bool Weights::has(const std::string &name) const { return tensors_.count(name) > 0; }

const ls_tensor &Weights::find(const std::string &name) const {
  auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    throw std::runtime_error("tensor " + name + " is missing from the checkpoint");
  }
  return it->second;
}

// Counts a tensor as read and gives its pages of the file back. The system may keep them, for the
// next start.
void Weights::done(const ls_tensor &t) {
  bytes_read_ += t.bytes;
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE)), at = reinterpret_cast<uintptr_t>(t.data);
  const uintptr_t from = (at + page - 1) / page * page, to = (at + t.bytes) / page * page;
  if (from < to) {
    madvise(reinterpret_cast<void *>(from), to - from, MADV_DONTNEED);
  }
}

array Weights::vector(const std::string &name, int n, float plus) {
  const ls_tensor &t = find(name);
  if (t.dims != 1 || t.shape[0] != n) {
    wrong_shape(name, t, std::to_string(n));
  }
  std::vector<float> x(n);
  widen(name, t, x.data());
  for (float &v : x) {
    v += plus;
  }
  done(t);
  array a(x.begin(), {n}, mx::float32);
  if (config_.native) {
    a = mx::astype(a, dtype(name, t));
    mx::eval(a);
  }
  return a;
}

array Weights::norm(const std::string &name, int n) {
  return vector(name + ".weight", n, config_.norms_minus_one ? 1 : 0);
}

std::optional<array> Weights::norm_if_any(const std::string &name, int n) {
  return has(name + ".weight") ? std::optional(norm(name, n)) : std::nullopt;
}

Linear Weights::linear(const std::string &name, int out, int in) {
  Linear l = matrix(name, out, in);
  if (has(name + ".bias")) {
    l.bias = vector(name + ".bias", out, 0);
  }
  return l;
}

// On a CPU quantised weights and those of 16 bits are packed for our kernels, because MLX
// multiplies them there with scalar loops on one thread.
Linear Weights::matrix(const std::string &name, int out, int in) {
  const ls_tensor &w = find(name + ".weight");
  if (has(name + ".scales")) {
    return quantised(name, w, out, in);
  }
  if (w.dims != 2 || w.shape[0] != out || w.shape[1] != in) {
    wrong_shape(name + ".weight", w, std::to_string(out) + " " + std::to_string(in));
  }
  if (w.type == LS_U32 || w.type == LS_OTHER_TYPE) {
    throw std::runtime_error("tensor " + name + ".weight holds integers and has no scales");
  }
  if (!config_.graph && (w.type == LS_BF16 || w.type == LS_F16)) {
    Linear l{.outputs = out, .inputs = in};
    l.halves =
        std::make_shared<half::Packed>(half::pack(w.data, w.type == LS_BF16, out, in, memory_));
    done(w);
    return l;
  }
  array a = config_.native ? stored(name, w) : empty({out, in}, mx::float32);
  if (!config_.native) {
    widen(name, w, a.data<float>());
  }
  done(w);
  return plain(a);
}

Linear Weights::exact(const std::string &name, int out, int in) {
  if (config_.graph) {
    return linear(name, out, in);
  }
  Linear l = matrix(name, out, in);
  if (!l.w) {
    array a = empty({out, in}, mx::float32);
    for (int r = 0; r < out; r++) {
      l.row(r, a.data<float>() + size_t(r) * in);
    }
    l = plain(a);
  }
  l.steady = true;
  return l;
}

Linear Weights::quantised(const std::string &name, const ls_tensor &w, int out, int in) {
  const ls_tensor &scales = find(name + ".scales"), &biases = find(name + ".biases");
  if (w.type != LS_U32 || w.dims != 2 || scales.dims != 2 || w.shape[0] != out ||
      scales.shape[0] != out || scales.shape[1] == 0 || in % scales.shape[1] != 0 ||
      (w.shape[1] * 32) % in != 0) {
    wrong_shape(name + ".weight", w, std::to_string(out) + " " + std::to_string(in) + ", packed");
  }
  if (biases.dims != 2 || biases.shape[0] != out || biases.shape[1] != scales.shape[1]) {
    wrong_shape(name + ".biases", biases,
                std::to_string(out) + " " + std::to_string(scales.shape[1]));
  }
  // The shapes in the file say how each tensor was quantised, also where config.json lists
  // exceptions by layer.
  const int group = int(in / scales.shape[1]), bits = int(w.shape[1] * 32 / in);
  if (group != 32 && group != 64 && group != 128) {
    throw std::runtime_error("tensor " + name + ".weight is quantised in groups of " +
                             std::to_string(group) + "; 32, 64 and 128 are supported");
  }
  Linear l{.outputs = out, .inputs = in, .fine = config_.activation_bits == 16};
  // Tests of other parts that need the accuracy of float32 set LOADSTONE_ISA to float32.
  const char *isa = std::getenv("LOADSTONE_ISA");
  if (config_.native) {
    l.w = stored(name, w), l.scales = stored(name, scales), l.biases = stored(name, biases),
    l.group = group, l.bits = bits;
  } else if (config_.graph || (isa != nullptr && std::strcmp(isa, "float32") == 0)) {
    const auto wide = [&](const ls_tensor &t) {
      return mx::astype(stored(name, t), mx::float32);
    };
    l = plain(mx::dequantize(stored(name, w), wide(scales), wide(biases), group, bits));
  } else {
    const Floats s = floats(name + ".scales", scales), b = floats(name + ".biases", biases);
    rounds_ = true;
    try {
      l.packed = std::make_shared<quant::Packed>(
          quant::pack(w.data, s, b, out, in, group, bits, memory_));
    } catch (const std::runtime_error &e) {
      throw std::runtime_error("tensor " + name + ".weight: " + e.what());
    }
  }
  done(w), done(scales), done(biases);
  return l;
}

} // namespace ls
