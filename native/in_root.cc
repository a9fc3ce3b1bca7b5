// Opening a path inside another root, out of which no link leads (openat2(2), Linux 5.6).
#include "in_root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>

#include "arguments.h"
#include "descriptor.h"
#include "errors.h"

Napi::Value OpenDirectoryIn(const Napi::CallbackInfo& info) {
  const std::string root = StringArgument(info, 0, "root");
  const std::string path = StringArgument(info, 1, "path");
  return Guarded(info, [&]() -> Napi::Value {
    const std::string doing = "open " + path + " in " + root;
    if ((root + path).find('\0') != std::string::npos) throw SystemError{EINVAL, "openat2", doing};
    const Descriptor top(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!top.open()) throw SystemError{errno, "open", doing};
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const long fd = syscall(SYS_openat2, top.get(), path.c_str(), &how, sizeof how);
    if (fd < 0) throw SystemError{errno, "openat2", doing};
    return Napi::Number::New(info.Env(), static_cast<double>(fd));
  });
}
