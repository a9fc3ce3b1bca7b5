// A generic netlink socket: requests out, datagrams in bulk.
#include "netlink.h"

#include <linux/sock_diag.h>

#include <array>
#include <cerrno>

#include "errors.h"

namespace netlink {
namespace {

constexpr size_t kSlots = 32;
constexpr size_t kSlotBytes = 4096;  // taskstats sends two structs of 560 bytes at an exit, and they grow

template <typename T>
View Raw(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

void Pad(Bytes& out) { out.resize(Aligned(out.size())); }

}  // namespace

void AppendRequest(Bytes& out, uint16_t family, uint8_t command, uint16_t flags, uint32_t sequence, uint16_t attribute,
                   View value) {
  const size_t length = NLMSG_HDRLEN + GENL_HDRLEN + NLA_HDRLEN + value.size();
  Append(out, Raw(nlmsghdr{.nlmsg_len = static_cast<uint32_t>(length),
                           .nlmsg_type = family,
                           .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
                           .nlmsg_seq = sequence,
                           .nlmsg_pid = 0}));
  Append(out, Raw(genlmsghdr{.cmd = command, .version = 1, .reserved = 0}));
  Append(out, Raw(nlattr{.nla_len = static_cast<uint16_t>(NLA_HDRLEN + value.size()), .nla_type = attribute}));
  Append(out, value);
  Pad(out);
}

Socket::Socket(const std::string& doing)
    : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC)), slots_(kSlots * kSlotBytes) {
  if (!fd_.open()) throw SystemError{errno, "socket", doing};
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0) {
    throw SystemError{errno, "connect", doing};
  }
}

void Socket::Send(View requests, const std::string& doing) const {
  while (send(fd_.get(), requests.data(), requests.size(), 0) < 0) {
    if (errno != EINTR) throw SystemError{errno, "send", doing};
  }
}

Socket::Received Socket::Receive(const std::string& doing, const std::function<void(View)>& each) {
  std::array<mmsghdr, kSlots> headers{};
  std::array<iovec, kSlots> places;
  std::array<sockaddr_nl, kSlots> senders{};
  for (size_t i = 0; i < kSlots; i++) {
    places[i] = {&slots_[i * kSlotBytes], kSlotBytes};
    headers[i].msg_hdr.msg_iov = &places[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    headers[i].msg_hdr.msg_name = &senders[i];
    headers[i].msg_hdr.msg_namelen = sizeof senders[i];
  }
  const int got = recvmmsg(fd_.get(), headers.data(), kSlots, MSG_DONTWAIT, nullptr);
  if (got < 0 && errno == ENOBUFS) return Received::kOverflow;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Received::kNothing;
  if (got < 0) throw SystemError{errno, "recvmmsg", doing};
  for (size_t i = 0; i < static_cast<size_t>(got); i++) {
    if (senders[i].nl_pid != 0) continue;  // another process, not the kernel
    if ((headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
      too_large_++;
    } else {
      each(View(slots_).subspan(i * kSlotBytes, headers[i].msg_len));
    }
  }
  return Received::kDatagrams;
}

uint32_t Socket::SetReceiveBuffer(uint32_t bytes, const std::string& doing) const {
  const int wanted = static_cast<int>(bytes);
  // FORCE goes beyond net.core.rmem_max and asks for CAP_NET_ADMIN; without it we take what we are given.
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) < 0 &&
      setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted) < 0) {
    throw SystemError{errno, "setsockopt", doing};
  }
  int given = 0;
  socklen_t length = sizeof given;
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &given, &length) < 0) throw SystemError{errno, "getsockopt", doing};
  return static_cast<uint32_t>(given) / 2;
}

uint32_t Socket::Dropped() const {
  std::array<uint32_t, SK_MEMINFO_VARS> memory{};
  socklen_t length = sizeof memory;
  const bool told = getsockopt(fd_.get(), SOL_SOCKET, SO_MEMINFO, memory.data(), &length) == 0;
  return (told ? memory[SK_MEMINFO_DROPS] : 0) + too_large_;
}

uint16_t Socket::FamilyNumber(const char* name) {
  const std::string doing = std::string("find the kernel's ") + name + " interface";
  const View text(reinterpret_cast<const uint8_t*>(name), strlen(name) + 1);
  Bytes request;
  AppendRequest(request, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0, 1, CTRL_ATTR_FAMILY_NAME, text);
  Send(request, doing);
  uint16_t number = 0;
  int refused = 0;
  // The kernel has answered before send() returns, so what is not there now never comes.
  Receive(doing, [&](View datagram) {
    while (const auto message = NextMessage(datagram)) {
      if (const auto error = ErrorNumber(*message)) refused = *error;
      if (message->type != GENL_ID_CTRL) continue;
      const auto attributes = GenericAttributes(message->payload, CTRL_CMD_NEWFAMILY);
      const auto value = attributes ? FindAttribute(*attributes, CTRL_ATTR_FAMILY_ID) : std::nullopt;
      if (value && value->size() >= sizeof number) number = ReadAt<uint16_t>(*value, 0);
    }
  });
  if (number == 0) throw SystemError{refused != 0 ? refused : EPROTO, "send", doing};
  return number;
}

}  // namespace netlink
