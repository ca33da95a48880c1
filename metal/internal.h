// What the C++ files share. Go never sees this.
#ifndef LOADSTONE_INTERNAL_H
#define LOADSTONE_INTERNAL_H

#include "bridge.h"
#include "half.h"
#include "quant.h"

#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "mlx/mlx.h"

// Leaves the threads to this package (blas.cc).
extern "C" void ls_blas_init(void);

struct ls_model;

namespace ls {

namespace mx = mlx::core;
using mx::array;

// Runs f and turns what it throws into the ABI's error text.
template <typename F> int guard(char *err, size_t errlen, F &&f) {
  try {
    f();
    return 0;
  } catch (const std::bad_alloc &) {
    std::snprintf(err, errlen, "out of memory");
  } catch (const std::exception &e) {
    std::snprintf(err, errlen, "%s", e.what());
  } catch (...) {
    std::snprintf(err, errlen, "unknown C++ exception");
  }
  return 1;
}

// An array in MLX's memory, not yet written.
array empty(const mx::Shape &shape, mx::Dtype type);

// A run of consecutive slots of the paged cache that holds consecutive positions of one sequence.
struct Run {
  int slot, count;
};

// One step's batch, with what every layer would otherwise derive again.
struct Batch {
  struct Seq {
    int first;   // index of its first new token in the batch
    int len;     // new tokens
    int start;   // position of the first
    std::vector<int> table[2]; // of global and of sliding layers
  };
  std::vector<Seq> seqs;
  std::vector<int> tokens, positions, slots[2]; // per new token; slots of global and of sliding layers
  int block_tokens = 0;

  // The slots of positions lo..hi-1 of s as few runs: blocks that lie side by side in the cache make one.
  std::vector<Run> runs(const Seq &s, bool sliding, int lo, int hi) const;
};

// A token of a step whose row of logits the caller wants, or only the largest one's place; one pointer is null.
struct Asked {
  int token;
  float *logits;
  int32_t *best; // the first of equals, -1 where none is finite
};

// cos and sin of position x frequency, tokens x head_dim/2 each.
struct RopeTable {
  std::vector<float> cos, sin;
  RopeTable(const std::vector<int> &positions, int dim, float base, float scale);
};

// How the CPU kernels' cache stores one head's key or value of one token, a vector of head_dim elements, by itself:
//   32, 16  float32, binary16 (what is too large becomes the largest finite value)
//   8, 4    groups of 64 elements, the last of a vector may be shorter: scale and bias, both binary16, then codes of that
//           many bits, of 4 bits the first half of a group in the low and the second in the high halves of the bytes; an
//           element is bias + scale code. 1.0625 and 0.5625 bytes an element where groups are whole
//
// Of 4 bits a group's few large elements would leave the others none, so what is stored is a vector times a random
// rotation, which makes all elements about as large: signs, then a Hadamard matrix of the largest power of two that
// divides head_dim, over and over (Ashkboos et al., QuaRot, arXiv 2404.00456). Attention reads the vectors as they are:
// queries, rotated too, have the same products with keys, and its result is a sum of values that is to be rotated back.
struct KVFormat {
  int bits;
  size_t row(int dim) const; // bytes of a vector
  void encode(const float *x, int dim, uint8_t *dst) const;
  void decode(const uint8_t *src, int rows, int dim, float *x) const; // rows vectors that lie side by side; rotated
  void rotate(float *x, int dim) const; // in place; nothing where the format has no rotation
  void unrotate(float *x, int dim) const;
};

// A matrix product with a weight, stored rows = outputs.
struct Linear {
  int outputs = 0, inputs = 0;
  // One of four: outputs x inputs of floats, with a view of it for MLX's product; MLX's affine form; or packed for the CPU
  // kernels, quantised or of 16 bits.
  std::optional<array> w, transposed;
  std::optional<array> scales, biases;
  int group = 0, bits = 0;
  std::shared_ptr<const quant::Packed> packed;
  std::shared_ptr<const half::Packed> halves;

  array operator()(const array &x) const;             // in MLX's operations
  array rows(const std::vector<int> &ids) const;      // as an embedding, in them: one row of the stored weight for each id
  void row(int id, float *out) const;                 // one, of what the CPU kernels take
};

struct Layer {
  bool sliding;
  array in_norm, post_norm;               // llama: before attention, before MLP. gemma: before and after attention
  std::optional<array> pre_ff, post_ff;   // gemma: before and after the MLP
  std::optional<array> q_norm, k_norm;    // gemma
  Linear q, k, v, o, gate, up, down;
  // The paged cache, kv_heads x slots x a vector: those of one head lie side by side. Vectors are bytes in the cache's
  // format, or for MLX's own operations head_dim elements.
  std::optional<array> keys, values;
};

// Takes tensors by name out of the files and says what is wrong with those it does not like.
class Weights {
public:
  Weights(const ls_config &config, const ls_tensor *tensors, int n);
  bool has(const std::string &name) const;
  array vector(const std::string &name, int n, float plus = 0);
  Linear linear(const std::string &name, int out, int in);
  int64_t bytes_read() const { return bytes_read_; }

private:
  const ls_tensor &find(const std::string &name) const;
  void done(const ls_tensor &t);
  Linear quantised(const std::string &name, const ls_tensor &w, int out, int in);

  const ls_config config_;
  std::string prefix_; // "" or "language_model."
  std::unordered_map<std::string, ls_tensor> tensors_;
  Arena memory_;
  int64_t bytes_read_ = 0;
};

// This package's own CPU kernels: float32, on the CPU stream.
namespace kernels {
// A step as an MLX primitive: the last layer's rows, tokens x hidden. Evaluating it writes the caches, and what is asked
// for to where that says.
array step(const ls_model &model, std::shared_ptr<const Batch> batch, std::vector<Asked> asked);
// One layer's attention, from projections (tokens x heads x head_dim) to heads' outputs, the same: norms, rope, the writes
// to the cache, the reads from it.
void attend(const Layer &layer, const float *q, const float *k, const float *v, const ls_config &config, KVFormat kv,
            const Batch &batch, const RopeTable &rope, float *out);
} // namespace kernels

} // namespace ls

struct ls_model {
  ls_config config;
  ls::Linear embed;
  std::optional<ls::Linear> head; // unset: embed
  ls::array norm;
  std::vector<ls::Layer> layers;
  ls::mx::Dtype dtype;    // of activations
  ls::mx::Dtype kv_dtype; // of the cache
  ls::KVFormat kv;        // what the bytes of the cache are; CPU kernels only
  int block_tokens = 0;
  std::string broken; // why nothing more can be computed
  std::unique_ptr<ls::Weights> weights; // while they are loaded

  void step(std::shared_ptr<const ls::Batch> batch, const std::vector<ls::Asked> &asked);

private:
  void graph_step(const ls::Batch &batch, const std::vector<ls::Asked> &asked);
  void graph_head(const ls::array &h, const std::vector<ls::Asked> &asked) const;
  ls::array graph_layers(ls::array h, const ls::Batch &batch);
  ls::array graph_attend(ls::Layer &layer, ls::array q, ls::array k, ls::array v, const ls::Batch &batch) const;
};

#endif
