// The C ABI between Go and MLX. A step of the engine crosses it once, not once per operation.
//
// Every function that can fail returns 0 or, after writing the reason into err (errlen bytes,
// always terminated), 1. No C++ exception leaves the library. Inputs are borrowed for the call, and
// no pointer into Go's memory is kept after it.
//
// MLX keeps streams and encoders per thread, so all calls must come from the one thread that called
// ls_init (thread.go). The exceptions are the functions that tell versions, instruction sets and
// the device.
#ifndef LOADSTONE_BRIDGE_H
#define LOADSTONE_BRIDGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ls_model ls_model;

enum { LS_F32, LS_F16, LS_BF16, LS_U32, LS_OTHER_TYPE };

// A tensor of a model folder, where its file is mapped into memory; data may have any address.
typedef struct {
  const char *name;
  int32_t type, dims;
  const int64_t *shape; // dims numbers
  const void *data;
  int64_t bytes;
} ls_tensor;

// A network, as engine/checkpoint describes it. Optional tensors, such as biases and norms of
// queries, have no flag here: the network has those that are among its tensors.
typedef struct {
  int32_t vocab, hidden, layers, heads, kv_heads, head_dim, intermediate;
  int32_t window;  // tokens that a token sees in a sliding layer, itself included
  int32_t tied;    // the head is the embedding even where lm_head.weight exists
  int32_t native;  // keep weights as stored (GPU); else widen all to float32
  int32_t kv_bits; // of an element of the KV cache: 32, 16, 8, 4, or 0: as the activations
  int32_t activation_bits; // 8 or 16, to which the CPU kernels round for quantised weights
  int32_t graph;   // MLX's operations only (GPU); else our own CPU kernels where they are faster
  int32_t gelu;    // the activation is GELU in its tanh form, else SiLU
  int32_t norms_minus_one; // the tensors hold the factors of norms minus 1
  float eps;
  float attention_scale;           // attention scores are multiplied by it
  float embedding_scale;           // the embedding's rows are multiplied by it
  float attention_cap, final_cap;  // a score or logit x becomes cap tanh(x / cap), unless cap is 0
  // Unless query_beta is 0, the query at position p is multiplied by
  // 1 + query_beta ln(1 + floor(p / query_every)).
  float query_beta;
  int32_t query_every;
  // Of a mixture of experts, else 0: how many a layer has, to how many each token goes, and the
  // size that intermediate is of other networks. The shares of a token's experts sum to 1 if
  // norm_shares is not 0.
  int32_t experts, active_experts, expert_intermediate, norm_shares;
} ls_config;

// The version of the MLX in this process, and the version whose headers this was compiled against.
const char *ls_version(void);
const char *ls_header_version(void);

// The name of the instruction set that multiplies quantised weights on a CPU.
const char *ls_isa(void);
// The name of the i-th instruction set that was compiled, best first, or NULL.
const char *ls_isa_name(int32_t i);
// Changes the instruction set from now on, for tests. It returns 1 if this processor lacks it.
int ls_isa_use(const char *name);

// Picks the device, and turns off MLX's run-time compiler where that is g++. It is the first call,
// once.
int ls_init(char *err, size_t errlen);
// Returns 1 if MLX computes on a GPU.
int ls_gpu(void);

// Makes this process one of several that each compute a part of a network (ring.cc), and waits for
// the others. hosts is a JSON file of their addresses. It is called before the part's ls_open,
// whose config and tensors are those of the part. A process stays the part that it is, for every
// network that it opens.
int ls_join(const char *hosts, int32_t rank, int32_t parts, char *err, size_t errlen);

// A model is opened by ls_open, ls_rope for global layers and for sliding ones, ls_load_layer for
// every layer in order, and ls_loaded. The tensors, whose sizes the caller has checked, are read
// until ls_loaded and not afterwards. ls_bytes_read is the number of their bytes read so far.
int ls_open(const ls_config *config, const ls_tensor *tensors, int32_t ntensors, ls_model **out,
            char *err, size_t errlen);
// Sets how layers of a kind rotate queries and keys: frequencies are radians a position for each
// pair of elements, i and i + pairs; what is rotated is multiplied by scale.
int ls_rope(ls_model *m, int32_t sliding, const double *frequencies, int32_t pairs, double scale,
            char *err, size_t errlen);
// rotates says whether the layer has RoPE.
int ls_load_layer(ls_model *m, int32_t sliding, int32_t rotates, char *err, size_t errlen);
void ls_loaded(ls_model *m);
int64_t ls_bytes_read(const ls_model *m);
void ls_close(ls_model *m);
// The bytes of all weights in memory, and of the weights that every decode step reads.
int64_t ls_weight_bytes(const ls_model *m);
int64_t ls_decode_bytes(const ls_model *m);

// The bytes of one token in the cache, in all global layers and in all sliding ones.
void ls_kv_bytes_per_token(const ls_model *m, int64_t *global, int64_t *sliding);
// f32, f16, bf16, q8 or q4.
const char *ls_kv_format(const ls_model *m);
// The bits to which activations are rounded: 8, 16, or 0 where they are not.
int32_t ls_activation_bits(const ls_model *m);
// Global layers get blocks, sliding ones window slots, each of block_tokens tokens.
int ls_kv_alloc(ls_model *m, int32_t blocks, int32_t window_slots, int32_t block_tokens, char *err,
                size_t errlen);
// Frees the cache, so that it can be allocated anew.
void ls_kv_free(ls_model *m);
int ls_kv_copy(ls_model *m, int32_t dst, int32_t src, int32_t dst_slot, int32_t src_slot,
               int32_t tokens, char *err, size_t errlen);
// The first tokens tokens of a block and of a window slot, in this order: for each layer the keys,
// then the values, each kv_heads x tokens x a vector. Where window_slot is below 0, they are those
// of the global layers only.
int ls_kv_read(ls_model *m, int32_t block, int32_t window_slot, int32_t tokens, uint8_t *dst,
               char *err, size_t errlen);
int ls_kv_write(ls_model *m, int32_t block, int32_t window_slot, int32_t tokens, const uint8_t *src,
                char *err, size_t errlen);

// The Step of engine.Model. The caller has checked every index and length. tables and window_slots
// hold ceil((starts[i]+lens[i])/block_tokens) numbers for each of the nseqs sequences. The window
// slots that no new token sees are not read.
int ls_step(ls_model *m, const int32_t *tokens, const int32_t *lens, const int32_t *starts,
            int32_t nseqs, const int32_t *tables, const int32_t *window_slots, const int32_t *rows,
            int32_t nrows, float *logits, const int32_t *picks, int32_t npicks, int32_t *best,
            char *err, size_t errlen);

// The bytes of live arrays, and of MLX's cache of freed buffers.
void ls_memory(uint64_t *active, uint64_t *cached);

// The rest is for tests and benchmarks.

// c = a b, n x n, row-major: by MLX, and by the BLAS that the MLX wheel itself links to (Linux).
int ls_matmul(int32_t n, const float *a, const float *b, float *c, char *err, size_t errlen);
int ls_reference_matmul(int32_t n, const float *a, const float *b, float *c, char *err,
                        size_t errlen);
// y = x W^T by the kernels for quantised weights, as MLX stores these. x is m x columns, y m x
// rows; x is rounded to 8 or 16 bits. The product is done times times; seconds is the time of all
// of them, without the packing before.
int ls_quantised_product(const uint32_t *words, const float *scales, const float *biases,
                         int32_t rows, int32_t columns, int32_t group, int32_t bits, const float *x,
                         int32_t m, int32_t activation_bits, float *y, int32_t times,
                         double *seconds, char *err, size_t errlen);
// The same for rows x columns weights of 16 bits: bfloat16 where brain is not 0, else float16.
int ls_half_product(const uint16_t *words, int32_t brain, int32_t rows, int32_t columns,
                    const float *x, int32_t m, float *y, int32_t times, double *seconds, char *err,
                    size_t errlen);
// Reads bytes of memory in large pages, a multiple of 64 KiB, times times on all threads.
int ls_read_memory(int64_t bytes, int32_t times, double *seconds, char *err, size_t errlen);
// The path of the object that answers cblas_sgemm for a library such as libmlx.
int ls_blas_object(char *path, size_t pathlen, char *err, size_t errlen);
// The number of calls that blas.cc has answered.
uint64_t ls_blas_calls(void);

#ifdef __cplusplus
}
#endif
#endif
