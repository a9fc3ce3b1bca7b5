// Whole maps and whole rings, in as few system calls as the kernel allows.
#pragma once

#include <bpf/libbpf.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "bytes.h"
#include "descriptor.h"
#include "gatherer.h"

// Of one value as user space sees it: maps with one value per CPU give all of them, each padded to 8 bytes.
uint32_t ValueBytes(const bpf_map* map);

struct Entries {
  uint32_t count = 0;
  Bytes keys;
  Bytes values;
};

// `batched` is remembered between calls: it turns false when the kernel cannot read this map in batches.
Entries ReadEntries(const bpf_map* map, const std::string& name, bool& batched);

// One ring buffer's reading end.
class Ring {
 public:
  Ring(const bpf_map* map, const std::string& name);

  // Records so far, each as u32 length and its bytes. At most `max_bytes`, but one record always,
  // so that a record larger than that does not block the ring.
  Bytes Drain(size_t max_bytes);

  // From now on a thread takes records in as they come, `most_bytes` at most: what is above stays in the ring.
  // Returns where a byte comes when there is something to drain.
  Descriptor Follow(std::chrono::milliseconds pause, size_t most_bytes);

 private:
  Bytes Consume(size_t max_bytes);
  bool Gather(size_t most_bytes);
  static int Take(void* self, void* record, size_t size);
  struct Freed {
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
  };

  std::string name_;
  std::unique_ptr<ring_buffer, Freed> ring_;
  Bytes taken_;
  Bytes kept_;  // a record that did not fit any more: libbpf has passed it by, so it opens the next batch
  size_t max_bytes_ = 0;
  std::deque<Bytes> gathered_;
  size_t gathered_bytes_ = 0;
  std::unique_ptr<Gatherer> gatherer_;  // the last member: its thread uses all others
};
