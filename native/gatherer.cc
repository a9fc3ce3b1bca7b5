// One thread for each source: most of the time it sleeps.
#include "gatherer.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include "errors.h"
#include "thread.h"

Gatherer::Gatherer(int fd, std::chrono::milliseconds pause, First first, std::function<bool()> gather)
    : fd_(fd), pause_(pause), first_(first), gather_(std::move(gather)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  const char* const doing = "start a thread that follows the kernel";
  if (!wake_.open()) throw SystemError{errno, "eventfd", doing};
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) < 0) throw SystemError{errno, "pipe2", doing};
  notices_ = Descriptor(ends[0]);
  notify_ = Descriptor(ends[1]);
  thread_ = StartThread("gatherer", doing, [this] { Run(); });
}

Gatherer::~Gatherer() {
  stopping_ = true;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  thread_.join();
}

bool Gatherer::Wait(nfds_t descriptors, int timeout_ms) const {
  std::array<pollfd, 2> waits{{{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                               {.fd = fd_, .events = POLLIN, .revents = 0}}};
  while (poll(waits.data(), descriptors, timeout_ms) < 0 && errno == EINTR) {
  }
  return !stopping_;
}

std::chrono::milliseconds Gatherer::PauseNow(std::chrono::steady_clock::time_point last) const {
  if (first_ == First::kWaits) return pause_;
  const auto quiet = std::chrono::steady_clock::now() - last;
  return std::max(std::chrono::milliseconds(0), pause_ - std::chrono::duration_cast<std::chrono::milliseconds>(quiet));
}

void Gatherer::Run() {
  std::chrono::steady_clock::time_point last;
  while (WaitForWork() && WaitFor(PauseNow(last))) {
    last = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex_);
    bool something = true;
    try {
      something = gather_();
    } catch (const SystemError&) {  // whoever reads next gets it as an error
    } catch (const std::bad_alloc&) {  // it stays where it is, and is counted when there is no room any more
    }
    if (!something || std::exchange(told_, true)) continue;
    const char byte = 0;
    // The pipe is never full, and without a reader nobody needs to know.
    [[maybe_unused]] const ssize_t written = write(notify_.get(), &byte, 1);
  }
}
