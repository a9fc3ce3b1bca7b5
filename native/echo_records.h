// The bytes between JavaScript and the thread that sends echo requests (their reader: native/index.ts), in the
// machine's byte order.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <ctime>

#include "bytes.h"

struct EchoRequest {
  uint32_t socket;
  uint32_t tag;       // comes back in the record kSent
  uint32_t after_us;  // microseconds from now
  uint32_t bytes;     // of the packet that follows: the ICMP message
  uint8_t address[16];  // of IPv4 the first four
};
static_assert(sizeof(EchoRequest) == 32);

enum class EchoKind : uint8_t { kSent = 1, kStamp = 2, kError = 3, kReply = 4, kFailed = 5 };

struct EchoRecord {
  uint16_t bytes;  // of data that follow; the next record begins at a multiple of 4
  EchoKind kind;
  uint8_t cut;           // 1: there were more data than these
  uint32_t socket;
  uint32_t number;       // kSent: tag; kStamp: OPT_ID's counter; kError: origin << 16 | type << 8 | code
  int32_t detail;        // kSent, kError, kFailed: error number, 0 for none; kStamp: SCM_TSTAMP_SND or _SCHED
  uint32_t stamp_s;      // kernel's clock (CLOCK_REALTIME); kSent: user space's, just before; 0 when there is none
  uint32_t stamp_ns;
  uint32_t offset_s;     // CLOCK_REALTIME - CLOCK_MONOTONIC when this was read: when it changes, the clock was set
  uint32_t offset_ns;
  uint8_t address[16];   // kReply: who sent it; kError: who complained; of IPv4 the first four
};
static_assert(sizeof(EchoRecord) == 48);

// Records end to end.
class EchoRecords {
 public:
  void Sent(uint32_t socket, uint32_t tag, const timespec& at, int error);
  void Failed(uint32_t socket, int error);
  // What recvmsg has returned: from the error queue stamps and errors, else replies.
  void Received(uint32_t socket, const msghdr& message, uint32_t bytes, bool from_error_queue);

  uint32_t count() const { return count_; }
  Bytes Take();

 private:
  void Append(EchoRecord record, std::span<const uint8_t> data);

  Bytes bytes_;
  uint32_t count_ = 0;
};
