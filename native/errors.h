// How a failure crosses into JavaScript: what the system refused becomes Error { code, errno, syscall },
// shaped as Node's own, with a message that says what was attempted.
#pragma once

#include <napi.h>

#include <string>

// Thrown by code that knows nothing of JavaScript. `number` is positive, as in <errno.h>.
struct SystemError {
  int number;
  const char* syscall;
  std::string attempted;  // "load the BPF object", the message's beginning after "cannot"
  std::string log = {};   // the last lines of what libbpf and the verifier said, if they spoke
};

// "EPERM"; also for the few numbers that the kernel returns but <errno.h> does not know.
std::string ErrorName(int number);

// errno is negative there, as Node has it; `log` is there when something was said.
Napi::Error ToError(Napi::Env env, const SystemError& error);

// The border: every method that JavaScript calls runs in here.
template <typename Body>
auto Guarded(const Napi::CallbackInfo& info, Body body) {
  try {
    return body();
  } catch (const SystemError& error) {
    throw ToError(info.Env(), error);
  }
}
