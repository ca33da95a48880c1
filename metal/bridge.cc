//go:build mlx

// The entry points of bridge.h.

#include "internal.h"
#include "pages.h"
#include "pool.h"

#include <cstring>

#include "mlx/version.h"

using namespace ls;

// The range of versions that was compiled and tested; metal/requirements.txt pins one of them.
static_assert(MLX_VERSION_NUMERIC >= 32004 && MLX_VERSION_NUMERIC < 33000,
              "this bridge is written for MLX 0.32.4 up to 0.33: run go run ./metal/setup");

#define LS_TEXT2(x) #x
#define LS_TEXT(x) LS_TEXT2(x)

const char *ls_version(void) { return mx::version(); }

const char *ls_header_version(void) {
  return LS_TEXT(MLX_VERSION_MAJOR) "." LS_TEXT(MLX_VERSION_MINOR) "." LS_TEXT(MLX_VERSION_PATCH);
}

const char *ls_isa(void) { return quant::isa().name; }

const char *ls_isa_name(int32_t i) {
  const auto all = quant::all();
  return size_t(i) < all.size() ? all[i]->name : nullptr;
}

int ls_isa_use(const char *name) { return quant::use(name) ? 0 : 1; }

int ls_gpu(void) { return mx::default_device() == mx::Device::gpu; }

int ls_init(char *err, size_t errlen) {
  return guard(err, errlen, [] {
    if (!ls_gpu()) {
      mx::disable_compile(); // on a CPU its compiler would run g++ in the middle of a request
      ls_blas_init();
    }
  });
}

static MLP load_mlp(Weights &w, const std::string &p, int hidden, int inner) {
  return {w.linear(p + "gate", inner, hidden), w.linear(p + "up", inner, hidden),
          w.linear(p + "down", hidden, inner)};
}

// Stacks a matrix of all experts, which then is in memory twice until the caller drops the experts.
static Stack stacked(const std::vector<MLP> &experts, Linear MLP::*which) {
  const Linear &first = experts[0].*which;
  Stack s{.group = first.group, .bits = first.bits};
  const auto put = [&](std::optional<array> &to, std::optional<array> Linear::*part) {
    std::vector<array> all;
    for (const MLP &e : experts) {
      if (!(e.*which.*part)) {
        return;
      }
      all.push_back(*(e.*which.*part));
    }
    mx::eval(to.emplace(mx::stack(all)));
  };
  put(s.w, &Linear::w), put(s.scales, &Linear::scales), put(s.biases, &Linear::biases);
  return s;
}

static void load_experts(Weights &w, const ls_config &c, const std::string &p, Layer &l) {
  l.router = w.exact(p + "router", c.experts, c.hidden);
  for (int x = 0; x < c.experts; x++) {
    MLP m = load_mlp(w, p + "experts." + std::to_string(x) + ".", c.hidden, c.expert_intermediate);
    m.gate.steady = m.up.steady = m.down.steady = true;
    l.experts.push_back(std::move(m));
  }
  if (c.graph) {
    l.gates = stacked(l.experts, &MLP::gate), l.ups = stacked(l.experts, &MLP::up);
    l.downs = stacked(l.experts, &MLP::down);
    l.experts.clear();
  }
}

static Layer load_layer(Weights &w, const ls_config &c, int i, bool sliding, bool rotates) {
  const std::string p = "layers." + std::to_string(i) + ".";
  const int q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  Layer l{
      .sliding = sliding,
      .rotates = rotates,
      .attn_norm = w.norm(p + "attn_norm", c.hidden),
      .mlp_norm = w.norm(p + "mlp_norm", c.hidden),
      .post_attn_norm = w.norm_if_any(p + "post_attn_norm", c.hidden),
      .post_mlp_norm = w.norm_if_any(p + "post_mlp_norm", c.hidden),
      .q_norm = w.norm_if_any(p + "q_norm", c.head_dim),
      .k_norm = w.norm_if_any(p + "k_norm", c.head_dim),
      .q = w.linear(p + "q", q, c.hidden),
      .k = w.linear(p + "k", kv, c.hidden),
      .v = w.linear(p + "v", kv, c.hidden),
      .o = w.linear(p + "o", c.hidden, q),
  };
  if (c.experts > 0) {
    load_experts(w, c, p, l);
  } else {
    l.mlp = load_mlp(w, p, c.hidden, c.intermediate);
  }
  return l;
}

int ls_open(const ls_config *config, const ls_tensor *tensors, int32_t ntensors, ls_model **out,
            char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    const ls_config &c = *config;
    auto w = std::make_unique<Weights>(c, tensors, ntensors);
    array norm = w->norm("norm", c.hidden);
    auto dtype = c.native ? norm.dtype() : mx::float32;
    auto kv_dtype = dtype;
    const KVFormat kv{c.kv_bits == 0 ? 32 : c.kv_bits};
    if (!c.graph) {
      kv_dtype = mx::uint8;
    } else if (c.kv_bits == 32 || c.kv_bits == 16) {
      kv_dtype = c.kv_bits == 32 ? mx::float32 : mx::float16;
    } else if (c.kv_bits != 0) {
      throw std::runtime_error(
          "a KV cache of 4 or 8 bits is for the CPU; on a GPU it can be f32, f16 "
          "or auto, as the weights are");
    }
    auto m = std::unique_ptr<ls_model>(
        new ls_model{.config = c,
                     .embed = w->linear("embed", c.vocab, c.hidden),
                     .norm = norm,
                     .dtype = dtype,
                     .kv_dtype = kv_dtype,
                     .kv = kv});
    if (!c.tied) {
      m->head = w->linear("head", c.vocab, c.hidden);
    }
    m->weights = std::move(w);
    *out = m.release();
  });
}

int ls_rope(ls_model *m, int32_t sliding, const double *frequencies, int32_t pairs, double scale,
            char *err, size_t errlen) {
  return guard(err, errlen,
               [&] { m->ropes[sliding != 0] = {{frequencies, frequencies + pairs}, scale}; });
}

int ls_load_layer(ls_model *m, int32_t sliding, int32_t rotates, char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    m->layers.push_back(load_layer(*m->weights, m->config, int(m->layers.size()), sliding != 0,
                                   rotates != 0));
  });
}

void ls_loaded(ls_model *m) {
  m->rounds = m->weights->rounds();
  m->weights.reset();
}

int64_t ls_bytes_read(const ls_model *m) { return m->weights->bytes_read(); }

static int64_t bytes(const Linear &l) {
  size_t n = l.packed ? l.packed->bytes() : l.halves ? l.halves->bytes() : 0;
  for (const auto *a : {&l.w, &l.scales, &l.biases, &l.bias}) {
    n += *a ? (*a)->nbytes() : 0;
  }
  return int64_t(n);
}

static int64_t bytes(const MLP &m) { return bytes(m.gate) + bytes(m.up) + bytes(m.down); }

// The bytes of all experts of a layer, 0 without them.
static int64_t expert_bytes(const Layer &l) {
  int64_t n = 0;
  for (const MLP &e : l.experts) {
    n += bytes(e);
  }
  for (const Stack *s : {&l.gates, &l.ups, &l.downs}) {
    for (const auto *a : {&s->w, &s->scales, &s->biases}) {
      n += *a ? (*a)->nbytes() : 0;
    }
  }
  return n;
}

int64_t ls_decode_bytes(const ls_model *m) {
  int64_t n = bytes(m->head ? *m->head : m->embed);
  for (const Layer &l : m->layers) {
    for (const Linear *w : {&l.q, &l.k, &l.v, &l.o}) {
      n += bytes(*w);
    }
    n += bytes(l.mlp);
    if (l.router) {
      n += bytes(*l.router) + expert_bytes(l) / m->config.experts * m->config.active_experts;
    }
  }
  return n;
}

int64_t ls_weight_bytes(const ls_model *m) {
  int64_t n = ls_decode_bytes(m) + (m->head ? bytes(m->embed) : 0) + m->norm.nbytes();
  for (const Layer &l : m->layers) {
    if (l.router) {
      n += expert_bytes(l) - expert_bytes(l) / m->config.experts * m->config.active_experts;
    }
    n += l.attn_norm.nbytes() + l.mlp_norm.nbytes();
    for (const auto *a : {&l.post_attn_norm, &l.post_mlp_norm, &l.q_norm, &l.k_norm}) {
      n += *a ? (*a)->nbytes() : 0;
    }
  }
  return n;
}

void ls_close(ls_model *m) {
  delete m;
  mx::clear_cache();
}

// The bytes of one head's key or value of one token.
static size_t kv_row(const ls_model *m) {
  return m->config.graph ? m->config.head_dim * mx::size_of(m->kv_dtype)
                         : m->kv.row(m->config.head_dim);
}

const char *ls_kv_format(const ls_model *m) {
  if (m->config.graph) {
    return m->kv_dtype == mx::float32 ? "f32" : m->kv_dtype == mx::float16 ? "f16" : "bf16";
  }
  return m->kv.bits == 32 ? "f32" : m->kv.bits == 16 ? "f16" : m->kv.bits == 8 ? "q8" : "q4";
}

int32_t ls_activation_bits(const ls_model *m) { return m->rounds ? m->config.activation_bits : 0; }

void ls_kv_bytes_per_token(const ls_model *m, int64_t *global, int64_t *sliding) {
  *global = *sliding = 0;
  for (const Layer &l : m->layers) {
    *(l.sliding ? sliding : global) += int64_t(2) * m->config.kv_heads * kv_row(m);
  }
}

void ls_kv_free(ls_model *m) {
  m->later.stop();
  for (Layer &l : m->layers) {
    l.keys.reset();
    l.values.reset();
  }
  m->block_tokens = 0;
  mx::clear_cache();
}

// Has the system allocate the pages of the cache, which is nearly all of the time of ls_kv_alloc.
// All threads write to the first 256 MB at once, which is all of a small cache. The rest is
// allocated by a background thread while the model computes nothing, or by the step that uses it
// first. It is not all done here because a virtual machine may get less than 1 GB a second from its
// host.
static void touch(ls_model *m) {
  struct Piece {
    char *at;
    size_t bytes;
  };
  // Blocks are used from the first one on, and so are the vectors of each head.
  std::vector<Piece> pieces;
  bool more = true;
  for (size_t from = 0; more; from += large_page) {
    more = false;
    for (Layer &l : m->layers) {
      for (array *cache : {&*l.keys, &*l.values}) {
        const size_t head = cache->nbytes() / m->config.kv_heads;
        for (int h = 0; h < m->config.kv_heads && from < head; h++) {
          char *at = cache->data<char>() + h * head + from;
          pieces.push_back({at, std::min(large_page, head - from)});
          more = true;
        }
      }
    }
  }
  constexpr size_t at_once = 256 << 20;
  size_t bytes = 0;
  int first = 0;
  // MLX's own operations may move the cache.
  const bool wait = !can_populate || m->config.graph;
  while (first < int(pieces.size()) && (bytes < at_once || wait)) {
    bytes += pieces[first++].bytes;
  }
  Pool::shared().run(first, [&](int i) { std::memset(pieces[i].at, 0, pieces[i].bytes); });
  pieces.erase(pieces.begin(), pieces.begin() + first);
  m->later.run([pieces](auto go) {
    for (size_t i = 0; i < pieces.size() && go(); i++) {
      populate(pieces[i].at, pieces[i].bytes);
    }
  });
}

int ls_kv_alloc(ls_model *m, int32_t blocks, int32_t window_slots, int32_t block_tokens, char *err,
                size_t errlen) {
  int rc = guard(err, errlen, [&] {
    const int width = m->config.graph ? m->config.head_dim : int(kv_row(m));
    for (Layer &l : m->layers) {
      const mx::Shape shape{m->config.kv_heads, (l.sliding ? window_slots : blocks) * block_tokens,
                            width};
      for (auto *cache : {&l.keys, &l.values}) {
        *cache = empty(shape, m->kv_dtype);
        prefer_large_pages((*cache)->data<char>(), (*cache)->nbytes());
      }
    }
    touch(m);
    m->block_tokens = block_tokens;
  });
  if (rc != 0) {
    ls_kv_free(m);
  }
  return rc;
}

// Calls f(p, n, sliding) for every stretch of n bytes at p that holds one layer's keys or values of
// one head of the first tokens tokens of a block and a window slot, in the order that ls_kv_read
// documents. The cache is evaluated and, also on a GPU, in memory that the CPU can address.
template <typename F>
static void each_stretch(ls_model *m, int block, int window_slot, int tokens, F &&f) {
  const size_t row = kv_row(m);
  for (Layer &l : m->layers) {
    const int at = l.sliding ? window_slot : block;
    if (at < 0) {
      continue;
    }
    for (array *cache : {&*l.keys, &*l.values}) {
      char *base = cache->data<char>();
      const size_t head = size_t(cache->shape(1)) * row;
      for (int h = 0; h < m->config.kv_heads; h++) {
        f(base + h * head + size_t(at) * m->block_tokens * row, tokens * row, l.sliding);
      }
    }
  }
}

int ls_kv_copy(ls_model *m, int32_t dst, int32_t src, int32_t dst_slot, int32_t src_slot,
               int32_t tokens, char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    const ptrdiff_t row = kv_row(m);
    const ptrdiff_t global = (ptrdiff_t(src) - dst) * m->block_tokens * row;
    const ptrdiff_t window = (ptrdiff_t(src_slot) - dst_slot) * m->block_tokens * row;
    each_stretch(m, dst, dst_slot, tokens, [&](char *p, size_t n, bool sliding) {
      std::memmove(p, p + (sliding ? window : global), n);
    });
  });
}

int ls_kv_read(ls_model *m, int32_t block, int32_t window_slot, int32_t tokens, uint8_t *dst,
               char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    each_stretch(m, block, window_slot, tokens, [&](char *p, size_t n, bool) {
      std::memcpy(dst, p, n);
      dst += n;
    });
  });
}

int ls_kv_write(ls_model *m, int32_t block, int32_t window_slot, int32_t tokens, const uint8_t *src,
                char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    each_stretch(m, block, window_slot, tokens, [&](char *p, size_t n, bool) {
      std::memcpy(p, src, n);
      src += n;
    });
  });
}

int ls_step(ls_model *m, const int32_t *tokens, const int32_t *lens, const int32_t *starts,
            int32_t nseqs, const int32_t *tables, const int32_t *window_slots, const int32_t *rows,
            int32_t nrows, float *logits, const int32_t *picks, int32_t npicks, int32_t *best,
            char *err, size_t errlen) {
  return guard(err, errlen, [&] {
    auto b = std::make_shared<Batch>();
    b->block_tokens = m->block_tokens;
    int first = 0;
    for (int i = 0; i < nseqs; i++) {
      const int end = starts[i] + lens[i], blocks = (end + m->block_tokens - 1) / m->block_tokens;
      b->seqs.push_back({first,
                         lens[i],
                         starts[i],
                         {{tables, tables + blocks}, {window_slots, window_slots + blocks}}});
      tables += blocks;
      window_slots += blocks;
      first += lens[i];
      for (int p = starts[i]; p < end; p++) {
        b->positions.push_back(p);
        for (bool sliding : {false, true}) {
          const int block = b->seqs.back().table[sliding][p / m->block_tokens];
          b->cells[sliding].push_back(block * m->block_tokens + p % m->block_tokens);
        }
      }
    }
    b->tokens.assign(tokens, tokens + first);
    // Rows and picks go into one list, in the order of their tokens. The product with the head is
    // then the same to the last bit, whichever of its rows are picks.
    std::vector<Output> outputs;
    for (int r = 0, p = 0; r < nrows || p < npicks;) {
      if (p == npicks || (r < nrows && rows[r] < picks[p])) {
        outputs.push_back({rows[r], logits + size_t(r) * m->config.vocab, nullptr});
        r++;
      } else {
        outputs.push_back({picks[p], nullptr, best + p});
        p++;
      }
    }
    m->step(b, outputs);
  });
}

void ls_memory(uint64_t *active, uint64_t *cached) {
  *active = mx::get_active_memory();
  *cached = mx::get_cache_memory();
}
