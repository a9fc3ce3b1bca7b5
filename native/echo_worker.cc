// In rounds, one wake-up for many packets: the kernel has stamped what waits, so reading it later costs nothing. The
// thread sleeps until the next request is due or somebody asks for records, and no packet wakes it.
#include "echo_worker.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <stdexcept>
#include <utility>

#include "errors.h"
#include "thread.h"

namespace {

constexpr auto kRound = std::chrono::milliseconds(100);  // shortest time from the beginning of one round to the next
constexpr size_t kMostRequests = 65'536;
constexpr size_t kMostBytes = 16 << 20;  // of records, some 30 000 requests
constexpr size_t kSlots = 16;            // messages in one recvmmsg
constexpr int kMostBatches = 64;         // of one socket in one round
constexpr size_t kDataBytes = 256;       // of a packet with all its headers
// What is added to the counter of the eventfd that wakes the thread.
constexpr uint64_t kNew = 1;
constexpr uint64_t kAsked = uint64_t{1} << 32;

timespec Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

int Milliseconds(std::chrono::steady_clock::duration time) {
  return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(time).count()));
}

sockaddr_in6 SocketAddress(int family, const uint8_t* address) {
  sockaddr_in6 v6{};
  if (family == AF_INET6) {
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_addr, address, 16);
    return v6;
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  std::memcpy(&v4.sin_addr, address, 4);
  std::memcpy(&v6, &v4, sizeof v4);
  return v6;
}

// What the kernel makes of ICMP errors (icmp_err_convert, icmpv6_err_convert).
bool IsIcmpError(int error) {
  constexpr std::array kErrors = {ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN,  ENONET,
                                  EOPNOTSUPP,   EMSGSIZE,     ENOPROTOOPT, EACCES,     EPROTO};
  return std::ranges::find(kErrors, error) != kErrors.end();
}

}  // namespace

EchoWorker::EchoWorker()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  const char* const doing = "start sending echo requests";
  if (!epoll_.open()) throw SystemError{errno, "epoll_create1", doing};
  if (!wake_.open()) throw SystemError{errno, "eventfd", doing};
  thread_ = StartThread("echo", doing, [this] { Run(); });
}

EchoWorker::~EchoWorker() {
  stopping_ = true;
  Wake(kAsked);
  thread_.join();
}

uint32_t EchoWorker::Add(Descriptor fd, int family) {
  const std::lock_guard lock(mutex_);
  const uint32_t number = ++last_number_;
  epoll_event event{.events = EPOLLIN, .data = {.u64 = number}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) < 0) {
    throw SystemError{errno, "epoll_ctl", "watch an ICMP socket"};
  }
  sockets_.emplace(number, std::make_shared<const Socket>(Socket{std::move(fd), family}));
  return number;
}

void EchoWorker::Remove(uint32_t number) {
  const std::lock_guard lock(mutex_);
  sockets_.erase(number);
}

uint32_t EchoWorker::Send(std::span<const uint8_t> requests) {
  const auto now = Clock::now();
  std::vector<std::pair<Clock::time_point, Request>> read;
  for (size_t at = 0; at < requests.size();) {
    EchoRequest request;
    if (requests.size() - at < sizeof request) throw std::invalid_argument("a request is cut short");
    std::memcpy(&request, &requests[at], sizeof request);
    at += sizeof request;
    const size_t padded = (size_t{request.bytes} + 3) & ~size_t{3};
    if (requests.size() - at < padded) throw std::invalid_argument("a packet is cut short");
    const auto packet = requests.subspan(at, request.bytes);
    at += padded;
    const auto socket = Find(request.socket);
    const sockaddr_in6 address = SocketAddress(socket ? socket->family : AF_INET, request.address);
    read.emplace_back(now + std::chrono::microseconds(request.after_us),
                      Request{request.socket, request.tag, address, Bytes(packet.begin(), packet.end())});
  }
  uint32_t taken = 0;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [due, request] : read) {
      if (requests_.size() >= kMostRequests) break;
      requests_.emplace(due, std::move(request));
      taken++;
    }
  }
  if (taken > 0) Wake(kNew);
  return taken;
}

EchoWorker::Drained EchoWorker::Drain() {
  Wake(kAsked);
  const std::lock_guard lock(mutex_);
  const uint32_t rounds = out_.rounds;
  return std::exchange(out_, {.records = {}, .lost = 0, .rounds = rounds});
}

void EchoWorker::Wake(uint64_t reason) const {
  // It can only fail when it is full, and then the thread is awake.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &reason, sizeof reason);
}

std::shared_ptr<const EchoWorker::Socket> EchoWorker::Find(uint32_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = sockets_.find(number);
  return found == sockets_.end() ? nullptr : found->second;
}

std::optional<EchoWorker::Clock::time_point> EchoWorker::NextDue() const {
  const std::lock_guard lock(mutex_);
  if (requests_.empty()) return std::nullopt;
  return requests_.begin()->first;
}

void EchoWorker::Run() {
  auto began = Clock::now() - kRound;
  while (true) {
    WaitForWork(began);
    if (stopping_) return;
    began = Clock::now();
    ReadAll();
    SendDue();
    HandOver();
  }
}

// Until something is due or records are asked for, and the next round may begin.
void EchoWorker::WaitForWork(Clock::time_point round_began) const {
  const auto earliest = round_began + kRound;
  bool asked = false;
  while (!stopping_) {
    const auto due = asked ? earliest : NextDue();
    const auto now = Clock::now();
    if (due && now >= std::max(*due, earliest)) return;
    pollfd wake{.fd = wake_.get(), .events = POLLIN, .revents = 0};
    if (poll(&wake, 1, due ? Milliseconds(std::max(*due, earliest) - now) : -1) > 0) asked = TakeWake() || asked;
  }
}

// Whether records were asked for; else there are new requests.
bool EchoWorker::TakeWake() const {
  uint64_t told = 0;
  [[maybe_unused]] const ssize_t taken = read(wake_.get(), &told, sizeof told);
  return told >= kAsked;
}

void EchoWorker::ReadAll() {
  std::array<epoll_event, 64> events;
  // Each is read once in a round, so that nobody who keeps sending keeps us here.
  std::set<uint64_t> seen;
  while (true) {
    const int ready = epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    const size_t before = seen.size();
    for (const epoll_event& event : std::span(events).first(static_cast<size_t>(std::max(0, ready)))) {
      if (!seen.insert(event.data.u64).second) continue;
      Read(static_cast<uint32_t>(event.data.u64));
    }
    if (ready < static_cast<int>(events.size()) || seen.size() == before) return;
  }
}

void EchoWorker::SendDue() {
  std::multimap<Clock::time_point, Request> due;
  {
    const std::lock_guard lock(mutex_);
    const auto end = requests_.upper_bound(Clock::now());
    while (requests_.begin() != end) due.insert(due.end(), requests_.extract(requests_.begin()));
  }
  std::set<uint32_t> used;
  for (const auto& [at, request] : due) {
    const auto socket = Find(request.socket);
    const auto* address = reinterpret_cast<const sockaddr*>(&request.address);
    const socklen_t length = request.address.sin6_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    const timespec before = Now();
    int error = EBADF;  // closed meanwhile
    // An ICMP error that came in is reported by whichever call is next, which then does nothing: so it is called again.
    for (int attempt = 0; socket && error != 0 && error != EAGAIN && attempt < 2; attempt++) {
      const ssize_t sent =
          sendto(socket->fd.get(), request.packet.data(), request.packet.size(), MSG_DONTWAIT, address, length);
      error = sent < 0 ? errno : 0;
    }
    records_.Sent(request.socket, request.tag, before, error);
    if (socket) used.insert(request.socket);
  }
  // Their stamps are there already, and on a near network the replies as well.
  for (const uint32_t number : used) Read(number);
}

void EchoWorker::Read(uint32_t number) {
  const auto socket = Find(number);
  if (!socket) return;
  ReadQueue(number, socket->fd, MSG_ERRQUEUE);
  ReadQueue(number, socket->fd, 0);
}

void EchoWorker::ReadQueue(uint32_t number, const Descriptor& fd, int queue) {
  std::array<mmsghdr, kSlots> headers;
  std::array<iovec, kSlots> places;
  std::array<sockaddr_in6, kSlots> names;
  std::array<std::array<uint8_t, kDataBytes>, kSlots> data;
  alignas(cmsghdr) std::array<std::array<uint8_t, kDataBytes>, kSlots> control;

  int failures = 0;
  for (int batch = 0; batch < kMostBatches; batch++) {
    for (size_t i = 0; i < kSlots; i++) {
      places[i] = {data[i].data(), kDataBytes};
      headers[i].msg_hdr = {.msg_name = &names[i],
                            .msg_namelen = sizeof names[i],
                            .msg_iov = &places[i],
                            .msg_iovlen = 1,
                            .msg_control = control[i].data(),
                            .msg_controllen = kDataBytes,
                            .msg_flags = 0};
    }
    const int got = recvmmsg(fd.get(), headers.data(), kSlots, MSG_DONTWAIT | queue, nullptr);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      // An ICMP error is reported here once more; its details stand in the error queue. Taken, it is out of the way.
      if (!IsIcmpError(errno)) records_.Failed(number, errno);
      if (++failures > 2) return;
      continue;
    }
    for (size_t i = 0; i < static_cast<size_t>(got); i++) {
      records_.Received(number, headers[i].msg_hdr, headers[i].msg_len, queue == MSG_ERRQUEUE);
    }
    if (got < static_cast<int>(kSlots)) return;
  }
}

void EchoWorker::HandOver() {
  const uint32_t count = records_.count();
  const Bytes bytes = records_.Take();
  const std::lock_guard lock(mutex_);
  out_.rounds++;
  if (out_.records.size() + bytes.size() > kMostBytes) {
    out_.lost += count;
  } else {
    Append(out_.records, bytes);
  }
}
