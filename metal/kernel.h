// A CPU kernel as an MLX primitive whose work is a function of its output.
#ifndef LOADSTONE_KERNEL_H
#define LOADSTONE_KERNEL_H

#include "internal.h"

#include <functional>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/primitives.h"

namespace ls {
namespace kernels {

// Like MLX's own primitives it hands the work to the stream's thread and holds its output weakly there: the evaluator
// keeps it alive until the task has run.
class Kernel : public mx::Primitive {
public:
  using Work = std::function<void(float *out)>;
  Kernel(const char *name, Work work)
      : mx::Primitive(mx::default_stream(mx::Device::cpu)), name_(name), work_(std::move(work)) {}

  void eval_cpu(const std::vector<array> &, std::vector<array> &outputs) override {
    outputs[0].set_data(mx::allocator::malloc(outputs[0].nbytes()));
    mx::cpu::get_command_encoder(stream()).dispatch(
        [work = work_, out = array::unsafe_weak_copy(outputs[0])]() mutable { work(out.data<float>()); });
  }
  void eval_gpu(const std::vector<array> &, std::vector<array> &) override {
    throw std::runtime_error(std::string(name_) + " runs on the CPU only");
  }
  const char *name() const override { return name_; }

private:
  const char *name_;
  Work work_;
};

inline array make(const char *name, const mx::Shape &shape, Kernel::Work work) {
  return array(shape, mx::float32, std::make_shared<Kernel>(name, std::move(work)), {});
}

} // namespace kernels
} // namespace ls

#endif
