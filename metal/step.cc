//go:build mlx

// A step through the network as one MLX primitive of our own; attention is in attention.cc.
//
// On a CPU MLX composes a norm or a gated unit from a dozen small operations, each of which is a
// pass over memory and a task for its worker thread, and a decode step is made of small operations.
// Here everything between two products is done row by row while the rows are quantised for the
// second product. Four primitives a layer with MLX's graph between them were tried: MLX's evaluator
// wakes up whenever one of them is done, and took a processor from the products 120 times a step of
// SmolLM2. BenchmarkDecode compares this with MLX's own operations (graph=true).

#include "product.h"
#include "simd.h"

#include <algorithm>
#include <cmath>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/primitives.h"

namespace ls {
namespace kernels {
namespace {

// y = rms_norm(x) * w; y may be x.
template <int LANES>
LS_INLINE void norm_row_of(const float *x, const float *w, float *y, int n, float eps) {
  const float inv = 1 / std::sqrt(simd::dot<LANES>(x, x, n) / n + eps);
  for (int i = 0; i < n; i++) {
    y[i] = x[i] * inv * w[i];
  }
}
LS_WIDTHS(void, norm_row, norm_row_of,
          (const float *x, const float *w, float *y, int n, float eps), x, w, y, n, eps)

LS_CLONES void add_row(const float *x, float *y, int n) {
  for (int i = 0; i < n; i++) {
    y[i] += x[i];
  }
}

// y = act(gate) * up, where act is GELU (tanh approximation) or SiLU.
template <int LANES>
LS_INLINE void glu_row_of(const float *gate, const float *up, float *y, int n, bool gelu) {
  // The tanh form of GELU is x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3); SiLU is x *
  // sigmoid(x).
  const float a = gelu ? -1.5957691216057308f : -1, b = gelu ? a * 0.044715f : 0;
  for (int i = 0; i < n; i += LANES) {
    const auto g = simd::load<LANES>(gate + i, n - i), u = simd::load<LANES>(up + i, n - i);
    simd::store<LANES>(y + i, g * u / (1 + simd::exp<LANES>(g * (a + b * g * g))), n - i);
  }
}
LS_WIDTHS(void, glu_row, glu_row_of,
          (const float *gate, const float *up, float *y, int n, bool gelu), gate, up, y, n, gelu)

// Replaces scores by their softmax: positive numbers that sum to 1.
void softmax_row(float *x, int n) {
  const float top = *std::max_element(x, x + n);
  float sum = 0;
  for (int i = 0; i < n; i++) {
    sum += x[i] = std::exp(x[i] - top);
  }
  for (int i = 0; i < n; i++) {
    x[i] /= sum;
  }
}

// The results that an MLP computes before its last product, for some rows.
struct Unit {
  std::vector<float> gate, up;
  Operand inner; // act(gate) * up
};

// Memory that lasts from one step to the next. One stream runs all steps, one after the other.
struct Scratch {
  Operand x;
  Unit unit;
  std::vector<float> q, k, v, attended, y;
};

Scratch &scratch() {
  static Scratch s;
  return s;
}

// One step. Its rows are the tokens of the batch.
class Step {
public:
  Step(const ls_model &model, const Batch &batch, float *h)
      : model_(model), c_(model.config), batch_(batch), rows_(int(batch.tokens.size())), h_(h) {}

  void run(const std::vector<Output> &outputs) {
    embed();
    const RopeTable none, global(batch_.positions, model_.ropes[0]),
        sliding(batch_.positions, model_.ropes[1]);
    for (const Layer &l : model_.layers) {
      attention(l, !l.rotates ? none : l.sliding ? sliding : global);
      // At most 256 rows at a time, so that the numbers between the products stay in the
      // second-level cache.
      constexpr int max_rows = 256;
      for (int first = 0; first < rows_; first += max_rows) {
        const int rows = std::min(max_rows, rows_ - first);
        float *h = h_ + size_t(first) * c_.hidden;
        l.router ? mixture(l, h, rows) : mlp(l, h, rows);
      }
    }
    // The head is the largest matrix of all, and a long prompt needs it for one row at most.
    if (!outputs.empty()) {
      head(outputs);
    }
  }

private:
  void embed() {
    each_row(rows_, [&](int r) {
      float *row = h_ + size_t(r) * c_.hidden;
      model_.embed.row(batch_.tokens[r], row);
      for (int i = 0; i < c_.hidden; i++) {
        row[i] *= c_.embedding_scale;
      }
    });
  }

  void attention(const Layer &l, const RopeTable &rope) {
    normed(h_, rows_, l.attn_norm, {&l.q, &l.k, &l.v});
    Scratch &s = scratch();
    for (auto [buffer, w] : {std::pair(&s.q, &l.q), {&s.k, &l.k}, {&s.v, &l.v}}) {
      buffer->resize(size_t(rows_) * w->outputs);
    }
    s.x.multiply({{&l.q, s.q.data()}, {&l.k, s.k.data()}, {&l.v, s.v.data()}});
    s.attended.resize(s.q.size());
    attend(l, s.q.data(), s.k.data(), s.v.data(), c_, model_.kv, batch_, rope, s.attended.data());
    s.x.fill(rows_, l.o.inputs, {&l.o},
             [&](int r, float *) { return s.attended.data() + size_t(r) * l.o.inputs; });
    close(s.x, l.o, l.post_attn_norm, h_, rows_);
  }

  void mlp(const Layer &l, float *h, int rows) {
    Scratch &s = scratch();
    normed(h, rows, l.mlp_norm, {&l.mlp.gate, &l.mlp.up});
    gated(l.mlp, s.x, rows, s.unit);
    close(s.unit.inner, l.mlp.down, l.post_mlp_norm, h, rows);
  }

  // Makes act(gate) * up of rows x, in unit.inner.
  void gated(const MLP &m, const Operand &x, int rows, Unit &unit) const {
    const int inner = m.gate.outputs;
    unit.gate.resize(size_t(rows) * inner), unit.up.resize(size_t(rows) * inner);
    x.multiply({{&m.gate, unit.gate.data()}, {&m.up, unit.up.data()}});
    unit.inner.fill(rows, inner, {&m.down}, [&](int r, float *y) {
      glu_row(unit.gate.data() + size_t(r) * inner, unit.up.data() + size_t(r) * inner, y, inner,
              c_.gelu != 0);
      return y;
    });
  }

  // Which rows go to which expert.
  struct Routes {
    struct Place {
      int row, slot; // the slots of a row are its experts in their order
      float share;
    };
    std::vector<std::vector<Place>> of; // by expert
    std::vector<int> used;              // experts that have rows
  };

  // Like mlp, with the experts that the router chooses for each row. A row's result is the same to
  // the last bit whatever the other rows are: its products are, and what its experts make of it is
  // added up in the order of the experts.
  void mixture(const Layer &l, float *h, int rows) {
    Scratch &s = scratch();
    const int n = c_.hidden, k = c_.active_experts;
    std::vector<float> &x = s.attended; // the rows after the norm
    x.resize(size_t(rows) * n);
    s.x.fill(rows, n, {&*l.router}, [&](int r, float *) {
      float *row = x.data() + size_t(r) * n;
      norm_row(h + size_t(r) * n, l.mlp_norm.data<float>(), row, n, c_.eps);
      return row;
    });
    std::vector<float> &scores = s.q;
    scores.resize(size_t(rows) * c_.experts);
    s.x.multiply({{&*l.router, scores.data()}});
    const Routes routes = choose(scores.data(), rows);

    s.y.resize(size_t(rows) * k * n); // by row, what each of its experts makes of it
    auto run = [&](int i) {
      const int id = routes.used[i];
      expert(l.experts[id], routes.of[id], x.data(), s.y.data());
    };
    // A thread takes whole experts where there are enough of them; otherwise all threads share one.
    const int used = int(routes.used.size());
    if (used >= 2 * Pool::shared().threads()) {
      Pool::shared().run(used, run);
    } else {
      for (int i = 0; i < used; i++) {
        run(i);
      }
    }
    add_experts(l, s.y.data(), x.data(), h, rows);
  }

  // Computes the rows of one expert, each times its share, from x, rows x hidden, to y, rows x
  // slots x hidden.
  void expert(const MLP &m, const std::vector<Routes::Place> &places, const float *x, float *y) {
    static thread_local Operand in; // threads of the pool never end
    static thread_local Unit unit;
    static thread_local std::vector<float> own;
    const int n = c_.hidden, k = c_.active_experts, count = int(places.size());
    in.fill(count, n, {&m.gate, &m.up},
            [&](int r, float *) { return x + size_t(places[r].row) * n; });
    gated(m, in, count, unit);
    own.resize(size_t(count) * n);
    unit.inner.multiply({{&m.down, own.data()}});
    for (int r = 0; r < count; r++) {
      float *to = y + (size_t(places[r].row) * k + places[r].slot) * n;
      for (int j = 0; j < n; j++) {
        to[j] = own[size_t(r) * n + j] * places[r].share;
      }
    }
  }

  // Adds what the experts of each row made of it, y, to h. The sums take the place of x, which the
  // experts have read.
  void add_experts(const Layer &l, float *y, float *x, float *h, int rows) {
    const int n = c_.hidden, k = c_.active_experts;
    each_row(rows, [&](int r) {
      float *sum = y + size_t(r) * k * n;
      for (int slot = 1; slot < k; slot++) {
        add_row(sum + size_t(slot) * n, sum, n);
      }
      std::copy_n(sum, n, x + size_t(r) * n);
    });
    sum_parts(x, size_t(rows) * n);
    each_row(rows, [&](int r) {
      float *sum = x + size_t(r) * n;
      if (l.post_mlp_norm) {
        norm_row(sum, l.post_mlp_norm->data<float>(), sum, n, c_.eps);
      }
      add_row(sum, h + size_t(r) * n, n);
    });
  }

  // Chooses for each row the experts of the largest scores, of equals the first ones.
  Routes choose(float *scores, int rows) const {
    const int n = c_.experts, k = c_.active_experts;
    Routes routes;
    routes.of.resize(n);
    std::vector<int> order(n);
    for (int r = 0; r < rows; r++) {
      float *shares = scores + size_t(r) * n;
      softmax_row(shares, n);
      for (int i = 0; i < n; i++) {
        order[i] = i;
      }
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int a, int b) {
        return shares[a] > shares[b] || (shares[a] == shares[b] && a < b);
      });
      float sum = 1;
      if (c_.norm_shares) {
        sum = 0;
        for (int i = 0; i < k; i++) {
          sum += shares[order[i]];
        }
      }
      std::sort(order.begin(), order.begin() + k);
      for (int i = 0; i < k; i++) {
        routes.of[order[i]].push_back({r, i, shares[order[i]] / sum});
      }
    }
    for (int i = 0; i < n; i++) {
      if (!routes.of[i].empty()) {
        routes.used.push_back(i);
      }
    }
    return routes;
  }

  void head(const std::vector<Output> &outputs) {
    const Linear &w = model_.head ? *model_.head : model_.embed;
    Operand &x = scratch().x;
    x.fill(int(outputs.size()), c_.hidden, {&w}, [&](int i, float *y) {
      norm_row(h_ + size_t(outputs[i].token) * c_.hidden, model_.norm.data<float>(), y, c_.hidden,
               c_.eps);
      return y;
    });
    x.head(w, outputs, c_.final_cap);
  }

  // Fills scratch().x with rows of h, after a norm, for products with the weights.
  void normed(const float *h, int rows, const array &norm,
              const std::vector<const Linear *> &weights) {
    scratch().x.fill(rows, c_.hidden, weights, [&](int r, float *y) {
      norm_row(h + size_t(r) * c_.hidden, norm.data<float>(), y, c_.hidden, c_.eps);
      return y;
    });
  }

  // h += x W^T, or where there is a norm, h += rms_norm(x W^T) * norm.
  void close(const Operand &x, const Linear &w, const std::optional<array> &norm, float *h,
             int rows) {
    std::vector<float> &y = scratch().y;
    const int n = c_.hidden;
    y.resize(size_t(rows) * n);
    x.multiply({{&w, y.data()}});
    sum_parts(y.data(), y.size());
    each_row(rows, [&](int r) {
      float *row = y.data() + size_t(r) * n;
      if (norm) {
        norm_row(row, norm->data<float>(), row, n, c_.eps);
      }
      add_row(row, h + size_t(r) * n, n);
    });
  }

  const ls_model &model_;
  const ls_config &c_;
  const Batch &batch_;
  const int rows_;
  float *const h_; // rows x hidden; the layers add to it
};

// Like MLX's own primitives it hands the work to the stream's thread, where it holds its output
// weakly: the evaluator keeps the output alive until the task has run.
class Primitive : public mx::Primitive {
public:
  Primitive(const ls_model &model, std::shared_ptr<const Batch> batch, std::vector<Output> outputs)
      : mx::Primitive(mx::default_stream(mx::Device::cpu)), model_(model), batch_(std::move(batch)),
        outputs_(std::move(outputs)) {}

  void eval_cpu(const std::vector<array> &, std::vector<array> &rows) override {
    rows[0].set_data(mx::allocator::malloc(rows[0].nbytes()));
    mx::cpu::get_command_encoder(stream()).dispatch(
        [&model = model_, batch = batch_, outputs = outputs_,
         h = array::unsafe_weak_copy(rows[0])]() mutable {
          Step(model, *batch, h.data<float>()).run(outputs);
        });
  }
  void eval_gpu(const std::vector<array> &, std::vector<array> &) override {
    throw std::runtime_error("a step of the CPU kernels runs on the CPU only");
  }
  const char *name() const override { return "step"; }

private:
  const ls_model &model_;
  const std::shared_ptr<const Batch> batch_;
  const std::vector<Output> outputs_;
};

} // namespace

array step(const ls_model &model, std::shared_ptr<const Batch> batch, std::vector<Output> outputs) {
  const mx::Shape shape{int(batch->tokens.size()), model.config.hidden};
  return array(shape, mx::float32,
               std::make_shared<Primitive>(model, std::move(batch), std::move(outputs)), {});
}

} // namespace kernels
} // namespace ls
