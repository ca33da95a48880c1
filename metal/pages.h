// Memory for weights and caches, in large pages where the system has them (Linux).
//
// What a decode step walks through is hundreds of megabytes: in pages of 4 KiB their first touch costs a fault each, most of
// a cache's allocation (256 MiB: 150 ms of processor time and 30 ms), and their reading a miss of the TLB each: a plain sum over 280 MB ran 1.6
// to 2.2 times as fast with pages of 2 MiB.
#ifndef LOADSTONE_PAGES_H
#define LOADSTONE_PAGES_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace ls {

constexpr size_t large_page = 2 << 20;

// Asks for large pages under those of n bytes from p on that are whole ones. To be called before they are touched.
inline void prefer_large_pages([[maybe_unused]] void *p, [[maybe_unused]] size_t n) {
#ifdef __linux__
  const uintptr_t from = (reinterpret_cast<uintptr_t>(p) + large_page - 1) & ~uintptr_t(large_page - 1);
  const uintptr_t to = (reinterpret_cast<uintptr_t>(p) + n) & ~uintptr_t(large_page - 1);
  if (from < to) {
    madvise(reinterpret_cast<void *>(from), to - from, MADV_HUGEPAGE); // without them it is slower, no more
  }
#endif
}

// Hands out memory that lives until all of a chunk's pieces are dropped: tensors of less than a large page share one.
class Arena {
public:
  // n bytes, aligned to 64.
  std::shared_ptr<uint8_t> take(size_t n) {
    n = (n + 63) & ~size_t(63);
    if (n > left_) {
      const size_t size = (std::max(n, chunk) + large_page - 1) & ~(large_page - 1);
      auto *p = static_cast<uint8_t *>(std::aligned_alloc(large_page, size));
      if (p == nullptr) {
        throw std::bad_alloc();
      }
      prefer_large_pages(p, size);
      base_ = std::shared_ptr<uint8_t>(p, std::free);
      at_ = 0, left_ = size;
    }
    std::shared_ptr<uint8_t> piece(base_, base_.get() + at_);
    at_ += n, left_ -= n;
    return piece;
  }

private:
  static constexpr size_t chunk = 32 << 20; // of which only what is touched takes memory
  std::shared_ptr<uint8_t> base_;
  size_t at_ = 0, left_ = 0;
};

} // namespace ls

#endif
