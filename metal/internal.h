// The types that the C++ files share. Go never sees them.
#ifndef LOADSTONE_INTERNAL_H
#define LOADSTONE_INTERNAL_H

#include "bridge.h"
#include "half.h"
#include "later.h"
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

// Runs f and turns an exception into the ABI's error text.
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

// A run of consecutive cells of the paged cache that holds consecutive positions of one sequence. A
// cell is the place of one token in a layer's cache: the number of its block or window slot, times
// block_tokens, plus the offset in it.
struct Run {
  int cell, count;
};

// The batch of one step, with everything that each layer would otherwise derive again.
struct Batch {
  struct Seq {
    int first;                 // index of its first new token in the batch
    int len;                   // new tokens
    int start;                 // position of the first
    std::vector<int> table[2]; // blocks, of global layers, and window slots, of sliding ones
  };
  std::vector<Seq> seqs;
  std::vector<int> tokens, positions, cells[2]; // per new token; cells of global, sliding layers
  int block_tokens = 0;

  // The cells of positions lo..hi-1 of s. Blocks that lie side by side in the cache make one run.
  std::vector<Run> runs(const Seq &s, bool sliding, int lo, int hi) const;
};

// What the caller wants of one token of a step: its row of logits, or only the place of the largest
// logit. One of the pointers is null.
struct Output {
  int token;
  float *logits;
  int32_t *best; // the first of equals, -1 where none is finite
};

// How layers of a kind rotate queries and keys; see ls_rope.
struct Rope {
  std::vector<double> frequencies;
  double scale = 1;
};

// The cosine and sine of position x frequency, times the scale, tokens x pairs each. Without
// positions there are no pairs, and nothing is rotated.
struct RopeTable {
  int pairs = 0;
  std::vector<float> cos, sin;
  RopeTable() = default;
  RopeTable(const std::vector<int> &positions, const Rope &rope);
};

// What the query at a position is multiplied by, beside the attention scale.
float query_factor(const ls_config &config, int position);

// How the cache of the CPU kernels stores one head's key or value of one token, a vector of
// head_dim elements, by itself:
//   32, 16  float32, binary16 (a number that is too large becomes the largest finite one)
//   8, 4    groups of 64 elements, of which the last of a vector may be shorter. A group is a scale
//           and a bias, both binary16, then codes of that many bits: an element is bias + scale
//           code. Codes of 4 bits share bytes: the first half of a group is in the low bits of the
//           bytes, the second half in the high bits. Whole groups take 1.0625 and 0.5625 bytes an
//           element
//
// With 4 bits a few large elements of a group would leave no codes for the others. So a vector is
// stored after a random rotation, which makes all elements about as large: signs, then a Hadamard
// matrix of the largest power of two that divides head_dim, over and over (Ashkboos et al., QuaRot,
// arXiv 2404.00456). Attention reads the vectors as they are. Queries are rotated too, so they have
// the same products with keys, and the result of attention, a sum of values, is rotated back.
struct KVFormat {
  int bits;
  size_t row(int dim) const; // bytes of a vector
  void encode(const float *x, int dim, uint8_t *dst) const;
  // Decodes rows vectors that lie side by side. They stay rotated.
  void decode(const uint8_t *src, int rows, int dim, float *x) const;
  // Both work in place, and do nothing where the format has no rotation.
  void rotate(float *x, int dim) const;
  void unrotate(float *x, int dim) const;
};

// Returns the sum of x over all parts of a network that is split over processes (ring.cc), or x
// where there is one part. The second form replaces n numbers by their sums.
array sum_parts(const array &x);
void sum_parts(float *x, size_t n);

// A matrix product with a weight whose rows are the outputs.
struct Linear {
  int outputs = 0, inputs = 0;
  // The weight has one of four forms: outputs x inputs of floats, with a transposed view for MLX's
  // product; MLX's affine form; or packed for the CPU kernels, quantised or with 16 bits an
  // element.
  std::optional<array> w, transposed;
  std::optional<array> scales, biases;
  int group = 0, bits = 0;
  std::shared_ptr<const quant::Packed> packed;
  std::shared_ptr<const half::Packed> halves;
  std::optional<array> bias; // outputs
  bool fine = false;   // packed, quantised: it is multiplied with activations of 16 bits, not 8
  bool steady = false; // its products never go to OpenBLAS, which sums many rows in another order

  array operator()(const array &x) const; // by MLX's operations
  // The weight as an embedding, by MLX's operations: one of its rows for each id.
  array rows(const std::vector<int> &ids) const;
  void row(int id, float *out) const; // one row of a weight in a form that the CPU kernels take
};

// The gated MLP of a layer, or of one expert of a mixture.
struct MLP {
  Linear gate, up, down;
};

// The same matrix of all experts, for MLX's operations: experts x outputs x inputs.
struct Stack {
  std::optional<array> w, scales, biases;
  int group = 0, bits = 0;
  // The products of the rows of x (tokens x 1 or experts of a token x 1 x inputs) with the matrices
  // that which (tokens x experts of a token) names.
  array operator()(const array &x, const array &which) const;
};

struct Layer {
  bool sliding, rotates;
  array attn_norm, mlp_norm;                        // before attention and before the MLP
  std::optional<array> post_attn_norm, post_mlp_norm; // after them
  std::optional<array> q_norm, k_norm;
  Linear q, k, v, o;
  MLP mlp; // empty in a mixture of experts
  std::optional<Linear> router; // of a mixture: experts x hidden, in float32
  std::vector<MLP> experts;     // for the CPU kernels
  Stack gates, ups, downs;      // for MLX's operations
  // The paged cache, kv_heads x cells x a vector: the vectors of one head lie side by side. A
  // vector is bytes in the format of the cache, or for MLX's own operations head_dim elements.
  std::optional<array> keys, values;
};

// Takes tensors by name out of the files. It throws an exception that says what is wrong with one
// that does not fit.
class Weights {
public:
  Weights(const ls_config &config, const ls_tensor *tensors, int n);
  bool has(const std::string &name) const;
  array norm(const std::string &name, int n); // the factors of an RMSNorm
  std::optional<array> norm_if_any(const std::string &name, int n);
  Linear linear(const std::string &name, int out, int in); // with its bias, if it has one
  // A weight whose products need more than quantised activations give, as floats where it is for
  // the CPU kernels.
  Linear exact(const std::string &name, int out, int in);
  int64_t bytes_read() const { return bytes_read_; }
  // Whether there are weights whose products round activations.
  bool rounds() const { return rounds_; }

private:
  const ls_tensor &find(const std::string &name) const;
  void done(const ls_tensor &t);
  array vector(const std::string &name, int n, float plus);
  Linear matrix(const std::string &name, int out, int in);
  Linear quantised(const std::string &name, const ls_tensor &w, int out, int in);

  const ls_config config_;
  std::unordered_map<std::string, ls_tensor> tensors_;
  Arena memory_;
  int64_t bytes_read_ = 0;
  bool rounds_ = false;
};

// This package's own CPU kernels, in float32 and on the CPU stream.
namespace kernels {
// A step as an MLX primitive: the rows of the last layer, tokens x hidden. Its evaluation writes
// the caches, and writes the outputs to where they say.
array step(const ls_model &model, std::shared_ptr<const Batch> batch, std::vector<Output> outputs);
// The attention of one layer, from projections (tokens x heads x head_dim) to the outputs of heads
// (the same shape): norms, rope, the writes to the cache and the reads from it.
void attend(const Layer &layer, const float *q, const float *k, const float *v,
            const ls_config &config, KVFormat kv, const Batch &batch, const RopeTable &rope,
            float *out);
} // namespace kernels

} // namespace ls

struct ls_model {
  ls_config config;
  ls::Linear embed;
  std::optional<ls::Linear> head; // unset where the embedding is the head
  ls::array norm;
  std::vector<ls::Layer> layers;
  ls::Rope ropes[2];      // of global and of sliding layers
  ls::mx::Dtype dtype;    // of activations
  ls::mx::Dtype kv_dtype; // of the cache
  ls::KVFormat kv;        // of the bytes of the cache; CPU kernels only
  int block_tokens = 0;
  bool rounds = false;                  // products round activations
  std::string broken;                   // the reason why nothing more can be computed
  std::unique_ptr<ls::Weights> weights; // set while they are loaded
  ls::Later later; // touches the cache between steps; it ends before the cache does

  void step(std::shared_ptr<const ls::Batch> batch, const std::vector<ls::Output> &outputs);

private:
  void graph_step(const ls::Batch &batch, const std::vector<ls::Output> &outputs);
  void graph_head(const ls::array &h, const std::vector<ls::Output> &outputs) const;
  ls::array graph_layers(ls::array h, const ls::Batch &batch);
  ls::array graph_gated(const ls::array &gate, const ls::array &up) const;
  ls::array graph_mixture(const ls::Layer &layer, const ls::array &x) const;
  ls::array graph_attend(ls::Layer &layer, ls::array q, ls::array k, ls::array v,
                         const ls::Batch &batch) const;
  ls::array graph_attend_sequence(const ls::Layer &layer, const ls::array &q,
                                  const ls::Batch &batch, const ls::Batch::Seq &s) const;
  void graph_store(ls::Layer &layer, const ls::array &k, const ls::array &v,
                   const ls::Batch &batch) const;
  ls::array graph_rope(const ls::Rope &rope, ls::array x, const ls::array &positions) const;
};

#endif
