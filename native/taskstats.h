// The JavaScript class Taskstats: what tasks have waited for, living ones and those that exit (types: native/index.ts).
#pragma once

#include <napi.h>

#include <memory>

#include "netlink.h"
#include "taskstats_exits.h"

// Closed by close(), when it is collected, and when its environment ends, whichever comes first.
class Taskstats : public Napi::ObjectWrap<Taskstats> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit Taskstats(const Napi::CallbackInfo& info);

 private:
  // Two sockets, so that a storm of exits cannot crowd out an answer.
  struct Sockets {
    netlink::Socket asking{NETLINK_GENERIC, "open a netlink socket for taskstats"};
    uint16_t family = asking.FamilyNumber("TASKSTATS");
    uint32_t sequence = 0;
    std::unique_ptr<TaskstatsExits> exits;
  };

  Napi::Value Ask(const Napi::CallbackInfo& info);
  Napi::Value Listen(const Napi::CallbackInfo& info);
  Napi::Value Drain(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  Sockets& RequireOpen(Napi::Env env) const;

  std::unique_ptr<Sockets> sockets_;
};
