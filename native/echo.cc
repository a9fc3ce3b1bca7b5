// The JavaScript class Echo. The work is done by a thread (native/echo_worker.h); here only its doors.
#include "echo.h"

#include <sys/socket.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "arguments.h"
#include "echo_socket.h"
#include "errors.h"
#include "namespace.h"

namespace {

struct Opened {
  Descriptor fd;
  uint16_t ident;
};

}  // namespace

Napi::Function Echo::Define(Napi::Env env) {
  return DefineClass(env, "Echo",
                     {
                         InstanceMethod<&Echo::Open>("open"),
                         InstanceMethod<&Echo::Shut>("shut"),
                         InstanceMethod<&Echo::Send>("send"),
                         InstanceMethod<&Echo::Drain>("drain"),
                         InstanceMethod<&Echo::Close>("close"),
                     });
}

Echo::Echo(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Guarded(info, [&] {
    Descriptor stamping = OpenStampingSocket();
    parts_ = std::make_unique<Parts>();
    parts_->stamping = std::move(stamping);
  });
}

// open(family: 4 | 6, kind: 'raw' | 'dgram', ident: number, namespace?: number)
Napi::Value Echo::Open(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    EchoWorker& worker = RequireOpen(info.Env()).worker;
    const uint32_t version = SizeArgument(info, 0, "family");
    const std::string kind = StringArgument(info, 1, "kind");
    const uint32_t ident = SizeArgument(info, 2, "ident");
    if (version != 4 && version != 6) throw Napi::TypeError::New(info.Env(), "family must be 4 or 6");
    if (kind != "raw" && kind != "dgram") throw Napi::TypeError::New(info.Env(), "kind must be raw or dgram");
    if (ident > UINT16_MAX) throw Napi::TypeError::New(info.Env(), "ident must be a whole number from 1 to 65535");

    const int family = version == 4 ? AF_INET : AF_INET6;
    const auto open = [&] {
      Opened opened{{}, static_cast<uint16_t>(ident)};
      opened.fd = OpenEchoSocket(family, kind == "raw", opened.ident);
      return opened;
    };
    Opened opened = info[3].IsNumber() ? InNetworkNamespace(info[3].As<Napi::Number>().Int32Value(),
                                                            "enter a network namespace", open)
                                       : open();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("ident", opened.ident);
    result.Set("socket", worker.Add(std::move(opened.fd), family));
    return result;
  });
}

Napi::Value Echo::Shut(const Napi::CallbackInfo& info) {
  RequireOpen(info.Env()).worker.Remove(SizeArgument(info, 0, "socket"));
  return info.Env().Undefined();
}

Napi::Value Echo::Send(const Napi::CallbackInfo& info) {
  try {
    return Napi::Number::New(info.Env(), RequireOpen(info.Env()).worker.Send(BytesArgument(info, 0, "requests")));
  } catch (const std::invalid_argument& error) {
    throw Napi::TypeError::New(info.Env(), error.what());
  }
}

Napi::Value Echo::Drain(const Napi::CallbackInfo& info) {
  const EchoWorker::Drained drained = RequireOpen(info.Env()).worker.Drain();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("records", ToBuffer(info.Env(), drained.records));
  result.Set("lost", drained.lost);
  result.Set("rounds", drained.rounds);
  return result;
}

Napi::Value Echo::Close(const Napi::CallbackInfo& info) {
  parts_.reset();
  return info.Env().Undefined();
}

Echo::Parts& Echo::RequireOpen(Napi::Env env) const {
  if (!parts_) throw Napi::Error::New(env, "these echo sockets are closed");
  return *parts_;
}
