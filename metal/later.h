// Work that has time.
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

// A thread that works while nobody is at work: not within a Busy, and not in the 20 milliseconds
// after one. On Linux it also gives way to all other threads that want its processor. It ends when
// its work is done, or soon after it is told to stop.
class Later {
public:
  ~Later() { stop(); }

  // Calls f(go) on the thread. f calls go() before each small piece of its work; go returns once
  // nobody else is at work, and false where f must return.
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

  // While a Busy lives, its owner is at work. There is one at a time.
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
  // A thread that is scheduled as idle is not enough: what it asks of the system may take
  // milliseconds that cannot be interrupted, and the kernels' threads, which yield while they wait
  // for each other, then wait for it. Steps of 8 ms took 450 so, until 1.5 GB were touched.
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
