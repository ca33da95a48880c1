// The C ABI between Go and MLX: one crossing per step of the engine, never one per operation.
//
// Every function that can fail returns 0 or, after writing the reason into err (errlen bytes, always terminated), 1. No
// C++ exception leaves the library. Inputs are borrowed for the call and nothing keeps a pointer into Go's memory.
//
// MLX keeps streams and encoders per thread, so all calls must come from the one thread that called ls_init
// (thread.go); what tells versions, instruction sets and the device is the exception.
#ifndef LOADSTONE_BRIDGE_H
#define LOADSTONE_BRIDGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ls_model ls_model;

enum { LS_F32, LS_F16, LS_BF16, LS_U32, LS_OTHER_TYPE };

// A tensor of a checkpoint, where its file is mapped into memory; at any address.
typedef struct {
  const char *name;
  int32_t type, dims;
  const int64_t *shape;
  const void *data;
  int64_t bytes;
} ls_tensor;

enum { LS_LLAMA = 0, LS_GEMMA3 = 1 };

typedef struct {
  int32_t arch;
  int32_t vocab, hidden, layers, heads, kv_heads, head_dim, intermediate;
  int32_t window;          // tokens a sliding layer sees, itself included
  int32_t tied;            // the head is the embedding even where lm_head.weight exists
  int32_t native;          // keep weights as stored (GPU); else widen all to float32
  int32_t kv_bits;         // of an element of the KV cache: 32, 16, 8, 4, or 0: as the activations
  int32_t graph;           // MLX operations only (GPU); else this package's own CPU kernels where they are faster
  float eps;
  float rope_theta, rope_local_theta;
  float rope_scale;        // positions of global layers are multiplied by it
  float attention_scale;
  float embedding_scale;
} ls_config;

// The MLX in this process, and the one whose headers this was compiled against.
const char *ls_version(void);
const char *ls_header_version(void);

// The instruction set that multiplies quantised weights on a CPU; the i-th that was compiled, best first, or NULL; and, for
// tests, another one from now on: 0, or 1 if this processor does not have it.
const char *ls_isa(void);
const char *ls_isa_name(int32_t i);
int ls_isa_use(const char *name);

// Picks the device, and turns MLX's run-time compiler off where that is g++. Once, first.
int ls_init(char *err, size_t errlen);
// 1: MLX computes on a GPU.
int ls_gpu(void);

// Opening is ls_open, ls_load_layer for every layer in order, ls_loaded; the tensors, whose sizes the caller has checked,
// are read meanwhile and not afterwards. ls_bytes_read is how much of them has been.
int ls_open(const ls_config *config, const ls_tensor *tensors, int32_t ntensors, ls_model **out, char *err, size_t errlen);
int ls_load_layer(ls_model *m, int32_t sliding, char *err, size_t errlen);
void ls_loaded(ls_model *m);
int64_t ls_bytes_read(const ls_model *m);
void ls_close(ls_model *m);
// Of all weights in memory; and of those that every decode step reads.
int64_t ls_weight_bytes(const ls_model *m);
int64_t ls_decode_bytes(const ls_model *m);

// What a token takes in the cache, in the global layers and in the sliding ones.
void ls_kv_bytes_per_token(const ls_model *m, int64_t *global, int64_t *local);
// f32, f16, bf16, q8 or q4.
const char *ls_kv_format(const ls_model *m);
// Global layers get blocks, sliding ones locals, both of block_tokens tokens.
int ls_kv_alloc(ls_model *m, int32_t blocks, int32_t locals, int32_t block_tokens, char *err, size_t errlen);
// Forget the cache so that it can be allocated anew.
void ls_kv_free(ls_model *m);
int ls_kv_copy(ls_model *m, int32_t dst, int32_t src, int32_t dst_local, int32_t src_local, int32_t tokens, char *err,
               size_t errlen);
// The first tokens tokens of a block and a local: for each layer keys then values, each kv_heads x tokens x a vector.
// local < 0: global layers only.
int ls_kv_read(ls_model *m, int32_t block, int32_t local, int32_t tokens, uint8_t *dst, char *err, size_t errlen);
int ls_kv_write(ls_model *m, int32_t block, int32_t local, int32_t tokens, const uint8_t *src, char *err, size_t errlen);

// engine.Model's Step. The caller has checked every index and length; tables and locals hold, for each of the nseqs
// sequences, ceil((starts[i]+lens[i])/block_tokens) numbers; those of locals that no new token sees are not looked at.
int ls_step(ls_model *m, const int32_t *tokens, const int32_t *lens, const int32_t *starts, int32_t nseqs,
            const int32_t *tables, const int32_t *locals, const int32_t *rows, int32_t nrows, float *logits,
            const int32_t *picks, int32_t npicks, int32_t *best, char *err, size_t errlen);

// Bytes held by live arrays, and by MLX's cache of freed buffers.
void ls_memory(uint64_t *active, uint64_t *cached);

// c = a b, n x n, row-major, by MLX; and by the BLAS that the MLX wheel itself links to (Linux).
int ls_matmul(int32_t n, const float *a, const float *b, float *c, char *err, size_t errlen);
int ls_reference_matmul(int32_t n, const float *a, const float *b, float *c, char *err, size_t errlen);
// y = x W^T by the kernels for quantised weights, as MLX stores these; x is m x columns, y m x rows. The product is done
// times times; seconds is what that took, without the packing before.
int ls_quantised_product(const uint32_t *words, const float *scales, const float *biases, int32_t rows, int32_t columns,
                         int32_t group, int32_t bits, const float *x, int32_t m, float *y, int32_t times,
                         double *seconds, char *err, size_t errlen);
// The same for weights of 16 bits, bfloat16 where brain is not 0, else float16; words are rows x columns of them.
int ls_half_product(const uint16_t *words, int32_t brain, int32_t rows, int32_t columns, const float *x, int32_t m, float *y,
                    int32_t times, double *seconds, char *err, size_t errlen);
// Reads as many bytes, a multiple of 64 KiB in large pages, times times on all threads.
int ls_read_memory(int64_t bytes, int32_t times, double *seconds, char *err, size_t errlen);
// The path of the object that answers cblas_sgemm for a library such as libmlx, and how often this package's answered.
int ls_blas_object(char *path, size_t pathlen, char *err, size_t errlen);
uint64_t ls_blas_calls(void);

#ifdef __cplusplus
}
#endif
#endif
