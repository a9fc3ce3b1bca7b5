// Sockets that send ICMP and ICMPv6 echo requests, with every packet timed by the kernel (man 7 raw, 7 icmp;
// Documentation/networking/timestamping.rst).
#pragma once

#include <cstdint>

#include "descriptor.h"

// A raw socket sees every reply in its namespace, so a filter leaves it those with its identifier.
// One without CAP_NET_RAW (man 7 icmp, ping_group_range) gets its identifier from the kernel: then `ident` is changed.
// `family` is AF_INET or AF_INET6. Throws SystemError.
Descriptor OpenEchoSocket(int family, bool raw, uint16_t& ident);

// The kernel begins to stamp arriving packets a moment after the first socket has asked for it, and ends with the last
// one. While this one is open, nobody misses the first stamp.
Descriptor OpenStampingSocket();
