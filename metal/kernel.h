// CPU kernels as MLX primitives whose work is a function of their inputs and their outputs.
#ifndef LOADSTONE_KERNEL_H
#define LOADSTONE_KERNEL_H

#include "internal.h"

#include <functional>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/primitives.h"

namespace ls {
namespace kernels {

// Like MLX's own primitives it hands the work to the stream's thread and holds its arguments weakly there: the
// evaluator keeps them alive until the task has run.
class Kernel : public mx::Primitive {
public:
  using Work = std::function<void(const std::vector<array> &in, std::vector<array> &out)>;
  Kernel(const char *name, Work work)
      : mx::Primitive(mx::default_stream(mx::Device::cpu)), name_(name), work_(std::move(work)) {}

  void eval_cpu(const std::vector<array> &inputs, std::vector<array> &outputs) override {
    for (const array &a : inputs) {
      if (!a.flags().row_contiguous) {
        throw std::runtime_error(std::string(name_) + ": an input is not contiguous");
      }
    }
    std::vector<array> in, out;
    for (const array &a : inputs) {
      in.push_back(array::unsafe_weak_copy(a));
    }
    for (array &a : outputs) {
      a.set_data(mx::allocator::malloc(a.nbytes()));
      out.push_back(array::unsafe_weak_copy(a));
    }
    mx::cpu::get_command_encoder(stream()).dispatch(
        [work = work_, in = std::move(in), out = std::move(out)]() mutable { work(in, out); });
  }
  void eval_gpu(const std::vector<array> &, std::vector<array> &) override {
    throw std::runtime_error(std::string(name_) + " runs on the CPU only");
  }
  const char *name() const override { return name_; }

private:
  const char *name_;
  Work work_;
};

inline std::vector<array> make(const char *name, const std::vector<mx::Shape> &shapes, Kernel::Work work,
                               std::vector<array> inputs) {
  return array::make_arrays(shapes, std::vector<mx::Dtype>(shapes.size(), mx::float32),
                            std::make_shared<Kernel>(name, std::move(work)), inputs);
}

// With one output.
template <typename F> array make(const char *name, const mx::Shape &shape, F work, std::vector<array> inputs) {
  return array(shape, mx::float32,
               std::make_shared<Kernel>(name, [work = std::move(work)](const std::vector<array> &in,
                                                                       std::vector<array> &out) { work(in, out[0]); }),
               std::move(inputs));
}

} // namespace kernels
} // namespace ls

#endif
