// Bytes on their way from the kernel to JavaScript: gathered in one vector, handed over as one Buffer.
#pragma once

#include <napi.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

using Bytes = std::vector<uint8_t>;

inline void Append(Bytes& out, std::span<const uint8_t> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

// In the machine's byte order, which is little-endian wherever Node runs on Linux but s390x.
inline void AppendNumber(Bytes& out, uint32_t number) {
  uint8_t bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  Append(out, bytes);
}

inline Napi::Buffer<uint8_t> ToBuffer(Napi::Env env, const Bytes& bytes) {
  return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
}
