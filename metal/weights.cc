//go:build mlx

#include "internal.h"

#include <cstdlib>
#include <cstring>

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
    return mx::quantized_matmul(x, *w, *scales, biases, true, group, bits);
  }
  return mx::matmul(x, *transposed);
}

array Linear::rows(const std::vector<int> &ids) const {
  const int n = int(ids.size());
  if (packed) {
    array out = mx::zeros({n, inputs}, mx::float32);
    mx::eval(out);
    for (int i = 0; i < n; i++) {
      packed->dequantise(ids[i], out.data<float>() + size_t(i) * inputs);
    }
    return out;
  }
  const array at(ids.data(), {n}, mx::int32);
  if (scales) {
    return mx::dequantize(mx::take(*w, at, 0), mx::take(*scales, at, 0), mx::take(*biases, at, 0), group, bits);
  }
  return mx::take(*w, at, 0);
}

static Linear plain(const array &w) {
  // Evaluated before it is transposed, so that both share one buffer.
  array stored = w;
  mx::eval(stored);
  array transposed = mx::transpose(stored);
  mx::eval(transposed);
  return Linear{.outputs = w.shape(0), .inputs = w.shape(1), .w = stored, .transposed = transposed};
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

// On a CPU quantised weights are packed for our kernels and others become float32, for MLX multiplies bfloat16, float16 and
// quantised matrices there with scalar loops on one thread.
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
    return plain(config_.native ? w : mx::astype(w, mx::float32));
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
  if (group != 32 && group != 64 && group != 128) {
    throw std::runtime_error("tensor " + name + ".weight is quantised in groups of " + std::to_string(group) +
                             "; 32, 64 and 128 are supported");
  }
  Linear l{.outputs = out, .inputs = in};
  if (config_.native) {
    mx::eval(w, scales, biases);
    l.w = w, l.scales = scales, l.biases = biases, l.group = group, l.bits = bits;
    return l;
  }
  scales = mx::astype(scales, mx::float32), biases = mx::astype(biases, mx::float32);
  // Tests that hold something else to float32's accuracy ask for this.
  const char *isa = std::getenv("LOADSTONE_ISA");
  if (config_.graph || (isa != nullptr && std::strcmp(isa, "float32") == 0)) {
    return plain(mx::dequantize(w, scales, biases, group, bits));
  }
  mx::eval(w, scales, biases);
  try {
    l.packed = std::make_shared<quant::Packed>(quant::pack(w.data<uint32_t>(), scales.data<float>(),
                                                           biases.data<float>(), out, in, group, bits));
  } catch (const std::runtime_error &e) {
    throw std::runtime_error("tensor " + name + ".weight: " + e.what());
  }
  return l;
}

} // namespace ls
