//go:build mlx

// The sums of a network that several processes compute together, over MLX's ring of TCP
// connections.

#include "internal.h"

#include <cstdlib>
#include <cstring>

#include "mlx/distributed/distributed.h"
#include "mlx/distributed/ops.h"

namespace ls {
namespace {

std::optional<mx::distributed::Group> group;
int joined_as = -1; // the rank of this process

} // namespace

array sum_parts(const array &x) {
  return group ? mx::distributed::all_sum(x, group) : x;
}

// A step runs on the thread of an MLX stream, which cannot wait for another task of that stream. So
// the sums have a stream of their own. It is made here, on that thread, because MLX requires that
// the thread which waits for a stream has made it.
void sum_parts(float *x, size_t n) {
  if (!group) {
    return;
  }
  static thread_local const mx::Stream stream = mx::new_stream(mx::Device::cpu);
  array part = empty({int(n)}, mx::float32);
  std::memcpy(part.data<float>(), x, n * sizeof(float));
  array sum = mx::distributed::all_sum(part, group, stream);
  sum.eval();
  std::memcpy(x, sum.data<float>(), n * sizeof(float));
}

} // namespace ls

int ls_join(const char *hosts, int32_t rank, int32_t parts, char *err, size_t errlen) {
  return ls::guard(err, errlen, [&] {
    if (ls::group && rank == ls::joined_as && parts == ls::group->size()) {
      return;
    }
    if (ls::group) {
      throw std::runtime_error("this process is another part already");
    }
    setenv("MLX_RANK", std::to_string(rank).c_str(), 1);
    setenv("MLX_HOSTFILE", hosts, 1);
    auto joined = ls::mx::distributed::init(true, "ring");
    if (joined.size() != parts) {
      throw std::runtime_error("the ring has another number of parts");
    }
    ls::group = joined;
    ls::joined_as = rank;
  });
}
