// A CPU kernel as an MLX primitive whose work is a function of its inputs and its output.
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
class Kernel : public mx::UnaryPrimitive {
public:
  using Work = std::function<void(const std::vector<array> &in, array &out)>;
  Kernel(const char *name, Work work)
      : mx::UnaryPrimitive(mx::default_stream(mx::Device::cpu)), name_(name), work_(std::move(work)) {}

  void eval_cpu(const std::vector<array> &inputs, array &out) override {
    for (const array &a : inputs) {
      if (a.dtype() != mx::float32 || !a.flags().row_contiguous) {
        throw std::runtime_error(std::string(name_) + ": an input is not contiguous float32");
      }
    }
    out.set_data(mx::allocator::malloc(out.nbytes()));
    std::vector<array> in;
    for (const array &a : inputs) {
      in.push_back(array::unsafe_weak_copy(a));
    }
    mx::cpu::get_command_encoder(stream()).dispatch(
        [work = work_, in = std::move(in), out = array::unsafe_weak_copy(out)]() mutable { work(in, out); });
  }
  void eval_gpu(const std::vector<array> &, array &) override {
    throw std::runtime_error(std::string(name_) + " runs on the CPU only");
  }
  const char *name() const override { return name_; }

private:
  const char *name_;
  Work work_;
};

inline array make(const char *name, const mx::Shape &shape, Kernel::Work work, std::vector<array> inputs) {
  return array(shape, mx::float32, std::make_shared<Kernel>(name, std::move(work)), std::move(inputs));
}

} // namespace kernels
} // namespace ls

#endif
