// The kernel's message about each task that exits: registered, drained without waiting, losses counted.
#include "taskstats_exits.h"

#include <linux/taskstats.h>

#include <cerrno>
#include <utility>

#include "errors.h"

using netlink::View;

namespace {

constexpr size_t kMostDrained = 16 * 1024 * 1024;  // per call, so that a storm cannot keep us for ever
constexpr const char* kDoing = "listen for exiting tasks";

}  // namespace

TaskstatsExits::TaskstatsExits(uint16_t family, std::string cpus, uint32_t buffer_bytes)
    : family_(family),
      cpus_(std::move(cpus)),
      socket_(NETLINK_GENERIC, kDoing),
      buffer_bytes_(socket_.SetReceiveBuffer(buffer_bytes, kDoing)) {
  Request(TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, NLM_F_ACK);
  // The kernel has confirmed before send() returns; exits may have come before that.
  while (!confirmed_ && Take(early_) == netlink::Socket::Received::kDatagrams) continue;
  if (confirmed_ != 0) throw SystemError{confirmed_.value_or(EPROTO), "send", kDoing};
}

TaskstatsExits::~TaskstatsExits() {
  try {
    Request(TASKSTATS_CMD_ATTR_DEREGISTER_CPUMASK, 0);
  } catch (...) {  // closing the socket ends it as well: the kernel drops listeners that have gone
  }
}

TaskstatsExits::Drained TaskstatsExits::Drain() {
  Drained drained{.messages = std::exchange(early_, {})};
  while (drained.messages.size() < kMostDrained) {
    const auto received = Take(drained.messages);
    if (received == netlink::Socket::Received::kNothing) break;
    if (received == netlink::Socket::Received::kOverflow) drained.overflows++;
  }
  const uint32_t lost = socket_.Dropped();
  drained.lost = lost - std::exchange(told_lost_, lost);
  return drained;
}

void TaskstatsExits::Request(uint16_t attribute, uint16_t flags) const {
  Bytes request;
  netlink::AppendRequest(request, family_, TASKSTATS_CMD_GET, flags, 1, attribute,
                         {reinterpret_cast<const uint8_t*>(cpus_.c_str()), cpus_.size() + 1});
  socket_.Send(request, kDoing);
}

netlink::Socket::Received TaskstatsExits::Take(Bytes& out) {
  return socket_.Receive(kDoing, [&](View datagram, auto) {
    while (const auto message = netlink::NextMessage(datagram)) {
      if (const auto number = netlink::ErrorNumber(*message)) confirmed_ = *number;
      if (message->type != family_) continue;
      const auto attributes = netlink::GenericAttributes(message->payload, TASKSTATS_CMD_NEW);
      if (!attributes) continue;
      AppendNumber(out, static_cast<uint32_t>(attributes->size()));
      Append(out, *attributes);
    }
  });
}
