// The kernel's message about each task that exits (Documentation/accounting/taskstats.rst).
#pragma once

#include <cstdint>
#include <string>

#include "netlink.h"

class TaskstatsExits {
 public:
  // `cpus` as the kernel writes lists of CPUs, `0-3,8`. Only the initial network namespace gets messages.
  TaskstatsExits(uint16_t family, std::string cpus, uint32_t buffer_bytes);
  ~TaskstatsExits();
  TaskstatsExits(const TaskstatsExits&) = delete;
  TaskstatsExits& operator=(const TaskstatsExits&) = delete;

  struct Drained {
    Bytes messages;  // for each u32 length, then the generic netlink attributes as they came
    uint32_t overflows = 0;
    uint32_t lost = 0;
  };
  // What has come since the last call.
  Drained Drain();

  uint32_t buffer_bytes() const { return buffer_bytes_; }

 private:
  void Request(uint16_t attribute, uint16_t flags) const;
  netlink::Socket::Received Take(Bytes& out);

  uint16_t family_;
  std::string cpus_;
  netlink::Socket socket_;
  uint32_t buffer_bytes_;
  Bytes early_;                 // what came before the kernel had confirmed the registration
  uint32_t told_lost_ = 0;
  std::optional<int> confirmed_;  // the error number of the registration, 0 when it stands
};
