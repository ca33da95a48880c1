//go:build mlx

#include "internal.h"

namespace ls {
namespace {

std::string shape_text(const array &a) {
  std::string s = "[";
  for (int i = 0; i < a.ndim(); i++) {
    s += (i > 0 ? " " : "") + std::to_string(a.shape(i));
  }
  return s + "]";
}

[[noreturn]] void wrong_shape(const std::string &name, const array &a, const std::string &want) {
  throw std::runtime_error("tensor " + name + " has shape " + shape_text(a) + ", config.json asks for [" + want + "]");
}

} // namespace

array Linear::operator()(const array &x) const {
  if (scales) {
    return mx::quantized_matmul(x, w, *scales, biases, true, group, bits);
  }
  // Beyond so many rows the arithmetic costs more than reading the matrix, and OpenBLAS is better at it.
  constexpr int few = 16;
  return kernels && x.shape(0) <= few ? kernels::matmul(x, w) : mx::matmul(x, *transposed);
}

static Linear plain(const array &w, bool kernels) {
  // Evaluated before it is transposed, so that both share one buffer.
  array stored = w;
  mx::eval(stored);
  array transposed = mx::transpose(stored);
  mx::eval(transposed);
  return Linear{.w = stored, .transposed = transposed, .kernels = kernels};
}

array Linear::rows(const array &ids) const {
  if (scales) {
    return mx::dequantize(mx::take(w, ids, 0), mx::take(*scales, ids, 0), mx::take(*biases, ids, 0), group, bits);
  }
  return mx::take(w, ids, 0);
}

Weights::Weights(const ls_config &config, const char *const *files, int nfiles) : config_(config) {
  for (int i = 0; i < nfiles; i++) {
    auto loaded = mx::load_safetensors(std::string(files[i])).first; // headers only: data is read when evaluated
    tensors_.merge(loaded);
  }
  if (has("language_model.model.embed_tokens.weight")) {
    prefix_ = "language_model.";
  }
}

bool Weights::has(const std::string &name) const { return tensors_.count(prefix_ + name) > 0; }

array Weights::take(const std::string &name) {
  auto it = tensors_.find(prefix_ + name);
  if (it == tensors_.end()) {
    throw std::runtime_error("tensor " + prefix_ + name + " is missing from the checkpoint");
  }
  array a = it->second;
  tensors_.erase(it);
  return a;
}

array Weights::vector(const std::string &name, int n, float plus) {
  array a = take(name);
  if (a.ndim() != 1 || a.shape(0) != n) {
    wrong_shape(name, a, std::to_string(n));
  }
  auto dtype = config_.native ? a.dtype() : mx::float32;
  a = mx::astype(a, mx::float32);
  if (plus != 0) {
    a = a + array(plus);
  }
  a = mx::astype(a, dtype);
  mx::eval(a);
  return a;
}

// On a CPU every weight becomes float32: MLX multiplies bfloat16, float16 and quantised matrices there with scalar loops
// on one thread, float32 with BLAS or our kernel. SmolLM2 at 4 bits on two processors, as stored and widened: prefill
// of 64 tokens 6.0 and 0.11 s, decode 125 and 25 ms (BenchmarkWeights).
Linear Weights::linear(const std::string &name, int out, int in) {
  if (has(name + ".bias")) {
    throw std::runtime_error("tensor " + name + ".bias: layers with a bias are not supported");
  }
  array w = take(name + ".weight");
  const std::string want = std::to_string(out) + " " + std::to_string(in);
  if (!has(name + ".scales")) {
    if (w.ndim() != 2 || w.shape(0) != out || w.shape(1) != in) {
      wrong_shape(name + ".weight", w, want);
    }
    if (!mx::issubdtype(w.dtype(), mx::floating)) {
      throw std::runtime_error("tensor " + name + ".weight holds integers and has no scales");
    }
    return plain(config_.native ? w : mx::astype(w, mx::float32), !config_.graph);
  }

  array scales = take(name + ".scales");
  array biases = take(name + ".biases");
  if (w.dtype() != mx::uint32 || w.ndim() != 2 || scales.ndim() != 2 || w.shape(0) != out || scales.shape(0) != out ||
      scales.shape(1) == 0 || in % scales.shape(1) != 0 || (int64_t(w.shape(1)) * 32) % in != 0) {
    wrong_shape(name + ".weight", w, want + ", packed");
  }
  if (biases.shape() != scales.shape()) {
    wrong_shape(name + ".biases", biases, std::to_string(scales.shape(0)) + " " + std::to_string(scales.shape(1)));
  }
  // The file's own shapes say how each tensor was quantised, also where config.json lists exceptions by layer.
  const int group = in / scales.shape(1), bits = int(int64_t(w.shape(1)) * 32 / in);
  if (config_.native) {
    mx::eval(w, scales, biases);
    return Linear{.w = w, .scales = scales, .biases = biases, .group = group, .bits = bits};
  }
  return plain(mx::dequantize(w, mx::astype(scales, mx::float32), mx::astype(biases, mx::float32), group, bits),
               !config_.graph);
}

} // namespace ls
