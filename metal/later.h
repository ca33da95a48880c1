// Work that has time.
#ifndef LOADSTONE_LATER_H
#define LOADSTONE_LATER_H

#include <atomic>
#include <thread>
#include <utility>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace ls {

// A thread that works while no other wants its processor (Linux). It ends when its work is done, or
// soon after it is told to stop.
class Later {
public:
  ~Later() { stop(); }

  // Calls f(stop) on the thread. f returns when it is done or once stop is true.
  template <typename F> void run(F f) {
    stop();
    stop_ = false;
    thread_ = std::thread([this, f = std::move(f)] {
#ifdef __linux__
      const sched_param none = {};
      pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
#endif
      f(stop_);
    });
  }

  void stop() {
    stop_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }

private:
  std::thread thread_;
  std::atomic<bool> stop_{false};
};

} // namespace ls

#endif
