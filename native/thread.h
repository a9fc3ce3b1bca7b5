// A thread of our own beside Node's. Signals are the main thread's, so none reaches it.
#pragma once

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "errors.h"

// While it lives. A new thread takes over what its maker blocks.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// `name` is a literal of at most 15 characters (pthread_setname_np(3)); `doing` completes "cannot …" in errors.
// Throws SystemError.
template <typename Body>
std::thread StartThread(const char* name, const char* doing, Body body) {
  const SignalsBlocked blocked;
  try {
    return std::thread([name, body = std::move(body)] {
      pthread_setname_np(pthread_self(), name);
      body();
    });
  } catch (const std::system_error& refused) {
    throw SystemError{refused.code().value(), "pthread_create", doing};
  }
}
