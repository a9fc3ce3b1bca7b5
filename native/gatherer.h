// A thread that takes in what the kernel hands over while JavaScript is busy, and does nothing while there is nothing.
// Whoever reads is told by a byte in a pipe, one until it has come.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

#include "descriptor.h"

class Gatherer {
 public:
  // `gather` runs with the lock held whenever `fd` has been readable for `pause`, so that much comes at once.
  // It returns whether there is something to be read. Throws SystemError.
  Gatherer(int fd, std::chrono::milliseconds pause, std::function<bool()> gather);
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
  // False when it is time to end.
  bool Wait(bool for_work) const;

  const int fd_;
  const std::chrono::milliseconds pause_;
  const std::function<bool()> gather_;
  Descriptor wake_;
  Descriptor notices_;
  Descriptor notify_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  bool told_ = false;   // guarded by mutex_
  std::thread thread_;  // the last member: it begins when all others are there
};
