// A lock that the kernel frees with its process, however that ends, and that holds whatever namespaces the others are
// in (flock(2)).
#include "lock.h"

#include <sys/file.h>

#include <cerrno>

#include "arguments.h"
#include "errors.h"

Napi::Value LockFile(const Napi::CallbackInfo& info) {
  const int descriptor = static_cast<int>(SizeArgument(info, 0, "descriptor"));
  return Guarded(info, [&]() -> Napi::Value {
    const bool is_ours = flock(descriptor, LOCK_EX | LOCK_NB) == 0;
    if (!is_ours && errno != EWOULDBLOCK) throw SystemError{errno, "flock", "lock a file"};
    return Napi::Boolean::New(info.Env(), is_ours);
  });
}
