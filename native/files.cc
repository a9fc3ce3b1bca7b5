// readFiles(): many small files of /proc, /sys and cgroupfs in one call. Each costs open, read, read, close
// and nothing else: no stat, no Buffer and no exception of its own.
#include "files.h"

#include <fcntl.h>

#include <cerrno>
#include <string>

#include "arguments.h"
#include "bytes.h"
#include "descriptor.h"

namespace {

constexpr size_t kStep = 16 * 1024;               // more than nearly every such file has
constexpr size_t kLargest = 16 * 1024 * 1024;     // of one file; beyond that it is the wrong call, and EFBIG

// Appends the file. Returns 0 or an error number, and then nothing was appended.
int AppendFile(const char* path, Bytes& out, size_t& used) {
  const size_t start = used;
  // O_NONBLOCK: a FIFO or a device must not keep us waiting.
  const Descriptor file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.open()) return errno;
  for (;;) {
    if (out.size() - used < kStep) out.resize(std::max(out.size() * 2, 4 * kStep));
    const ssize_t got = read(file.get(), &out[used], out.size() - used);
    if (got == 0) return 0;
    if (got > 0) used += static_cast<size_t>(got);
    const int failed = got < 0 ? errno : (used - start > kLargest ? EFBIG : 0);
    if (failed != 0 && failed != EINTR) {
      used = start;
      return failed;
    }
  }
}

}  // namespace

Napi::Value ReadFiles(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsArray()) throw Napi::TypeError::New(env, "paths must be an array of strings");
  const auto paths = info[0].As<Napi::Array>();
  const uint32_t count = paths.Length();
  auto ends = Napi::Uint32Array::New(env, count);
  auto errors = Napi::Int32Array::New(env, count);
  uint32_t* const end = ends.Data();
  int32_t* const error = errors.Data();
  Bytes out;
  size_t used = 0;
  std::string path;
  for (uint32_t i = 0; i < count; i++) {
    const Napi::HandleScope scope(env);
    const Napi::Value value = paths.Get(i);
    if (!value.IsString()) throw Napi::TypeError::New(env, "paths must be an array of strings");
    path = value.As<Napi::String>().Utf8Value();
    // A path with a NUL in it names no file; the kernel would read only what stands before it.
    const int failed = path.find('\0') == std::string::npos ? AppendFile(path.c_str(), out, used) : EINVAL;
    error[i] = -failed;
    end[i] = static_cast<uint32_t>(used);
  }
  out.resize(used);
  Napi::Object read = Napi::Object::New(env);
  read.Set("data", ToBuffer(env, out));
  read.Set("ends", ends);
  read.Set("errors", errors);
  return read;
}
