// Gives a refused system call the shape of Node's own errors.
#include "errors.h"

#include <cstring>

namespace {

// The kernel's ENOTSUPP was never meant for user space; BPF returns it all the same.
constexpr int kKernelNotSupported = 524;

std::string Describe(int number) {
  if (number == kKernelNotSupported) return "not supported by this kernel";
  return strerrordesc_np(number) != nullptr ? strerrordesc_np(number) : "unknown error";
}

}  // namespace

std::string ErrorName(int number) {
  if (number == kKernelNotSupported) return "ENOTSUPP";
  const char* name = strerrorname_np(number);
  return name != nullptr ? name : "E" + std::to_string(number);
}

Napi::Error ToError(Napi::Env env, const SystemError& error) {
  const std::string code = ErrorName(error.number);
  const Napi::Error thrown =
      Napi::Error::New(env, "cannot " + error.attempted + ": " + Describe(error.number) + " (" +
                                code + " from " + error.syscall + ")");
  Napi::Object value = thrown.Value();
  value.Set("code", code);
  value.Set("errno", -error.number);
  value.Set("syscall", error.syscall);
  if (!error.log.empty()) value.Set("log", error.log);
  return thrown;
}
