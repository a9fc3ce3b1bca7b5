// The JavaScript class BpfObject: one loaded BPF object with its maps, links and rings.
#include "bpf_object.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <malloc.h>

#include <cerrno>
#include <cstdio>

#include "arguments.h"
#include "bpf_options.h"
#include "descriptor.h"
#include "errors.h"
#include "libbpf_log.h"

// Before 1.0 errors came as pointers, and `.rodata` had no name of its own.
#if LIBBPF_MAJOR_VERSION < 1
#error "Leadline needs libbpf 1.0 or later: Debian 12, Ubuntu 24.04, Fedora 38 have it"
#endif

namespace {

// libbpf has numbers of its own for objects that it cannot make sense of (enum libbpf_errno); the log says why.
int SystemNumber(int number) { return number >= __LIBBPF_ERRNO__START ? ENOEXEC : number; }

// Everything an iterator has to say, in one pass.
Bytes ReadIterator(const bpf_link* link, const std::string& name) {
  const std::string attempted = "run the BPF iterator " + name;
  const Descriptor iterator(bpf_iter_create(bpf_link__fd(link)));
  if (!iterator.open()) throw SystemError{errno, "bpf", attempted};
  Bytes out;
  size_t used = 0;
  for (;;) {
    if (out.size() - used < 64 * 1024) out.resize(out.size() + std::max<size_t>(out.size(), 64 * 1024));
    const ssize_t got = read(iterator.get(), &out[used], out.size() - used);
    if (got == 0) break;
    if (got > 0) used += static_cast<size_t>(got);
    // EAGAIN: a million objects have passed without output; the kernel asks us to go on.
    if (got < 0 && errno != EINTR && errno != EAGAIN) throw SystemError{errno, "read", attempted};
  }
  out.resize(used);
  return out;
}

// "the BPF programs a, b", for an error.
std::string Told(const std::vector<std::string>& programs) {
  std::string told = programs.size() == 1 ? "the BPF program " : "the BPF programs ";
  for (const std::string& program : programs) told += (&program == &programs.front() ? "" : ", ") + program;
  return told;
}

// The kernel memory behind one map, which fdinfo alone tells.
uint64_t MemoryOf(const bpf_map* map) {
  const std::string path = "/proc/self/fdinfo/" + std::to_string(bpf_map__fd(map));
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) throw SystemError{errno, "open", "read " + path};
  char text[1024];
  const ssize_t got = read(file.get(), text, sizeof text - 1);
  if (got < 0) throw SystemError{errno, "read", "read " + path};
  text[got] = '\0';
  const char* line = strstr(text, "memlock:");
  return line == nullptr ? 0 : strtoull(line + sizeof "memlock:" - 1, nullptr, 10);
}

void RequireSize(Napi::Env env, std::span<const uint8_t> bytes, size_t size, const std::string& what) {
  if (bytes.size() == size) return;
  const std::string sizes = std::to_string(size) + " bytes, not " + std::to_string(bytes.size());
  throw Napi::TypeError::New(env, what + " has " + sizes);
}

}  // namespace

Napi::Function BpfObject::Define(Napi::Env env) {
  return DefineClass(env, "BpfObject",
                     {
                         InstanceMethod<&BpfObject::Attach>("attach"),
                         InstanceMethod<&BpfObject::Iterate>("iterate"),
                         InstanceMethod<&BpfObject::ReadMap>("readMap"),
                         InstanceMethod<&BpfObject::Lookup>("lookup"),
                         InstanceMethod<&BpfObject::Update>("update"),
                         InstanceMethod<&BpfObject::Remove>("remove"),
                         InstanceMethod<&BpfObject::Drain>("drain"),
                         InstanceMethod<&BpfObject::Follow>("follow"),
                         InstanceMethod<&BpfObject::Memory>("memory"),
                         InstanceMethod<&BpfObject::PassedOver>("passedOver"),
                         InstanceMethod<&BpfObject::Close>("close"),
                     });
}

BpfObject::BpfObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Guarded(info, [&] {
    const BpfOptions options = ReadBpfOptions(info.Env(), info[1]);
    const std::span<const uint8_t> bytes = BytesArgument(info, 0, "object");
    const LibbpfLog log;
    bpf_object_open_opts named{};
    named.sz = sizeof named;
    named.object_name = "leadline";
    object_.reset(bpf_object__open_mem(bytes.data(), bytes.size(), &named));
    if (!object_) {
      throw SystemError{SystemNumber(errno), "bpf_object__open_mem", "open the BPF object", log.LastLines()};
    }
    ApplyBpfOptions(info.Env(), object_.get(), options);
    const int failed = bpf_object__load(object_.get());
    // libbpf has just freed its copy of the kernel's types, some 6 MB that the allocator would keep for itself.
    malloc_trim(0);
    if (failed < 0) throw SystemError{SystemNumber(-failed), "bpf", "load " + Told(options.programs), log.LastLines()};
  });
}

Napi::Value BpfObject::Attach(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::string name = StringArgument(info, 0, "program");
    const bpf_map* map = info[1].IsUndefined() ? nullptr : FindMap(info.Env(), StringArgument(info, 1, "map"));
    LinkOf(FindProgram(info.Env(), name), name, map);
    return info.Env().Undefined();
  });
}

Napi::Value BpfObject::Iterate(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::string name = StringArgument(info, 0, "program");
    const bpf_program* program = FindProgram(info.Env(), name);
    if (bpf_program__expected_attach_type(program) != BPF_TRACE_ITER) {
      throw Napi::TypeError::New(info.Env(), "the BPF program " + name + " is not an iterator");
    }
    return ToBuffer(info.Env(), ReadIterator(LinkOf(program, name), name));
  });
}

Napi::Value BpfObject::ReadMap(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::string name = StringArgument(info, 0, "map");
    const bpf_map* map = FindMap(info.Env(), name);
    const Entries read = ReadEntries(map, name, batched_.try_emplace(name, true).first->second);
    Napi::Object content = Napi::Object::New(info.Env());
    content.Set("count", read.count);
    content.Set("keySize", bpf_map__key_size(map));
    content.Set("valueSize", ValueBytes(map));
    content.Set("keys", ToBuffer(info.Env(), read.keys));
    content.Set("values", ToBuffer(info.Env(), read.values));
    return content;
  });
}

Napi::Value BpfObject::Lookup(const Napi::CallbackInfo& info) {
  return Guarded(info, [&]() -> Napi::Value {
    const std::string name = StringArgument(info, 0, "map");
    const std::span<const uint8_t> key = BytesArgument(info, 1, "key");
    const bpf_map* map = FindMap(info.Env(), name);
    RequireSize(info.Env(), key, bpf_map__key_size(map), "a key of the map " + name);
    Bytes value(ValueBytes(map));
    if (bpf_map_lookup_elem(bpf_map__fd(map), key.data(), value.data()) == 0) return ToBuffer(info.Env(), value);
    if (errno == ENOENT) return info.Env().Undefined();
    throw SystemError{errno, "bpf", "look up a key of the BPF map " + name};
  });
}

Napi::Value BpfObject::Update(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::string name = StringArgument(info, 0, "map");
    const std::span<const uint8_t> key = BytesArgument(info, 1, "key");
    const std::span<const uint8_t> value = BytesArgument(info, 2, "value");
    const bpf_map* map = FindMap(info.Env(), name);
    RequireSize(info.Env(), key, bpf_map__key_size(map), "a key of the map " + name);
    RequireSize(info.Env(), value, ValueBytes(map), "a value of the map " + name);
    if (bpf_map_update_elem(bpf_map__fd(map), key.data(), value.data(), BPF_ANY) < 0) {
      throw SystemError{errno, "bpf", "write to the BPF map " + name};
    }
    return info.Env().Undefined();
  });
}

// One call for each key: a batch stops at the first key that is not there.
Napi::Value BpfObject::Remove(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::string name = StringArgument(info, 0, "map");
    const std::span<const uint8_t> keys = BytesArgument(info, 1, "keys");
    const bpf_map* map = FindMap(info.Env(), name);
    const size_t size = bpf_map__key_size(map);
    if (size == 0 || keys.size() % size != 0) {
      throw Napi::TypeError::New(info.Env(), "keys of the map " + name + " have " + std::to_string(size) +
                                                 " bytes each, and " + std::to_string(keys.size()) +
                                                 " is not a multiple of that");
    }
    uint32_t removed = 0;
    for (size_t at = 0; at < keys.size(); at += size) {
      if (bpf_map_delete_elem(bpf_map__fd(map), &keys[at]) == 0) {
        removed++;
      } else if (errno != ENOENT) {
        throw SystemError{errno, "bpf", "delete from the BPF map " + name};
      }
    }
    return Napi::Number::New(info.Env(), removed);
  });
}

Napi::Value BpfObject::Drain(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::string name = StringArgument(info, 0, "ring");
    const uint32_t max_bytes = SizeArgument(info, 1, "maxBytes");
    return ToBuffer(info.Env(), RingOf(FindMap(info.Env(), name), name).Drain(max_bytes));
  });
}

Napi::Value BpfObject::Follow(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::string name = StringArgument(info, 0, "ring");
    const std::chrono::milliseconds pause(SizeArgument(info, 1, "pauseMs"));
    const uint32_t most_bytes = SizeArgument(info, 2, "mostBytes");
    Descriptor notices = RingOf(FindMap(info.Env(), name), name).Follow(pause, most_bytes);
    return Napi::Number::New(info.Env(), notices.release());
  });
}

Napi::Value BpfObject::Memory(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    RequireOpen(info.Env());
    uint64_t bytes = 0;
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object_.get()) {
      if (bpf_map__fd(map) >= 0) bytes += MemoryOf(map);
    }
    return Napi::Number::New(info.Env(), static_cast<double>(bytes));
  });
}

Napi::Value BpfObject::PassedOver(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::string name = StringArgument(info, 0, "program");
    bpf_prog_info about{};
    uint32_t size = sizeof about;
    // A kernel that does not count it leaves the rest of the structure as it is.
    if (bpf_obj_get_info_by_fd(bpf_program__fd(FindProgram(info.Env(), name)), &about, &size) < 0) {
      throw SystemError{errno, "bpf", "ask about the BPF program " + name};
    }
    return Napi::Number::New(info.Env(), static_cast<double>(about.recursion_misses));
  });
}

Napi::Value BpfObject::Close(const Napi::CallbackInfo& info) {
  links_.clear();
  rings_.clear();
  object_.reset();
  return info.Env().Undefined();
}

void BpfObject::RequireOpen(Napi::Env env) const {
  if (!object_) throw Napi::Error::New(env, "this BPF object is closed");
}

bpf_program* BpfObject::FindProgram(Napi::Env env, const std::string& name) const {
  RequireOpen(env);
  bpf_program* program = bpf_object__find_program_by_name(object_.get(), name.c_str());
  if (program == nullptr) throw Napi::TypeError::New(env, "this BPF object has no program " + name);
  if (bpf_program__fd(program) < 0) {
    throw Napi::TypeError::New(env, "the BPF program " + name + " is not loaded: name it in `programs`");
  }
  return program;
}

bpf_map* BpfObject::FindMap(Napi::Env env, const std::string& name) const {
  RequireOpen(env);
  bpf_map* map = bpf_object__find_map_by_name(object_.get(), name.c_str());
  if (map == nullptr || bpf_map__fd(map) < 0) throw Napi::TypeError::New(env, "this BPF object has no map " + name);
  return map;
}

Ring& BpfObject::RingOf(const bpf_map* map, const std::string& name) {
  std::unique_ptr<Ring>& ring = rings_[name];
  if (!ring) ring = std::make_unique<Ring>(map, name);
  return *ring;
}

const bpf_link* BpfObject::LinkOf(const bpf_program* program, const std::string& name, const bpf_map* map) {
  Link& link = links_[name];
  if (!link) {
    const LibbpfLog log;
    bpf_iter_link_info over{};
    over.map.map_fd = map == nullptr ? 0 : static_cast<uint32_t>(bpf_map__fd(map));
    bpf_iter_attach_opts options{};
    options.sz = sizeof options;
    options.link_info = &over;
    options.link_info_len = sizeof over;
    link.reset(map == nullptr ? bpf_program__attach(program) : bpf_program__attach_iter(program, &options));
    if (!link) throw SystemError{errno, "bpf", "attach the BPF program " + name, log.LastLines()};
  }
  return link.get();
}
