// The threads that this package's kernels share: one for each processor, the caller being one of them.
#ifndef LOADSTONE_POOL_H
#define LOADSTONE_POOL_H

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>

namespace ls {

class Pool {
public:
  static Pool &shared() {
    static Pool *p = new Pool; // never destroyed: its threads may outlive main
    return *p;
  }

  int threads() const { return workers_ + 1; }

  // Calls f(i) for every i < n < 2^24, in any order, on all threads, and returns when all are done.
  template <typename F> void run(int n, F &&f) {
    // Inside f, or beside another caller, the caller does it all.
    if (n <= 1 || workers_ == 0 || busy_.exchange(true, std::memory_order_acquire)) {
      for (int i = 0; i < n; i++) {
        f(i);
      }
      return;
    }
    call_ = [](void *arg, int i) { (*static_cast<std::remove_reference_t<F> *>(arg))(i); };
    arg_ = &f;
    done_.store(0, std::memory_order_relaxed);
    const uint64_t round = round_.load(std::memory_order_relaxed) + 1;
    ticket_.store(round << 48 | uint64_t(n), std::memory_order_release);
    round_.store(unsigned(round), std::memory_order_release);
    round_.notify_all();
    work();
    while (done_.load(std::memory_order_acquire) < n) {
      std::this_thread::yield();
    }
    busy_.store(false, std::memory_order_release);
  }

private:
  Pool() {
    workers_ = std::max(1, int(std::thread::hardware_concurrency())) - 1;
    for (int i = 0; i < workers_; i++) {
      std::thread([this] { loop(); }).detach();
    }
  }

  // A ticket is the round, the next i and n: 16, 24 and 24 bits. Who takes an i knows that its round is still on, for
  // run waits for it; who comes late takes none, and nobody waits for a thread that the system has put aside.
  void work() {
    uint64_t t = ticket_.load(std::memory_order_acquire);
    while ((t >> 24 & 0xffffff) < (t & 0xffffff)) {
      if (ticket_.compare_exchange_weak(t, t + (1 << 24), std::memory_order_acq_rel, std::memory_order_acquire)) {
        call_(arg_, int(t >> 24 & 0xffffff));
        done_.fetch_add(1, std::memory_order_release);
        t = ticket_.load(std::memory_order_acquire);
      }
    }
  }

  // A decode step calls run a few hundred times, a tenth of a millisecond apart: looking for the next round a little
  // before sleeping saves most of the wake-ups. More than that would take the processor from everybody else.
  void loop() {
    for (unsigned seen = 0;;) {
      for (int i = 0; i < 200 && round_.load(std::memory_order_acquire) == seen; i++) {
        std::this_thread::yield();
      }
      round_.wait(seen, std::memory_order_acquire);
      seen = round_.load(std::memory_order_acquire);
      work();
    }
  }

  int workers_ = 0;
  std::atomic<bool> busy_{false};
  std::atomic<unsigned> round_{0};
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int> done_{0};
  void (*call_)(void *, int) = nullptr;
  void *arg_ = nullptr;
};

} // namespace ls

#endif
