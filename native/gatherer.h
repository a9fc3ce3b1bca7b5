// A thread that takes in what the kernel hands over while JavaScript is busy, and does nothing while there is nothing.
// Whoever reads is told by a byte in a pipe, one until it has come.
#pragma once

#include <poll.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

#include "descriptor.h"

class Gatherer {
 public:
  // What comes first after a quiet time: waits for more like everything else, or is news that cannot wait.
  enum class First { kWaits, kIsNews };

  // `gather` runs with the lock held whenever `fd` has been readable for `pause`, so that much comes at once; news is
  // gathered as it comes, unless that was done less than a `pause` ago.
  // It returns whether there is something to be read. Throws SystemError.
  Gatherer(int fd, std::chrono::milliseconds pause, First first, std::function<bool()> gather);
  ~Gatherer();
  Gatherer(const Gatherer&) = delete;
  Gatherer& operator=(const Gatherer&) = delete;

  // For everything that `gather` touches.
  std::mutex& mutex() { return mutex_; }
  // The lock is held: the reader has come.
  void Read() { told_ = false; }
  // The end of the pipe that bytes come out of. It is the caller's from now on, and there is one only.
  Descriptor TakeNotices() { return std::move(notices_); }

 private:
  void Run();
  // Until `fd` is readable, or for so long. False when it is time to end.
  bool WaitForWork() const { return Wait(2, -1); }
  bool WaitFor(std::chrono::milliseconds time) const { return Wait(1, static_cast<int>(time.count())); }
  bool Wait(nfds_t descriptors, int timeout_ms) const;
  std::chrono::milliseconds PauseNow(std::chrono::steady_clock::time_point last) const;

  const int fd_;
  const std::chrono::milliseconds pause_;
  const First first_;
  const std::function<bool()> gather_;
  Descriptor wake_;
  Descriptor notices_;
  Descriptor notify_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  bool told_ = false;   // guarded by mutex_
  std::thread thread_;  // the last member: it begins when all others are there
};
