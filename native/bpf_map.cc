// Whole maps and whole rings, in as few system calls as the kernel allows.
#include "bpf_map.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "errors.h"

namespace {

constexpr size_t kBatchBytes = 512 * 1024;  // read per system call; more gains nothing
constexpr size_t kGatheredAtOnce = 256 * 1024;
constexpr size_t kLeastBatch = 64;          // entries: a bucket of the hash must fit, or we start with a refusal

bool HasValuePerCpu(const bpf_map* map) {
  switch (bpf_map__type(map)) {
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return true;
    default:
      return false;
  }
}

// Batches came with 5.6 for hashes and arrays; some kinds of map still have none.
bool MeansNoBatches(int number) {
  return number == EINVAL || number == EOPNOTSUPP || number == 524 /* the kernel's ENOTSUPP */;
}

// False when the kernel has no batches for this map, and then nothing was read.
bool ReadInBatches(const bpf_map* map, const std::string& name, Entries& read) {
  const size_t key_size = bpf_map__key_size(map);
  const size_t value_size = ValueBytes(map);
  Bytes position(std::max<size_t>(key_size, sizeof(uint64_t)));  // a bucket's number, or a key
  uint32_t batch = static_cast<uint32_t>(std::max(kBatchBytes / (key_size + value_size + 1), kLeastBatch));
  batch = std::clamp(bpf_map__max_entries(map), 1u, batch);
  for (bool first = true;;) {
    read.keys.resize((read.count + size_t{batch}) * key_size);
    read.values.resize((read.count + size_t{batch}) * value_size);
    uint32_t count = batch;
    const int failed = bpf_map_lookup_batch(bpf_map__fd(map), first ? nullptr : position.data(), position.data(),
                                            &read.keys[read.count * key_size],
                                            &read.values[read.count * value_size], &count, nullptr);
    if (failed < 0 && errno == ENOSPC) {  // one bucket holds more than a batch
      batch *= 2;
      continue;
    }
    if (failed < 0 && first && MeansNoBatches(errno)) return false;
    if (failed < 0 && errno != ENOENT) throw SystemError{errno, "bpf", "read the BPF map " + name};
    read.count += count;
    first = false;
    if (failed < 0 || count == 0) break;
  }
  read.keys.resize(read.count * key_size);
  read.values.resize(read.count * value_size);
  return true;
}

// Entries that come and go meanwhile can make the walk begin anew, so it is bounded; a key may come twice then.
void ReadOneByOne(const bpf_map* map, const std::string& name, Entries& read) {
  const size_t key_size = bpf_map__key_size(map);
  const int fd = bpf_map__fd(map);
  const uint64_t most = uint64_t{2} * bpf_map__max_entries(map) + 1;
  Bytes key(key_size);
  Bytes value(ValueBytes(map));
  const void* after = nullptr;
  for (uint64_t step = 0; step < most; step++) {
    if (bpf_map_get_next_key(fd, after, key.data()) < 0) {
      if (errno == ENOENT) return;
      throw SystemError{errno, "bpf", "read the BPF map " + name};
    }
    after = key.data();
    if (bpf_map_lookup_elem(fd, key.data(), value.data()) < 0) continue;  // deleted between our two looks at it
    Append(read.keys, key);
    Append(read.values, value);
    read.count++;
  }
}

}  // namespace

uint32_t ValueBytes(const bpf_map* map) {
  const uint32_t size = bpf_map__value_size(map);
  if (!HasValuePerCpu(map)) return size;
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) throw SystemError{-cpus, "read", "count the CPUs in /sys/devices/system/cpu/possible"};
  return (size + 7) / 8 * 8 * static_cast<uint32_t>(cpus);
}

Entries ReadEntries(const bpf_map* map, const std::string& name, bool& batched) {
  Entries read;
  if (batched) {
    batched = ReadInBatches(map, name, read);
    if (batched) return read;
    read = {};
  }
  ReadOneByOne(map, name, read);
  return read;
}

Ring::Ring(const bpf_map* map, const std::string& name)
    : name_(name), ring_(ring_buffer__new(bpf_map__fd(map), Take, this, nullptr)) {
  if (!ring_) throw SystemError{errno, "mmap", "open the ring buffer " + name};
}

int Ring::Take(void* self, void* record, size_t size) {
  Ring& ring = *static_cast<Ring*>(self);
  const std::span<const uint8_t> bytes(static_cast<const uint8_t*>(record), size);
  try {  // libbpf is C: nothing may be thrown through it
    const bool fits = ring.taken_.empty() || ring.taken_.size() + sizeof(uint32_t) + size <= ring.max_bytes_;
    Bytes& into = fits ? ring.taken_ : ring.kept_;
    AppendNumber(into, static_cast<uint32_t>(size));
    Append(into, bytes);
    return fits ? 0 : -ENOSPC;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

Bytes Ring::Drain(size_t max_bytes) {
  if (!gatherer_) return Consume(max_bytes);
  const std::lock_guard lock(gatherer_->mutex());
  gatherer_->Read();
  if (gathered_.empty()) return Consume(max_bytes);
  Bytes first = std::move(gathered_.front());
  gathered_.pop_front();
  gathered_bytes_ -= first.size();
  return first;
}

bool Ring::Gather(size_t most_bytes) {
  while (gathered_bytes_ < most_bytes) {
    Bytes part = Consume(kGatheredAtOnce);
    if (part.empty()) break;
    gathered_bytes_ += part.size();
    gathered_.push_back(std::move(part));
  }
  return !gathered_.empty();
}

Descriptor Ring::Follow(std::chrono::milliseconds pause, size_t most_bytes) {
  gatherer_.reset();  // two at once would have a lock each
  const int fd = ring_buffer__epoll_fd(ring_.get());
  gatherer_ = std::make_unique<Gatherer>(fd, pause, Gatherer::First::kWaits,
                                         [this, most_bytes] { return Gather(most_bytes); });
  return gatherer_->TakeNotices();
}

Bytes Ring::Consume(size_t max_bytes) {
  max_bytes_ = max_bytes;
  taken_ = std::exchange(kept_, {});
  if (taken_.size() < max_bytes) {
    const int result = ring_buffer__consume(ring_.get());
    if (result < 0 && result != -ENOSPC) {
      throw SystemError{-result, "ring_buffer__consume", "drain the ring buffer " + name_};
    }
  }
  return std::exchange(taken_, {});
}
