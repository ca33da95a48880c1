// Background work that runs only while the model computes nothing.
#ifndef LOADSTONE_LATER_H
#define LOADSTONE_LATER_H

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace ls {

// A background thread that works only while no Busy exists and 20 milliseconds have passed since
// the last one. On Linux it also yields to all other threads that want its processor (SCHED_IDLE).
// It ends when its work is done, or soon after stop.
class Later {
public:
  ~Later() { stop(); }

  // Calls f(go) on the thread. f calls go() before each small piece of its work. go returns true
  // once the thread may work, and false where f must return.
  template <typename F> void run(F f) {
    stop();
    stop_ = false;
    thread_ = std::thread([this, f = std::move(f)] {
#ifdef __linux__
      const sched_param none = {};
      pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
#endif
      f([this] { return go(); });
    });
  }

  void stop() {
    stop_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  // While a Busy exists, the model computes and the thread waits. At most one exists at a time.
  class Busy {
  public:
    explicit Busy(Later &l) : later_(l) { later_.busy_ = true; }
    ~Busy() {
      later_.worked_ = std::chrono::steady_clock::now();
      later_.busy_ = false;
    }
    Busy(const Busy &) = delete;
    Busy &operator=(const Busy &) = delete;

  private:
    Later &later_;
  };

private:
  // SCHED_IDLE alone is not enough: a system call of the thread may take milliseconds that cannot
  // be interrupted, and the kernels' threads, which yield while they wait for each other, then wait
  // for it. Without go, steps of 8 ms took 450 ms until 1.5 GB of the cache had been touched.
  bool go() {
    using namespace std::chrono_literals;
    while (!stop_ && (busy_ || std::chrono::steady_clock::now() - worked_.load() < 20ms)) {
      std::this_thread::sleep_for(5ms);
    }
    return !stop_;
  }

  std::thread thread_;
  std::atomic<bool> stop_{false}, busy_{false};
  std::atomic<std::chrono::steady_clock::time_point> worked_{};
};

} // namespace ls

#endif
