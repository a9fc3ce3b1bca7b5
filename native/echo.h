// The JavaScript class Echo: ICMP echo requests timed by the kernel, in any namespace (types: native/index.ts).
#pragma once

#include <napi.h>

#include <memory>

#include "descriptor.h"
#include "echo_worker.h"

// Closed by close(), when it is collected, and when its environment ends, whichever comes first.
class Echo : public Napi::ObjectWrap<Echo> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit Echo(const Napi::CallbackInfo& info);

 private:
  struct Parts {
    Descriptor stamping;
    EchoWorker worker;
  };

  Napi::Value Open(const Napi::CallbackInfo& info);
  Napi::Value Shut(const Napi::CallbackInfo& info);
  Napi::Value Send(const Napi::CallbackInfo& info);
  Napi::Value Drain(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  Parts& RequireOpen(Napi::Env env) const;

  std::unique_ptr<Parts> parts_;
};
