// A netlink socket of any protocol (man 7 netlink, Documentation/userspace-api/netlink): requests out, datagrams in bulk.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bytes.h"
#include "descriptor.h"
#include "netlink_message.h"

namespace netlink {

// Appends one generic netlink request with one attribute.
void AppendRequest(Bytes& out, uint16_t family, uint8_t command, uint16_t flags, uint32_t sequence, uint16_t attribute,
                   View value);

class Socket {
 public:
  // `doing` completes "cannot …" in errors.
  Socket(int protocol, const std::string& doing);

  int fd() const { return fd_.get(); }

  void Send(View requests, const std::string& doing) const;

  enum class Received { kNothing, kDatagrams, kOverflow };
  // Hands over what has arrived, at most one batch; never waits. A datagram larger than a slot is skipped and counted.
  // kOverflow: the socket's buffer was full, and the kernel has thrown messages away since.
  // `each` also gets the id, in this socket's network namespace, of the one that the datagram comes from, if it is another.
  using Each = std::function<void(View, std::optional<int>)>;
  Received Receive(const std::string& doing, const Each& each);

  // Hears what the kernel sends to a multicast group of the protocol.
  void Join(uint32_t group, const std::string& doing) const;
  // Hears it from other network namespaces too, those that have an id in this one. Needs CAP_NET_BROADCAST.
  void HearAllNamespaces(const std::string& doing) const;
  // A classic BPF program (struct sock_filter end to end): what it returns 0 for is not queued.
  void Filter(View program, const std::string& doing) const;

  // Doubled by the kernel for its own bookkeeping; returned as it now stands, in the caller's measure.
  uint32_t SetReceiveBuffer(uint32_t bytes, const std::string& doing) const;

  // Messages thrown away since the socket was opened, because its buffer was full or a slot too small.
  uint32_t Dropped() const;

  // The number of a generic netlink family. Throws ENOENT where the kernel does not have it.
  uint16_t FamilyNumber(const char* name);

 private:
  Descriptor fd_;
  std::unique_ptr<uint8_t[]> slots_;  // not initialised: pages are only used when something arrives there
  uint32_t too_large_ = 0;
};

}  // namespace netlink
