// The thread that sends echo requests when they are due, and reads what the kernel has to say of them. It never waits
// for JavaScript, so that a blocked main loop neither delays a request nor loses a stamp.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "bytes.h"
#include "descriptor.h"
#include "echo_records.h"

class EchoWorker {
 public:
  EchoWorker();
  ~EchoWorker();
  EchoWorker(const EchoWorker&) = delete;
  EchoWorker& operator=(const EchoWorker&) = delete;

  // Returns the socket's number. Throws SystemError.
  uint32_t Add(Descriptor fd, int family);
  // Closes the socket now, or when the system call that uses it has returned. An unknown number is nothing.
  void Remove(uint32_t number);

  // Each: EchoRequest (native/echo_records.h), then its packet, padded to 4 bytes. Returns how many were taken: the
  // others found no room. Throws std::invalid_argument for what is cut short.
  uint32_t Send(std::span<const uint8_t> requests);

  struct Drained {
    Bytes records;
    uint32_t lost = 0;    // records that found no room since the last call
    uint32_t rounds = 0;  // finished so far: each has read all that was there when it began
  };
  // Also begins a round, so that the next call knows of everything that has come until now.
  Drained Drain();

 private:
  using Clock = std::chrono::steady_clock;
  struct Socket {
    Descriptor fd;
    int family;
  };
  struct Request {
    uint32_t socket;
    uint32_t tag;
    sockaddr_in6 address;  // or sockaddr_in
    Bytes packet;
  };

  void Run();
  void Wake(uint64_t reason) const;
  bool TakeWake() const;
  void WaitForWork(Clock::time_point round_began) const;
  void ReadAll();
  void SendDue();
  void Read(uint32_t number);
  void ReadQueue(uint32_t number, const Descriptor& fd, int queue);
  void HandOver();
  std::optional<Clock::time_point> NextDue() const;
  std::shared_ptr<const Socket> Find(uint32_t number) const;

  Descriptor epoll_;
  Descriptor wake_;
  std::atomic<bool> stopping_ = false;

  mutable std::mutex mutex_;  // guards what follows
  std::map<uint32_t, std::shared_ptr<const Socket>> sockets_;
  uint32_t last_number_ = 0;
  std::multimap<Clock::time_point, Request> requests_;
  Drained out_;

  EchoRecords records_;  // the thread's own, until a round is over
  std::thread thread_;   // the last member: it begins when all others are there
};
