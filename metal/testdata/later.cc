// Whether Later works while nobody else does. It prints what is wrong.

#include "../later.h"

#include <cstdio>
#include <memory>

using namespace std::chrono_literals;

static int failures = 0;

static void check(bool ok, const char *what) {
  if (!ok) {
    std::printf("%s\n", what);
    failures++;
  }
}

// Waits until done is true, for ten seconds at most.
static bool comes(const std::atomic<bool> &done) {
  for (int i = 0; i < 2000 && !done; i++) {
    std::this_thread::sleep_for(5ms);
  }
  return done;
}

int main() {
  ls::Later later;
  std::atomic<bool> began{false}, done{false};
  {
    const auto busy = std::make_unique<ls::Later::Busy>(later);
    later.run([&](auto go) {
      began = true;
      done = go();
    });
    check(comes(began), "the thread does not start");
    std::this_thread::sleep_for(100ms);
    check(!done, "it works while somebody else does");
  }
  check(comes(done), "it does not go on when nobody else works");

  std::atomic<bool> told{false};
  const ls::Later::Busy busy(later);
  later.run([&](auto go) { told = !go(); });
  later.stop();
  check(told, "it does not end when it is told to stop");
  return failures > 0;
}
