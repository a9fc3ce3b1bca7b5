// Runs something inside another network namespace. setns(2) is for one thread, so a thread is made for it and ends with
// it: none of Node's ever leaves its namespace. A socket that was opened there is used from anywhere afterwards.
#pragma once

#include <sched.h>

#include <cerrno>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "errors.h"

// `fd` is an open /proc/PID/ns/net or a bind mount of one. Needs CAP_SYS_ADMIN. Throws SystemError when the namespace
// cannot be entered, and whatever `body` throws. `body` must not call into JavaScript.
template <typename Body>
auto InNetworkNamespace(int fd, const std::string& doing, Body body) {
  std::packaged_task<decltype(body())()> task([fd, &doing, &body] {
    if (setns(fd, CLONE_NEWNET) < 0) throw SystemError{errno, "setns", doing};
    return body();
  });
  auto result = task.get_future();
  std::thread(std::move(task)).join();
  return result.get();
}
