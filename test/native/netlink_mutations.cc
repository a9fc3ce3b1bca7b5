// Takes damaged netlink datagrams apart, under the address sanitizer: every view must lie inside what arrived, and
// every walk must end. Arguments: the number of mutations, then files with datagrams that the kernel really sent.
#include "../../native/netlink_exchange.h"

#include <linux/taskstats.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

namespace {

using netlink::View;
using Datagram = std::vector<uint8_t>;

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

uint64_t touched = 0;
uint64_t told = 0;

// Reads both ends, which the sanitizer watches.
void Touch(View bytes) {
  if (!bytes.empty()) touched += bytes.front() + bytes.back();
}

void WalkAttributes(View list, int depth) {
  const size_t most = list.size() / sizeof(nlattr);
  size_t steps = 0;
  while (const auto attribute = netlink::NextAttribute(list)) {
    if (++steps > most) Fail("a list of attributes has no end");
    Touch(attribute->value);
    if (depth > 0) WalkAttributes(attribute->value, depth - 1);
  }
}

// What we hand to JavaScript is in order, whatever came.
void WalkCopied(View copied) {
  while (const auto message = netlink::NextMessage(copied)) {
    if (message->sequence != 7) Fail("another sequence number");
    Touch(message->payload);
  }
  if (!copied.empty()) Fail("something was copied that is no message");
}

// As requests: what is cut off or padded wrongly is none.
void WalkRequests(View bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const auto request = netlink::RequestAt(bytes, at);
    if (!request) return;
    if (request->length < sizeof(nlmsghdr) || request->at + request->length > bytes.size()) Fail("no whole request");
    Touch(bytes.subspan(request->at, request->length));
    at += request->length;
  }
}

void Walk(View datagram) {
  std::vector<uint8_t> copied;
  WalkRequests(datagram);
  const size_t most = datagram.size() / sizeof(nlmsghdr);
  size_t steps = 0;
  while (const auto message = netlink::NextMessage(datagram)) {
    if (++steps > most) Fail("a datagram has no end");
    Touch(message->payload);
    // As other families have it: their own header, then attributes.
    for (const size_t header : {size_t{4}, size_t{8}, size_t{72}}) {
      if (message->payload.size() >= header) WalkAttributes(message->payload.subspan(header), 3);
    }
    if (!netlink::IsLast(*message) && (message->flags & NLM_F_MULTI) == 0) Fail("a message that nothing follows is the last");
    netlink::AppendMessage(copied, *message, 7);
    if (const auto number = netlink::ErrorNumber(*message); number && (*number < 0 || *number > 4095)) {
      Fail("an error number that is none");
    }
    for (const uint8_t command : {uint8_t{CTRL_CMD_NEWFAMILY}, uint8_t{TASKSTATS_CMD_NEW}}) {
      const auto attributes = netlink::GenericAttributes(message->payload, command);
      if (!attributes) continue;
      WalkAttributes(*attributes, 2);
      const auto group = netlink::FindAttribute(*attributes, TASKSTATS_TYPE_AGGR_TGID);
      const auto stats = group ? netlink::FindAttribute(*group, TASKSTATS_TYPE_STATS) : std::nullopt;
      if (stats) told++;
      if (stats) Touch(*stats);
    }
  }
  WalkCopied(copied);
}

// Bits, bytes, lengths and cuts; the headers in front more often than the rest.
void Damage(Datagram& datagram, std::mt19937& random) {
  const auto below = [&](size_t limit) { return limit == 0 ? 0 : random() % limit; };
  for (size_t i = 0, times = 1 + below(4); i < times && !datagram.empty(); i++) {
    const size_t at = below(2) == 0 ? below(std::min<size_t>(datagram.size(), 40)) : below(datagram.size());
    switch (below(5)) {
      case 0: datagram[at] ^= static_cast<uint8_t>(1u << below(8)); break;
      case 1: datagram[at] = static_cast<uint8_t>(random()); break;
      case 2: datagram[at] = below(2) == 0 ? 0 : 0xff; break;
      case 3: datagram.resize(at); break;
      default: datagram.insert(datagram.begin() + static_cast<long>(at), 1 + below(8), static_cast<uint8_t>(random()));
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<Datagram> whole;
  for (int i = 2; i < count; i++) {
    std::ifstream file(arguments[i], std::ios::binary);
    whole.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (whole.back().empty()) Fail("an empty fixture");
    Walk(whole.back());
  }
  if (told == 0) Fail("the whole datagrams tell nothing: the parser refuses everything");

  std::mt19937 random(20250923);
  for (long left = count > 2 ? std::atol(arguments[1]) : 0; left > 0; left--) {
    Datagram damaged = whole[static_cast<size_t>(left) % whole.size()];
    Damage(damaged, random);
    // On the heap in its exact size, so that one byte too far is seen.
    const std::unique_ptr<uint8_t[]> exact(new uint8_t[damaged.size()]);
    std::copy(damaged.begin(), damaged.end(), exact.get());
    Walk({exact.get(), damaged.size()});
  }
  std::printf("%llu stats, %llu\n", static_cast<unsigned long long>(told), static_cast<unsigned long long>(touched));
  return 0;
}
