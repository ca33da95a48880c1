// The threads that this package's kernels share. There is one for each processor, and the caller is
// one of them.
#ifndef LOADSTONE_POOL_H
#define LOADSTONE_POOL_H

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>

namespace ls {

class Pool {
public:
  static Pool &shared() {
    static Pool *p = new Pool; // never destroyed: its threads may outlive main
    return *p;
  }

  int threads() const { return threads_; }

  // Calls f(i) for every i < n < 2^24, on all threads, and returns when all calls have returned.
  // Each thread begins with a share of its own and goes through it in order, because neighbouring
  // memory is read faster by one thread than by two threads in turns (plain sums over pieces of 64
  // KiB in turns ran at 46 GB/s, over halves at 60). A thread that has finished its share takes
  // calls from the ends of the other threads' shares.
  template <typename F> void run(int n, F &&f) {
    // Inside f, or while another caller is at work, the caller makes all calls itself.
    if (n <= 1 || threads_ == 1 || busy_.exchange(true, std::memory_order_acquire)) {
      for (int i = 0; i < n; i++) {
        f(i);
      }
      return;
    }
    call_ = [](void *arg, int i) { (*static_cast<std::remove_reference_t<F> *>(arg))(i); };
    arg_ = &f;
    done_.store(0, std::memory_order_relaxed);
    const uint64_t round = round_.load(std::memory_order_relaxed) + 1;
    for (int t = 0; t < threads_; t++) {
      const uint64_t from = int64_t(n) * t / threads_, to = int64_t(n) * (t + 1) / threads_;
      shares_[t].left.store(round << 48 | from << 24 | to, std::memory_order_release);
    }
    round_.store(unsigned(round), std::memory_order_release);
    round_.notify_all();
    work(0);
    for (int i = 0; done_.load(std::memory_order_acquire) < n; i++) {
      pause(i);
    }
    busy_.store(false, std::memory_order_release);
  }

private:
  Pool()
      : threads_(std::max(1, int(std::thread::hardware_concurrency()))),
        shares_(new Share[threads_]) {
    for (int t = 1; t < threads_; t++) {
      std::thread([this, t] { loop(t); }).detach();
    }
  }

  // The rest of a thread's share: the round, the first i and the i after the last, in 16, 24 and 24
  // bits. A thread that takes an i knows that the round of that i is still going on, because run
  // waits for it. A thread that comes late finds none to take, so run never waits for a thread that
  // the system has suspended between two calls.
  struct alignas(64) Share {
    std::atomic<uint64_t> left{0};
  };

  void work(int thread) {
    take(shares_[thread].left, [](uint64_t left) { return left >> 24 & 0xffffff; }, 1 << 24);
    for (int t = 1; t < threads_; t++) {
      take(
          shares_[(thread + t) % threads_].left,
          [](uint64_t left) { return (left & 0xffffff) - 1; }, -1);
    }
  }

  // Calls f with the i that which picks of a share, as long as the share has any. Adding change to
  // the share removes that i from it.
  template <typename Which> void take(std::atomic<uint64_t> &share, Which &&which, int64_t change) {
    uint64_t left = share.load(std::memory_order_acquire);
    while ((left >> 24 & 0xffffff) < (left & 0xffffff)) {
      if (share.compare_exchange_weak(left, left + change, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        call_(arg_, int(which(left)));
        done_.fetch_add(1, std::memory_order_release);
        left = share.load(std::memory_order_acquire);
      }
    }
  }

  // A decode step calls run a few hundred times, a tenth of a millisecond apart. Polling for the
  // next round for a short time before sleeping saves most of the wake-ups. Polling for longer
  // would take the processor from all other threads.
  void loop(int thread) {
    for (unsigned seen = 0;;) {
      for (int i = 0; i < 1000 && round_.load(std::memory_order_acquire) == seen; i++) {
        pause(i);
      }
      round_.wait(seen, std::memory_order_acquire);
      seen = round_.load(std::memory_order_acquire);
      work(thread);
    }
  }

  // What a thread does after its i-th poll in vain: it keeps the processor for some microseconds,
  // and from then on offers it to other threads.
  static void pause(int i) {
    if (i < 800) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
    } else {
      std::this_thread::yield();
    }
  }

  const int threads_;
  std::unique_ptr<Share[]> shares_;
  std::atomic<bool> busy_{false};
  std::atomic<unsigned> round_{0};
  std::atomic<int> done_{0};
  void (*call_)(void *, int) = nullptr;
  void *arg_ = nullptr;
};

} // namespace ls

#endif
