// The JavaScript class Netlink: a netlink socket of any protocol, opened in any network namespace (types: native/index.ts).
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "bytes.h"
#include "gatherer.h"
#include "netlink.h"

// Closed by close(), when it is collected, and when its environment ends, whichever comes first.
class NetlinkConnection : public Napi::ObjectWrap<NetlinkConnection> {
 public:
  static Napi::Function Define(Napi::Env env);
  // new Netlink(options)
  explicit NetlinkConnection(const Napi::CallbackInfo& info);

 private:
  Napi::Value Ask(const Napi::CallbackInfo& info);
  Napi::Value Begin(const Napi::CallbackInfo& info);
  Napi::Value Next(const Napi::CallbackInfo& info);
  Napi::Value Drain(const Napi::CallbackInfo& info);
  Napi::Value Follow(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  // Takes in what has arrived, up to a bound.
  void Gather();

  netlink::Socket& RequireOpen(Napi::Env env) const;
  netlink::Socket& RequireIdle(Napi::Env env) const;

  std::unique_ptr<netlink::Socket> socket_;
  bool listens_ = false;
  uint32_t sequence_ = 1;
  std::optional<uint32_t> dumping_;  // the sequence number of the dump that is under way
  uint32_t told_lost_ = 0;
  // Not taken by JavaScript yet.
  Bytes heard_;
  uint32_t overflows_ = 0;
  std::unique_ptr<Gatherer> gatherer_;  // the last member: its thread uses all others
};
