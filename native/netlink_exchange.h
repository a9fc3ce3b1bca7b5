// Requests that JavaScript laid end to end, and answers laid end to end for it. No part of it trusts a length.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <vector>

#include "netlink_message.h"

namespace netlink {

// A whole message, padded to 4 bytes.
struct Request {
  size_t at;
  size_t length;
  bool dump;
};

// Nothing when there is no whole message at `at`.
inline std::optional<Request> RequestAt(View bytes, size_t at) {
  const View rest = bytes.subspan(at);
  if (rest.size() < sizeof(nlmsghdr)) return std::nullopt;
  const auto header = ReadAt<nlmsghdr>(rest, 0);
  if (header.nlmsg_len < sizeof header || Aligned(header.nlmsg_len) > rest.size()) return std::nullopt;
  return Request{at, Aligned(header.nlmsg_len), (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP};
}

inline void SetSequence(std::vector<uint8_t>& bytes, size_t at, uint32_t sequence) {
  std::memcpy(&bytes[at + offsetof(nlmsghdr, nlmsg_seq)], &sequence, sizeof sequence);
}

// The message as it came, but with that sequence number.
inline void AppendMessage(std::vector<uint8_t>& out, const Message& message, uint32_t sequence) {
  const size_t at = out.size();
  const nlmsghdr header{.nlmsg_len = static_cast<uint32_t>(sizeof header + message.payload.size()),
                        .nlmsg_type = message.type,
                        .nlmsg_flags = message.flags,
                        .nlmsg_seq = sequence,
                        .nlmsg_pid = 0};
  out.resize(at + Aligned(header.nlmsg_len));
  std::memcpy(&out[at], &header, sizeof header);
  if (!message.payload.empty()) std::memcpy(&out[at + sizeof header], message.payload.data(), message.payload.size());
}

// True when nothing more comes for the request that this message answers.
inline bool IsLast(const Message& message) {
  return message.type == NLMSG_DONE || message.type == NLMSG_ERROR || (message.flags & NLM_F_MULTI) == 0;
}

}  // namespace netlink
