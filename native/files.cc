// Many small files of /proc, /sys and cgroupfs in one call. Each costs its system calls and nothing else:
// no stat, no Buffer and no exception of its own.
#include "files.h"

#include <fcntl.h>

#include <cerrno>
#include <string>

#include "bytes.h"

namespace {

constexpr size_t kStep = 16 * 1024;            // more than nearly every such file has
constexpr size_t kLargest = 16 * 1024 * 1024;  // of one file; beyond that it is the wrong call, and EFBIG
constexpr size_t kMost = 1024 * 1024 * 1024;   // of all files of a call: `ends` has 32 bits

// The descriptor, or the error number that opening gave.
Descriptor Open(const std::string& path, int& error) {
  // A path with a NUL in it names no file; the kernel would read only what stands before it.
  error = path.find('\0') == std::string::npos ? 0 : EINVAL;
  if (error != 0) return {};
  // O_NONBLOCK: a FIFO or a device must not keep us waiting.
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.open()) error = errno;
  return file;
}

// Appends the whole file, from its beginning. Returns 0 or an error number, and then nothing was appended.
int AppendFile(int fd, Bytes& out) {
  const size_t start = out.size();
  uint8_t step[kStep];
  int failed = 0;
  while (failed == 0) {
    const ssize_t got = pread(fd, step, sizeof step, static_cast<off_t>(out.size() - start));
    if (got == 0) return 0;
    if (got > 0) Append(out, {step, static_cast<size_t>(got)});
    if (got < 0 && errno != EINTR) failed = errno;
    if (out.size() - start > kLargest || out.size() > kMost) failed = EFBIG;
  }
  out.resize(start);
  return failed;
}

// FileContents of native/index.ts, in the making.
class Contents {
 public:
  Contents(Napi::Env env, size_t count)
      : env_(env), ends_(Napi::Uint32Array::New(env, count)), errors_(Napi::Int32Array::New(env, count)) {}

  void Add(size_t index, int fd, int error) {
    errors_.Data()[index] = -(error != 0 ? error : AppendFile(fd, data_));
    ends_.Data()[index] = static_cast<uint32_t>(data_.size());
  }

  Napi::Value Done() const {
    Napi::Object contents = Napi::Object::New(env_);
    contents.Set("data", ToBuffer(env_, data_));
    contents.Set("ends", ends_);
    contents.Set("errors", errors_);
    return contents;
  }

 private:
  Napi::Env env_;
  Napi::Uint32Array ends_;
  Napi::Int32Array errors_;
  Bytes data_;
};

// Calls `each(index, path)` for an array of strings, and throws a TypeError for anything else.
template <typename Each>
void ForEachPath(const Napi::CallbackInfo& info, const Napi::Array& paths, Each each) {
  for (uint32_t i = 0; i < paths.Length(); i++) {
    const Napi::HandleScope scope(info.Env());
    const Napi::Value path = paths.Get(i);
    if (!path.IsString()) throw Napi::TypeError::New(info.Env(), "paths must be an array of strings");
    each(i, path.As<Napi::String>().Utf8Value());
  }
}

Napi::Array PathsArgument(const Napi::CallbackInfo& info) {
  if (!info[0].IsArray()) throw Napi::TypeError::New(info.Env(), "paths must be an array of strings");
  return info[0].As<Napi::Array>();
}

}  // namespace

Napi::Value ReadFiles(const Napi::CallbackInfo& info) {
  const Napi::Array paths = PathsArgument(info);
  const size_t count = paths.Length();
  Contents contents(info.Env(), count);
  ForEachPath(info, paths, [&](size_t index, const std::string& path) {
    if (index >= count) return;  // a getter has made the array longer
    int error = 0;
    const Descriptor file = Open(path, error);
    contents.Add(index, file.get(), error);
  });
  return contents.Done();
}

Napi::Function OpenFiles::Define(Napi::Env env) {
  return DefineClass(env, "OpenFiles",
                     {
                         InstanceMethod<&OpenFiles::Read>("read"),
                         InstanceMethod<&OpenFiles::Close>("close"),
                     });
}

OpenFiles::OpenFiles(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  ForEachPath(info, PathsArgument(info), [&](size_t, const std::string& path) {
    File& file = files_.emplace_back();
    file.descriptor = Open(path, file.error);
  });
}

Napi::Value OpenFiles::Read(const Napi::CallbackInfo& info) {
  if (closed_) throw Napi::Error::New(info.Env(), "these files are closed");
  Contents contents(info.Env(), files_.size());
  for (size_t i = 0; i < files_.size(); i++) contents.Add(i, files_[i].descriptor.get(), files_[i].error);
  return contents.Done();
}

Napi::Value OpenFiles::Close(const Napi::CallbackInfo& info) {
  files_.clear();
  closed_ = true;
  return info.Env().Undefined();
}
