// Turns what the kernel says of echo requests into records, without judging it.
#include "echo_records.h"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kUndisturbed = 5'000;  // nanoseconds for three readings of the clock

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

int64_t Read(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return Nanoseconds(time);
}

// A thread that is held back between two readings would take that for a clock that was set: then it reads again.
int64_t ClockOffset() {
  int64_t best = INT64_MAX;
  int64_t offset = 0;
  for (int attempt = 0; attempt < 5 && best > kUndisturbed; attempt++) {
    const int64_t before = Read(CLOCK_MONOTONIC);
    const int64_t real = Read(CLOCK_REALTIME);
    const int64_t took = Read(CLOCK_MONOTONIC) - before;
    if (took >= best) continue;
    best = took;
    offset = real - before - took / 2;
  }
  return offset;
}

void SetStamp(EchoRecord& record, const timespec& time) {
  record.stamp_s = static_cast<uint32_t>(time.tv_sec);
  record.stamp_ns = static_cast<uint32_t>(time.tv_nsec);
}

void SetAddress(EchoRecord& record, const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    std::memcpy(record.address, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
  } else if (address.sa_family == AF_INET6) {
    std::memcpy(record.address, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
  }
}

template <typename T>
T DataOf(const cmsghdr* header) {
  T value{};
  const size_t there = header->cmsg_len > CMSG_LEN(0) ? header->cmsg_len - CMSG_LEN(0) : 0;
  std::memcpy(&value, CMSG_DATA(header), std::min(sizeof value, there));
  return value;
}

struct WithOffender {
  sock_extended_err error;
  sockaddr_in6 offender;  // or sockaddr_in; AF_UNSPEC when nobody is to blame
};

void SetError(EchoRecord& record, const WithOffender& told) {
  const sock_extended_err& error = told.error;
  if (error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING) {
    record.kind = EchoKind::kStamp;
    record.number = error.ee_data;
    record.detail = static_cast<int32_t>(error.ee_info);
    return;
  }
  record.kind = EchoKind::kError;
  record.number = static_cast<uint32_t>(error.ee_origin << 16 | error.ee_type << 8 | error.ee_code);
  record.detail = static_cast<int32_t>(error.ee_errno);
  SetAddress(record, reinterpret_cast<const sockaddr&>(told.offender));
}

}  // namespace

void EchoRecords::Sent(uint32_t socket, uint32_t tag, const timespec& at, int error) {
  EchoRecord record{};
  record.kind = EchoKind::kSent;
  record.socket = socket;
  record.number = tag;
  record.detail = error;
  SetStamp(record, at);
  Append(record, {});
}

void EchoRecords::Failed(uint32_t socket, int error) {
  EchoRecord record{};
  record.kind = EchoKind::kFailed;
  record.socket = socket;
  record.detail = error;
  Append(record, {});
}

void EchoRecords::Received(uint32_t socket, const msghdr& message, uint32_t bytes, bool from_error_queue) {
  EchoRecord record{};
  record.kind = from_error_queue ? EchoKind::kError : EchoKind::kReply;
  record.socket = socket;
  record.cut = (message.msg_flags & MSG_TRUNC) != 0 ? 1 : 0;
  if (!from_error_queue && message.msg_namelen > 0) {
    SetAddress(record, *static_cast<const sockaddr*>(message.msg_name));
  }
  for (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(header))) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPING) {
      SetStamp(record, DataOf<scm_timestamping>(header).ts[0]);
    } else if ((header->cmsg_level == SOL_IP && header->cmsg_type == IP_RECVERR) ||
               (header->cmsg_level == SOL_IPV6 && header->cmsg_type == IPV6_RECVERR)) {
      SetError(record, DataOf<WithOffender>(header));
    }
  }
  const auto* data = static_cast<const uint8_t*>(message.msg_iov->iov_base);
  Append(record, {data, std::min<size_t>(bytes, message.msg_iov->iov_len)});
}

Bytes EchoRecords::Take() {
  count_ = 0;
  return std::exchange(bytes_, {});
}

void EchoRecords::Append(EchoRecord record, std::span<const uint8_t> data) {
  const int64_t offset = ClockOffset();
  record.offset_s = static_cast<uint32_t>(offset / kSecond);
  record.offset_ns = static_cast<uint32_t>(offset % kSecond);
  record.bytes = static_cast<uint16_t>(data.size());
  ::Append(bytes_, {reinterpret_cast<const uint8_t*>(&record), sizeof record});
  ::Append(bytes_, data);
  bytes_.resize((bytes_.size() + 3) & ~size_t{3});
  count_++;
}
