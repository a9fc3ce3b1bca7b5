// Opens and prepares sockets for echo requests: stamps, errors, filter.
#include "echo_socket.h"

#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/net_tstamp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "errors.h"

namespace {

constexpr uint8_t kEchoReply = 0;     // RFC 792
constexpr uint8_t kEchoReplyV6 = 129;  // RFC 4443
constexpr int kReceiveBytes = 1 << 20;  // stamps and replies of a few hundred requests, until they are read

template <typename Value>
void Set(const Descriptor& fd, int level, int option, const Value& value, const std::string& doing) {
  if (setsockopt(fd.get(), level, option, &value, sizeof value) < 0) throw SystemError{errno, "setsockopt", doing};
}

// An IPv4 raw socket hands the filter the IP header first, an IPv6 one begins with ICMPv6.
void AttachFilter(const Descriptor& fd, int family, uint16_t ident, const std::string& doing) {
  const bool v4 = family == AF_INET;
  const uint32_t type = v4 ? kEchoReply : kEchoReplyV6;
  sock_filter program[] = {
      v4 ? sock_filter BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0) : sock_filter BPF_STMT(BPF_LDX | BPF_IMM, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, type, 0, 3),
      BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ident, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog filter{.len = sizeof program / sizeof *program, .filter = program};
  Set(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter, doing);
  // Of what is no echo reply the kernel then makes not even a copy.
  if (v4) {
    const icmp_filter not_replies{~(1U << kEchoReply)};
    Set(fd, SOL_RAW, ICMP_FILTER, not_replies, doing);
  } else {
    icmp6_filter not_replies;
    ICMP6_FILTER_SETBLOCKALL(&not_replies);
    ICMP6_FILTER_SETPASS(kEchoReplyV6, &not_replies);
    Set(fd, SOL_ICMPV6, ICMP6_FILTER, not_replies, doing);
  }
}

// The kernel gives an unprivileged socket its identifier when it is bound, as it gives ports.
uint16_t BindIdent(const Descriptor& fd, int family, const std::string& doing) {
  sockaddr_storage address{};
  address.ss_family = static_cast<sa_family_t>(family);
  socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) < 0) throw SystemError{errno, "bind", doing};
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) < 0) {
    throw SystemError{errno, "getsockname", doing};
  }
  return ntohs(family == AF_INET ? reinterpret_cast<const sockaddr_in&>(address).sin_port
                                 : reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

}  // namespace

Descriptor OpenEchoSocket(int family, bool raw, uint16_t& ident) {
  const bool v4 = family == AF_INET;
  const std::string doing =
      std::string("open ") + (raw ? "a raw " : "an unprivileged ") + (v4 ? "ICMP" : "ICMPv6") + " socket";
  const int type = (raw ? SOCK_RAW : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const int protocol = v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6);
  Descriptor fd(socket(family, type, protocol));
  if (!fd.open()) throw SystemError{errno, "socket", doing};

  if (raw) {
    AttachFilter(fd, family, ident, doing);
  } else {
    ident = BindIdent(fd, family, doing);
  }
  const int on = 1;
  Set(fd, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, on, doing);
  // No OPT_TSONLY: the stamp comes with the packet, whose content says which it was, also after a send that failed half
  // way, when the counter of OPT_ID may have gone on or not.
  const int stamps = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED |
                     SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_OPT_ID;
  Set(fd, SOL_SOCKET, SO_TIMESTAMPING, stamps, doing);
  // FORCE asks for CAP_NET_ADMIN. Less room only means that a thread which is held back for long misses stamps.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes) < 0) {
    Set(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBytes, doing);
  }
  return fd;
}

Descriptor OpenStampingSocket() {
  const std::string doing = "open a socket for time stamps";
  Descriptor fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.open()) throw SystemError{errno, "socket", doing};
  const int stamps = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE;
  Set(fd, SOL_SOCKET, SO_TIMESTAMPING, stamps, doing);
  return fd;
}
