// Takes netlink apart (man 7 netlink, include/uapi/linux/netlink.h). Nothing in a message is believed:
// every length is checked against what has really arrived, and what does not fit is not read.
#pragma once

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace netlink {

using View = std::span<const uint8_t>;

template <typename T>
T ReadAt(View bytes, size_t at) {  // the caller has checked the length
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

constexpr size_t Aligned(size_t length) { return (length + 3) & ~size_t{3}; }

struct Message {
  uint16_t type;
  uint16_t flags;
  uint32_t sequence;
  View payload;
};

// The next message of a datagram, which is shortened by it. Nothing when the rest is no whole message.
inline std::optional<Message> NextMessage(View& datagram) {
  if (datagram.size() < sizeof(nlmsghdr)) return std::nullopt;
  const auto header = ReadAt<nlmsghdr>(datagram, 0);
  if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size()) return std::nullopt;
  const Message message{header.nlmsg_type, header.nlmsg_flags, header.nlmsg_seq,
                        datagram.subspan(sizeof header, header.nlmsg_len - sizeof header)};
  datagram = datagram.subspan(std::min(Aligned(header.nlmsg_len), datagram.size()));
  return message;
}

struct Attribute {
  uint16_t type;
  View value;
};

// The next attribute of a list, which is shortened by it. Nothing when the rest is no whole attribute.
inline std::optional<Attribute> NextAttribute(View& list) {
  if (list.size() < sizeof(nlattr)) return std::nullopt;
  const auto header = ReadAt<nlattr>(list, 0);
  if (header.nla_len < sizeof header || header.nla_len > list.size()) return std::nullopt;
  const Attribute attribute{static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
                            list.subspan(sizeof header, header.nla_len - sizeof header)};
  list = list.subspan(std::min(Aligned(header.nla_len), list.size()));
  return attribute;
}

inline std::optional<View> FindAttribute(View list, uint16_t type) {
  while (const auto attribute = NextAttribute(list)) {
    if (attribute->type == type) return attribute->value;
  }
  return std::nullopt;
}

// The attributes behind a generic netlink header with that command.
inline std::optional<View> GenericAttributes(View payload, uint8_t command) {
  if (payload.size() < GENL_HDRLEN || ReadAt<genlmsghdr>(payload, 0).cmd != command) return std::nullopt;
  return payload.subspan(GENL_HDRLEN);
}

// The positive error number of an NLMSG_ERROR; 0 is an acknowledgement.
inline std::optional<int> ErrorNumber(const Message& message) {
  if (message.type != NLMSG_ERROR || message.payload.size() < sizeof(int32_t)) return std::nullopt;
  const auto number = ReadAt<int32_t>(message.payload, 0);
  return number <= 0 && number > -4096 ? std::optional(-number) : std::nullopt;
}

}  // namespace netlink
