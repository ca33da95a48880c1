// Memory for weights and caches, in large pages where the system has them (Linux).
//
// A decode step reads hundreds of megabytes. In pages of 4 KiB the first touch of each page costs a
// fault, which is most of the time of a cache's allocation (256 MiB took 150 ms of processor time,
// and 30 ms in large pages), and each page costs a miss of the TLB when it is read: a plain sum
// over 280 MB ran 1.6 to 2.2 times as fast with pages of 2 MiB.
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

// Asks for large pages where they lie wholly within the n bytes from p on. It has to be called
// before the bytes are touched.
inline void prefer_large_pages([[maybe_unused]] void *p, [[maybe_unused]] size_t n) {
#ifdef __linux__
  const uintptr_t from =
      (reinterpret_cast<uintptr_t>(p) + large_page - 1) & ~uintptr_t(large_page - 1);
  const uintptr_t to = (reinterpret_cast<uintptr_t>(p) + n) & ~uintptr_t(large_page - 1);
  if (from < to) {
    // Where it fails, everything is slower but right.
    madvise(reinterpret_cast<void *>(from), to - from, MADV_HUGEPAGE);
  }
#endif
}

#ifdef MADV_POPULATE_WRITE
constexpr bool can_populate = true;
#else
constexpr bool can_populate = false;
#endif

// Has the system allocate the pages that lie wholly within the n bytes from p on, as their first
// write would, but without changing their contents. Where it fails, that write allocates them.
inline void populate([[maybe_unused]] void *p, [[maybe_unused]] size_t n) {
#ifdef MADV_POPULATE_WRITE
  const uintptr_t page = 4096, from = (reinterpret_cast<uintptr_t>(p) + page - 1) & ~(page - 1);
  const uintptr_t to = (reinterpret_cast<uintptr_t>(p) + n) & ~(page - 1);
  if (from < to) {
    madvise(reinterpret_cast<void *>(from), to - from, MADV_POPULATE_WRITE);
  }
#endif
}

// Hands out pieces of memory from large regions, so that tensors of less than a large page share
// one. A region lives until all of its pieces are dropped.
class Arena {
public:
  // Returns n bytes, aligned to 64.
  std::shared_ptr<uint8_t> take(size_t n) {
    n = (n + 63) & ~size_t(63);
#ifdef __SANITIZE_ADDRESS__
    // Each piece is allocated by itself, so that AddressSanitizer sees accesses beyond its end.
    auto *own = static_cast<uint8_t *>(std::aligned_alloc(64, std::max<size_t>(n, 64)));
    if (own == nullptr) {
      throw std::bad_alloc();
    }
    return {own, std::free};
#endif
    if (n > left_) {
      const size_t size = (std::max(n, region) + large_page - 1) & ~(large_page - 1);
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
  static constexpr size_t region = 32 << 20; // only the pages that are touched take memory
  std::shared_ptr<uint8_t> base_;
  size_t at_ = 0, left_ = 0;
};

} // namespace ls

#endif
