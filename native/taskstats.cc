// The JavaScript class Taskstats (Documentation/accounting/taskstats.rst, include/uapi/linux/taskstats.h):
// generic netlink family TASKSTATS, asked by thread group and listened to for exits.
#include "taskstats.h"

#include <linux/taskstats.h>

#include <algorithm>
#include <cerrno>

#include "arguments.h"
#include "errors.h"

using netlink::View;

namespace {

constexpr size_t kAsked = 32;          // per send: their answers stay far below a socket's default buffer
constexpr size_t kLongestCpus = 4096;  // bytes; an attribute's length has 16 bits
constexpr const char* kAsking = "ask the kernel for taskstats";

// The struct taskstats in an answer about a thread group.
std::optional<View> StatsOfGroup(View attributes) {
  const auto group = netlink::FindAttribute(attributes, TASKSTATS_TYPE_AGGR_TGID);
  return group ? netlink::FindAttribute(*group, TASKSTATS_TYPE_STATS) : std::nullopt;
}

// One batch: what has been answered goes to `out`, in the order of the answers.
void AskSome(netlink::Socket& socket, uint16_t family, uint32_t first_sequence, std::span<const uint32_t> tgids,
             Bytes& out) {
  Bytes requests;
  for (size_t i = 0; i < tgids.size(); i++) {
    const View tgid(reinterpret_cast<const uint8_t*>(&tgids[i]), sizeof tgids[i]);
    netlink::AppendRequest(requests, family, TASKSTATS_CMD_GET, 0, first_sequence + static_cast<uint32_t>(i),
                           TASKSTATS_CMD_ATTR_TGID, tgid);
  }
  socket.Send(requests, kAsking);

  size_t answered = 0;
  int refused = 0;
  const auto take = [&](View datagram, auto) {
    while (const auto message = netlink::NextMessage(datagram)) {
      const uint32_t index = message->sequence - first_sequence;
      if (index >= tgids.size()) continue;  // an answer to an earlier question that had failed
      answered++;
      if (const auto error = netlink::ErrorNumber(*message)) {
        if (*error != ESRCH) refused = *error;  // ESRCH: it ended between our two looks at it
        continue;
      }
      const auto attributes = netlink::GenericAttributes(message->payload, TASKSTATS_CMD_NEW);
      const auto stats = message->type == family && attributes ? StatsOfGroup(*attributes) : std::nullopt;
      if (!stats) continue;
      AppendNumber(out, tgids[index]);
      AppendNumber(out, static_cast<uint32_t>(stats->size()));
      Append(out, *stats);
    }
  };
  // The kernel has answered before send() returns, so what is not there now never comes.
  while (answered < tgids.size() && socket.Receive(kAsking, take) == netlink::Socket::Received::kDatagrams) continue;
  if (refused != 0) throw SystemError{refused, "send", kAsking};
  if (answered < tgids.size()) throw SystemError{ENOBUFS, "recvmmsg", kAsking};
}

}  // namespace

Napi::Function Taskstats::Define(Napi::Env env) {
  return DefineClass(env, "Taskstats",
                     {
                         InstanceMethod<&Taskstats::Ask>("ask"),
                         InstanceMethod<&Taskstats::Listen>("listen"),
                         InstanceMethod<&Taskstats::Drain>("drain"),
                         InstanceMethod<&Taskstats::Close>("close"),
                     });
}

Taskstats::Taskstats(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Guarded(info, [&] { sockets_ = std::make_unique<Sockets>(); });
}

Napi::Value Taskstats::Ask(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    Sockets& sockets = RequireOpen(info.Env());
    if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
      throw Napi::TypeError::New(info.Env(), "tgids must be a Uint32Array");
    }
    const auto array = info[0].As<Napi::Uint32Array>();
    std::span<const uint32_t> tgids(array.Data(), array.ElementLength());
    Bytes out;
    while (!tgids.empty()) {
      const size_t some = std::min(kAsked, tgids.size());
      AskSome(sockets.asking, sockets.family, std::exchange(sockets.sequence, sockets.sequence + kAsked),
              tgids.first(some), out);
      tgids = tgids.subspan(some);
    }
    return ToBuffer(info.Env(), out);
  });
}

Napi::Value Taskstats::Listen(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    Sockets& sockets = RequireOpen(info.Env());
    const std::string cpus = StringArgument(info, 0, "cpus");
    const uint32_t buffer_bytes = SizeArgument(info, 1, "bufferBytes");
    if (cpus.empty() || cpus.size() > kLongestCpus) {
      throw Napi::TypeError::New(info.Env(), "cpus must be a list of CPUs such as 0-3");
    }
    if (sockets.exits) throw Napi::Error::New(info.Env(), "already listening for exiting tasks");
    sockets.exits = std::make_unique<TaskstatsExits>(sockets.family, cpus, buffer_bytes);
    return Napi::Number::New(info.Env(), sockets.exits->buffer_bytes());
  });
}

Napi::Value Taskstats::Drain(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    Sockets& sockets = RequireOpen(info.Env());
    if (!sockets.exits) throw Napi::Error::New(info.Env(), "not listening for exiting tasks: call listen() first");
    const TaskstatsExits::Drained drained = sockets.exits->Drain();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("messages", ToBuffer(info.Env(), drained.messages));
    result.Set("overflows", drained.overflows);
    result.Set("lost", drained.lost);
    return result;
  });
}

Napi::Value Taskstats::Close(const Napi::CallbackInfo& info) {
  sockets_.reset();
  return info.Env().Undefined();
}

Taskstats::Sockets& Taskstats::RequireOpen(Napi::Env env) const {
  if (!sockets_) throw Napi::Error::New(env, "this taskstats connection is closed");
  return *sockets_;
}
