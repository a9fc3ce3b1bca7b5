// A generic netlink socket (man 7 netlink, Documentation/userspace-api/netlink): requests out, datagrams in bulk.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <string>

#include "bytes.h"
#include "descriptor.h"
#include "netlink_message.h"

namespace netlink {

// Appends one request with one attribute.
void AppendRequest(Bytes& out, uint16_t family, uint8_t command, uint16_t flags, uint32_t sequence, uint16_t attribute,
                   View value);

class Socket {
 public:
  // `doing` completes "cannot …" in errors.
  explicit Socket(const std::string& doing);

  void Send(View requests, const std::string& doing) const;

  enum class Received { kNothing, kDatagrams, kOverflow };
  // Hands over what has arrived, at most one batch; never waits. A datagram larger than a slot is skipped and counted.
  // kOverflow: the socket's buffer was full, and the kernel has thrown messages away since.
  Received Receive(const std::string& doing, const std::function<void(View)>& each);

  // Doubled by the kernel for its own bookkeeping; returned as it now stands, in the caller's measure.
  uint32_t SetReceiveBuffer(uint32_t bytes, const std::string& doing) const;

  // Messages thrown away since the socket was opened, because its buffer was full or a slot too small.
  uint32_t Dropped() const;

  // The number of a generic netlink family. Throws ENOENT where the kernel does not have it.
  uint16_t FamilyNumber(const char* name);

 private:
  Descriptor fd_;
  Bytes slots_;
  uint32_t too_large_ = 0;
};

}  // namespace netlink
