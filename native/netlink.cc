// A netlink socket: requests out, datagrams in bulk.
#include "netlink.h"

#include <linux/filter.h>
#include <linux/sock_diag.h>

#include <array>
#include <cerrno>

#include "errors.h"

namespace netlink {
namespace {

constexpr size_t kSlots = 64;
constexpr size_t kSlotBytes = 32768;  // the kernel makes no larger datagram of a dump (netlink_recvmsg)
constexpr size_t kControlBytes = CMSG_SPACE(sizeof(int));

template <typename T>
View Raw(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

void Pad(Bytes& out) { out.resize(Aligned(out.size())); }

// Of the namespace that it comes from, in the socket's own.
std::optional<int> NamespaceId(msghdr& message) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_NETLINK || control->cmsg_type != NETLINK_LISTEN_ALL_NSID) continue;
    int id;
    std::memcpy(&id, CMSG_DATA(control), sizeof id);
    return id;
  }
  return std::nullopt;
}

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

Socket::Socket(int protocol, const std::string& doing)
    : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol)),
      slots_(new uint8_t[kSlots * kSlotBytes]) {
  if (!fd_.open()) throw SystemError{errno, "socket", doing};
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0) {
    throw SystemError{errno, "connect", doing};
  }
  // Errors without the request that they are about, which we know. Kernels before 4.2 send it all the same.
  const int on = 1;
  setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
}

void Socket::Join(uint32_t group, const std::string& doing) const {
  if (setsockopt(fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
    throw SystemError{errno, "setsockopt", doing};
  }
}

void Socket::HearAllNamespaces(const std::string& doing) const {
  const int on = 1;
  if (setsockopt(fd_.get(), SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof on) < 0) {
    throw SystemError{errno, "setsockopt", doing};
  }
}

void Socket::Filter(View program, const std::string& doing) const {
  std::vector<sock_filter> instructions(program.size() / sizeof(sock_filter));
  std::memcpy(instructions.data(), program.data(), instructions.size() * sizeof(sock_filter));
  const sock_fprog filter{.len = static_cast<uint16_t>(instructions.size()), .filter = instructions.data()};
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0) {
    throw SystemError{errno, "setsockopt", doing};
  }
}

void Socket::Send(View requests, const std::string& doing) const {
  while (send(fd_.get(), requests.data(), requests.size(), 0) < 0) {
    if (errno != EINTR) throw SystemError{errno, "send", doing};
  }
}

Socket::Received Socket::Receive(const std::string& doing, const Each& each) {
  std::array<mmsghdr, kSlots> headers{};
  std::array<iovec, kSlots> places;
  std::array<sockaddr_nl, kSlots> senders{};
  alignas(cmsghdr) std::array<std::array<uint8_t, kControlBytes>, kSlots> controls;
  for (size_t i = 0; i < kSlots; i++) {
    places[i] = {&slots_[i * kSlotBytes], kSlotBytes};
    headers[i].msg_hdr.msg_iov = &places[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    headers[i].msg_hdr.msg_name = &senders[i];
    headers[i].msg_hdr.msg_namelen = sizeof senders[i];
    headers[i].msg_hdr.msg_control = controls[i].data();
    headers[i].msg_hdr.msg_controllen = kControlBytes;
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
      each({&slots_[i * kSlotBytes], headers[i].msg_len}, NamespaceId(headers[i].msg_hdr));
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
  Receive(doing, [&](View datagram, auto) {
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
