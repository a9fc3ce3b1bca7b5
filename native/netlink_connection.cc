// The JavaScript class Netlink. It knows how netlink carries questions and answers, and nothing of what they say.
#include "netlink_connection.h"

#include <linux/filter.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "arguments.h"
#include "errors.h"
#include "namespace.h"
#include "netlink_exchange.h"

using netlink::View;
using Received = netlink::Socket::Received;

namespace {

constexpr size_t kAsked = 32;                      // per send: their answers stay far below a socket's default buffer
constexpr size_t kMostAnswered = 512 * 1024 * 1024;  // by one ask()
constexpr size_t kMostDrained = 16 * 1024 * 1024;  // not taken yet, so that a storm cannot keep us for ever
constexpr const char* kAsking = "ask the kernel over netlink";
constexpr const char* kListening = "listen to the kernel over netlink";

std::vector<netlink::Request> RequestsIn(Napi::Env env, View bytes) {
  std::vector<netlink::Request> requests;
  for (size_t at = 0; at < bytes.size(); at += requests.back().length) {
    const auto request = netlink::RequestAt(bytes, at);
    if (!request) {
      throw Napi::TypeError::New(env, "requests must be whole netlink messages, padded to 4 bytes, end to end");
    }
    requests.push_back(*request);
  }
  return requests;
}

// Sends `count` requests that are in `bytes`, and appends what they are answered.
void AskSome(netlink::Socket& socket, View bytes, uint32_t sequence, size_t count, uint32_t first_index, Bytes& out) {
  socket.Send(bytes, kAsking);
  size_t answered = 0;
  const auto take = [&](View datagram, auto) {
    while (const auto message = netlink::NextMessage(datagram)) {
      const uint32_t index = message->sequence - sequence;
      if (index >= count) continue;  // an answer to an earlier question that had failed
      netlink::AppendMessage(out, *message, first_index + index);
      if (netlink::IsLast(*message)) answered++;
    }
  };
  // The kernel has answered before send() returns, and goes on with a dump whenever we receive of it: what is not there
  // now never comes.
  while (answered < count) {
    const Received received = socket.Receive(kAsking, take);
    if (received == Received::kNothing) return;  // it refuses many requests with one error
    if (received == Received::kOverflow) throw SystemError{ENOBUFS, "recvmmsg", kAsking};
    if (out.size() > kMostAnswered) throw SystemError{EFBIG, "recvmmsg", kAsking};
  }
}

uint32_t NumberOption(const Napi::Object& options, const char* name, uint32_t most) {
  const Napi::Value value = options.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= most) || number != static_cast<uint32_t>(number)) {
    throw Napi::TypeError::New(options.Env(),
                               std::string(name) + " must be a whole number from 0 to " + std::to_string(most));
  }
  return static_cast<uint32_t>(number);
}

struct Options {
  int protocol = 0;
  std::optional<int> name_space;
  std::vector<uint32_t> groups;
  uint32_t buffer_bytes = 0;
  bool all_namespaces = false;
  Bytes filter;
};

Options OptionsArgument(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) throw Napi::TypeError::New(env, "options must be an object");
  const auto given = info[0].As<Napi::Object>();
  const auto has = [&](const char* name) { return !given.Get(name).IsUndefined(); };
  Options options;
  options.protocol = static_cast<int>(NumberOption(given, "protocol", MAX_LINKS - 1));
  if (has("namespace")) options.name_space = static_cast<int>(NumberOption(given, "namespace", INT32_MAX));
  if (has("bufferBytes")) options.buffer_bytes = NumberOption(given, "bufferBytes", INT32_MAX);
  if (has("allNamespaces")) options.all_namespaces = given.Get("allNamespaces").ToBoolean();
  if (has("groups")) {
    const Napi::Value groups = given.Get("groups");
    if (!groups.IsArray()) throw Napi::TypeError::New(env, "groups must be an array of numbers");
    for (uint32_t i = 0; i < groups.As<Napi::Array>().Length(); i++) {
      const Napi::Value group = groups.As<Napi::Array>().Get(i);
      if (!group.IsNumber()) throw Napi::TypeError::New(env, "groups must be an array of numbers");
      options.groups.push_back(group.As<Napi::Number>().Uint32Value());
    }
  }
  if (has("filter")) {
    const Napi::Value filter = given.Get("filter");
    const bool bytes = filter.IsTypedArray() && filter.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
    const size_t length = bytes ? filter.As<Napi::Uint8Array>().ElementLength() : 0;
    if (length == 0 || length % sizeof(sock_filter) != 0 || length / sizeof(sock_filter) > BPF_MAXINSNS) {
      throw Napi::TypeError::New(env, "filter must be a Uint8Array of 1 to 4096 instructions of 8 bytes");
    }
    Append(options.filter, {filter.As<Napi::Uint8Array>().Data(), length});
  }
  return options;
}

netlink::Socket Open(const Options& options) {
  netlink::Socket socket(options.protocol, "open a netlink socket");
  if (options.buffer_bytes > 0) socket.SetReceiveBuffer(options.buffer_bytes, kListening);
  if (!options.filter.empty()) socket.Filter(options.filter, kListening);
  if (options.all_namespaces) socket.HearAllNamespaces("listen to all network namespaces");
  for (const uint32_t group : options.groups) socket.Join(group, kListening);
  return socket;
}

}  // namespace

Napi::Function NetlinkConnection::Define(Napi::Env env) {
  return DefineClass(env, "Netlink",
                     {
                         InstanceMethod<&NetlinkConnection::Ask>("ask"),
                         InstanceMethod<&NetlinkConnection::Begin>("begin"),
                         InstanceMethod<&NetlinkConnection::Next>("next"),
                         InstanceMethod<&NetlinkConnection::Drain>("drain"),
                         InstanceMethod<&NetlinkConnection::Follow>("follow"),
                         InstanceMethod<&NetlinkConnection::Close>("close"),
                     });
}

NetlinkConnection::NetlinkConnection(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Options options = OptionsArgument(info);
  listens_ = !options.groups.empty();
  Guarded(info, [&] {
    socket_ = std::make_unique<netlink::Socket>(
        options.name_space
            ? InNetworkNamespace(*options.name_space, "enter a network namespace", [&] { return Open(options); })
            : Open(options));
  });
}

Napi::Value NetlinkConnection::Ask(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    netlink::Socket& socket = RequireIdle(info.Env());
    const View given = BytesArgument(info, 0, "requests");
    const std::vector<netlink::Request> requests = RequestsIn(info.Env(), given);
    Bytes bytes(given.begin(), given.end());
    Bytes out;
    for (size_t first = 0; first < requests.size();) {
      size_t end = first + 1;  // a dump goes alone: there is at most one at a time on a socket
      while (!requests[first].dump && end < requests.size() && end - first < kAsked && !requests[end].dump) end++;
      const uint32_t sequence = std::exchange(sequence_, sequence_ + static_cast<uint32_t>(end - first));
      for (size_t i = first; i < end; i++) {
        netlink::SetSequence(bytes, requests[i].at, sequence + static_cast<uint32_t>(i - first));
      }
      const size_t from = requests[first].at;
      const size_t to = requests[end - 1].at + requests[end - 1].length;
      AskSome(socket, View(bytes).subspan(from, to - from), sequence, end - first, static_cast<uint32_t>(first), out);
      first = end;
    }
    return ToBuffer(info.Env(), out);
  });
}

Napi::Value NetlinkConnection::Begin(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    netlink::Socket& socket = RequireIdle(info.Env());
    const View given = BytesArgument(info, 0, "request");
    const std::vector<netlink::Request> requests = RequestsIn(info.Env(), given);
    if (requests.size() != 1 || !requests[0].dump) {
      throw Napi::TypeError::New(info.Env(), "request must be one dump request");
    }
    Bytes bytes(given.begin(), given.end());
    netlink::SetSequence(bytes, 0, sequence_);
    socket.Send(bytes, kAsking);
    dumping_ = sequence_++;
    return info.Env().Undefined();
  });
}

Napi::Value NetlinkConnection::Next(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    netlink::Socket& socket = RequireOpen(info.Env());
    const uint32_t most = SizeArgument(info, 0, "maxBytes");
    Bytes out;
    while (dumping_ && out.size() < most) {
      const Received received = socket.Receive(kAsking, [&](View datagram, auto) {
        while (const auto message = netlink::NextMessage(datagram)) {
          if (!dumping_ || message->sequence != *dumping_) continue;
          netlink::AppendMessage(out, *message, 0);
          if (netlink::IsLast(*message)) dumping_.reset();
        }
      });
      if (received == Received::kDatagrams) continue;
      dumping_.reset();
      throw SystemError{received == Received::kOverflow ? ENOBUFS : EPROTO, "recvmmsg", kAsking};
    }
    return ToBuffer(info.Env(), out);
  });
}

// For each datagram: i32 id of the namespace that it comes from (-1: the socket's own), u32 length, then the datagram.
void NetlinkConnection::Gather() {
  while (heard_.size() < kMostDrained) {
    const Received received = socket_->Receive(kListening, [&](View datagram, std::optional<int> id) {
      AppendNumber(heard_, static_cast<uint32_t>(id.value_or(-1)));
      AppendNumber(heard_, static_cast<uint32_t>(datagram.size()));
      Append(heard_, datagram);
    });
    if (received == Received::kNothing) break;
    if (received == Received::kOverflow) overflows_++;
  }
}

Napi::Value NetlinkConnection::Drain(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    RequireOpen(info.Env());
    std::unique_lock<std::mutex> lock;
    if (gatherer_) {
      lock = std::unique_lock(gatherer_->mutex());
      gatherer_->Read();
    }
    Gather();
    const uint32_t lost = socket_->Dropped();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("datagrams", ToBuffer(info.Env(), std::exchange(heard_, {})));
    result.Set("overflows", std::exchange(overflows_, 0));
    result.Set("lost", lost - std::exchange(told_lost_, lost));
    return result;
  });
}

Napi::Value NetlinkConnection::Follow(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    const std::chrono::milliseconds pause(SizeArgument(info, 0, "pauseMs"));
    const netlink::Socket& socket = RequireOpen(info.Env());
    gatherer_.reset();  // two at once would have a lock each
    gatherer_ = std::make_unique<Gatherer>(socket.fd(), pause, Gatherer::First::kIsNews, [this] {
      Gather();
      return !heard_.empty() || overflows_ > 0;
    });
    return Napi::Number::New(info.Env(), gatherer_->TakeNotices().release());
  });
}

Napi::Value NetlinkConnection::Close(const Napi::CallbackInfo& info) {
  gatherer_.reset();
  socket_.reset();
  return info.Env().Undefined();
}

netlink::Socket& NetlinkConnection::RequireOpen(Napi::Env env) const {
  if (!socket_) throw Napi::Error::New(env, "this netlink socket is closed");
  return *socket_;
}

netlink::Socket& NetlinkConnection::RequireIdle(Napi::Env env) const {
  netlink::Socket& socket = RequireOpen(env);
  if (listens_) throw Napi::Error::New(env, "this netlink socket listens: ask with another one");
  if (dumping_) throw Napi::Error::New(env, "a dump is under way: call next() until it returns nothing");
  return socket;
}
