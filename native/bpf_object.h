// The JavaScript class BpfObject: one loaded BPF object with its maps, links and rings (types: native/index.ts).
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <map>
#include <memory>
#include <string>

#include "bpf_map.h"

// Closed by close(), when it is collected, and when its environment ends, whichever comes first:
// programs, maps and links hang on our descriptors alone, so nothing stays in the kernel.
class BpfObject : public Napi::ObjectWrap<BpfObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  // new BpfObject(object: Uint8Array, options: BpfOptions)
  explicit BpfObject(const Napi::CallbackInfo& info);

 private:
  struct Freed {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
  };
  using Link = std::unique_ptr<bpf_link, Freed>;

  Napi::Value Attach(const Napi::CallbackInfo& info);
  Napi::Value Iterate(const Napi::CallbackInfo& info);
  Napi::Value ReadMap(const Napi::CallbackInfo& info);
  Napi::Value Lookup(const Napi::CallbackInfo& info);
  Napi::Value Update(const Napi::CallbackInfo& info);
  Napi::Value Remove(const Napi::CallbackInfo& info);
  Napi::Value Drain(const Napi::CallbackInfo& info);
  Napi::Value Follow(const Napi::CallbackInfo& info);
  Napi::Value Memory(const Napi::CallbackInfo& info);
  Napi::Value PassedOver(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  void RequireOpen(Napi::Env env) const;
  bpf_program* FindProgram(Napi::Env env, const std::string& name) const;
  bpf_map* FindMap(Napi::Env env, const std::string& name) const;
  Ring& RingOf(const bpf_map* map, const std::string& name);
  // `map`: for an iterator over the entries of one.
  const bpf_link* LinkOf(const bpf_program* program, const std::string& name, const bpf_map* map = nullptr);

  // Freed from the last to the first: what hangs on the object goes before it.
  std::unique_ptr<bpf_object, Freed> object_;
  std::map<std::string, Link> links_;
  std::map<std::string, std::unique_ptr<Ring>> rings_;
  std::map<std::string, bool> batched_;
};
