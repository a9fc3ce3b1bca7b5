// The systemd journal by libsystemd (sd-journal(3)): entries in batches, the fields that are asked for. The library is
// loaded at run time, so that the addon works where there is none.
#include "journal.h"

#include <dlfcn.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "arguments.h"
#include "errors.h"

namespace {

constexpr int kLocalOnly = 1 << 0;  // SD_JOURNAL_LOCAL_ONLY
constexpr int kOsRoot = 1 << 4;     // SD_JOURNAL_OS_ROOT
constexpr uint32_t kAbsent = UINT32_MAX;

// What we call of <systemd/sd-journal.h>; its signatures have not changed since version 187 (2012).
struct Library {
  int (*open)(sd_journal**, int);
  int (*open_directory)(sd_journal**, const char*, int);
  void (*close)(sd_journal*);
  int (*get_fd)(sd_journal*);
  int (*process)(sd_journal*);
  int (*next)(sd_journal*);
  int (*previous)(sd_journal*);
  int (*seek_head)(sd_journal*);
  int (*seek_tail)(sd_journal*);
  int (*seek_cursor)(sd_journal*, const char*);
  int (*test_cursor)(sd_journal*, const char*);
  int (*get_cursor)(sd_journal*, char**);
  int (*get_data)(sd_journal*, const char*, const void**, size_t*);
  int (*get_realtime_usec)(sd_journal*, uint64_t*);
  int (*set_data_threshold)(sd_journal*, size_t);
};

template <typename Function>
void Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) throw SystemError{ENOSYS, "dlsym", std::string("find ") + name + " in libsystemd"};
}

// Never unloaded: it is one library however many journals there are.
const Library& Systemd() {
  static const Library library = [] {
    void* handle = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) throw SystemError{ENOENT, "dlopen", "load libsystemd.so.0"};
    Library found{};
    Find(handle, "sd_journal_open", found.open);
    Find(handle, "sd_journal_open_directory", found.open_directory);
    Find(handle, "sd_journal_close", found.close);
    Find(handle, "sd_journal_get_fd", found.get_fd);
    Find(handle, "sd_journal_process", found.process);
    Find(handle, "sd_journal_next", found.next);
    Find(handle, "sd_journal_previous", found.previous);
    Find(handle, "sd_journal_seek_head", found.seek_head);
    Find(handle, "sd_journal_seek_tail", found.seek_tail);
    Find(handle, "sd_journal_seek_cursor", found.seek_cursor);
    Find(handle, "sd_journal_test_cursor", found.test_cursor);
    Find(handle, "sd_journal_get_cursor", found.get_cursor);
    Find(handle, "sd_journal_get_data", found.get_data);
    Find(handle, "sd_journal_get_realtime_usec", found.get_realtime_usec);
    Find(handle, "sd_journal_set_data_threshold", found.set_data_threshold);
    return found;
  }();
  return library;
}

// sd-journal returns negative error numbers.
int Checked(int result, const char* call, const char* doing) {
  if (result < 0) throw SystemError{-result, call, doing};
  return result;
}

std::string Text(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (value.IsUndefined()) return {};
  if (!value.IsString()) throw Napi::TypeError::New(options.Env(), std::string(name) + " must be a string");
  return value.As<Napi::String>();
}

std::vector<std::string> Texts(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (!value.IsArray()) throw Napi::TypeError::New(options.Env(), std::string(name) + " must be an array of strings");
  std::vector<std::string> texts;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value one = array.Get(i);
    if (!one.IsString()) throw Napi::TypeError::New(options.Env(), std::string(name) + " must be an array of strings");
    texts.push_back(one.As<Napi::String>());
  }
  return texts;
}

}  // namespace

Napi::Function Journal::Define(Napi::Env env) {
  return DefineClass(env, "Journal",
                     {
                         InstanceMethod<&Journal::Read>("read"),
                         InstanceMethod<&Journal::Close>("close"),
                     });
}

Journal::Journal(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  if (!info[0].IsObject()) throw Napi::TypeError::New(info.Env(), "options must be an object");
  const auto options = info[0].As<Napi::Object>();
  const std::string directory = Text(options, "directory");
  const std::string root = Text(options, "root");
  const std::string start = Text(options, "start");
  fields_ = Texts(options, "fields");
  Guarded(info, [&] {
    const Library& systemd = Systemd();
    int opened = 0;
    if (!directory.empty()) {
      opened = systemd.open_directory(&journal_, directory.c_str(), 0);
    } else if (!root.empty()) {
      opened = systemd.open_directory(&journal_, root.c_str(), kOsRoot);
    } else {
      opened = systemd.open(&journal_, kLocalOnly);
    }
    Checked(opened, "sd_journal_open", "open the journal");
    // Without a descriptor for its changes it would not look for new files.
    Checked(systemd.get_fd(journal_), "sd_journal_get_fd", "watch the journal");
    systemd.set_data_threshold(journal_, 0);
    Seek(start);
  });
}

Journal::~Journal() {
  if (journal_ != nullptr) Systemd().close(journal_);
}

void Journal::Seek(const std::string& start) {
  const Library& systemd = Systemd();
  if (start == "head") {
    Checked(systemd.seek_head(journal_), "sd_journal_seek_head", "go to the journal's beginning");
  } else if (start == "tail") {
    Checked(systemd.seek_tail(journal_), "sd_journal_seek_tail", "go to the journal's end");
    // Behind the end of nothing it would stay for ever.
    if (Checked(systemd.previous(journal_), "sd_journal_previous", "go to the journal's end") == 0) Seek("head");
  } else {
    Checked(systemd.seek_cursor(journal_, start.c_str()), "sd_journal_seek_cursor", "find the place in the journal");
    // Where that entry is gone we are at the one after it, which nobody has seen.
    pending_ = Next() && systemd.test_cursor(journal_, start.c_str()) <= 0;
  }
}

bool Journal::Next() { return Checked(Systemd().next(journal_), "sd_journal_next", "read the journal") > 0; }

void Journal::AppendEntry(Bytes& out) {
  const Library& systemd = Systemd();
  uint64_t realtime = 0;
  systemd.get_realtime_usec(journal_, &realtime);
  uint8_t stamp[sizeof realtime];
  std::memcpy(stamp, &realtime, sizeof realtime);
  Append(out, stamp);
  for (const std::string& field : fields_) {
    const void* data = nullptr;
    size_t length = 0;
    if (systemd.get_data(journal_, field.c_str(), &data, &length) < 0 || length < field.size() + 1) {
      AppendNumber(out, kAbsent);
      continue;
    }
    // It comes as FIELD=value.
    const std::span<const uint8_t> value(static_cast<const uint8_t*>(data) + field.size() + 1, length - field.size() - 1);
    AppendNumber(out, static_cast<uint32_t>(value.size()));
    Append(out, value);
  }
}

std::string Journal::Cursor() {
  char* cursor = nullptr;
  Checked(Systemd().get_cursor(journal_, &cursor), "sd_journal_get_cursor", "tell the place in the journal");
  const std::string text(cursor);
  free(cursor);
  return text;
}

Napi::Value Journal::Read(const Napi::CallbackInfo& info) {
  if (journal_ == nullptr) throw Napi::Error::New(info.Env(), "this journal is closed");
  const uint32_t most = SizeArgument(info, 0, "maxEntries");
  const uint32_t most_bytes = SizeArgument(info, 1, "maxBytes");
  return Guarded(info, [&]() -> Napi::Value {
    Checked(Systemd().process(journal_), "sd_journal_process", "look for news of the journal");
    Bytes out;
    uint32_t count = 0;
    std::string cursor;
    while (count < most && out.size() < most_bytes && (pending_ || Next())) {
      pending_ = false;
      AppendEntry(out);
      count++;
    }
    if (count > 0) cursor = Cursor();
    Napi::Object batch = Napi::Object::New(info.Env());
    batch.Set("count", count);
    batch.Set("cursor", cursor);
    batch.Set("entries", ToBuffer(info.Env(), out));
    return batch;
  });
}

Napi::Value Journal::Close(const Napi::CallbackInfo& info) {
  if (journal_ != nullptr) Systemd().close(journal_);
  journal_ = nullptr;
  return info.Env().Undefined();
}
