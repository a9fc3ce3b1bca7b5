// Checks what JavaScript hands in. A wrong argument is a TypeError that names it; it never reaches the kernel.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>

inline std::string StringArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsString()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a string");
  return info[index].As<Napi::String>();
}

// Valid until JavaScript runs again.
inline std::span<const uint8_t> BytesArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a Uint8Array");
  }
  const auto bytes = info[index].As<Napi::Uint8Array>();
  return {bytes.Data(), bytes.ElementLength()};
}

// A whole number from 1 to 2^31-1: sizes in bytes.
inline uint32_t SizeArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : 0;
  if (!(value >= 1 && value <= INT32_MAX) || value != static_cast<uint32_t>(value)) {
    throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a whole number from 1 to 2147483647");
  }
  return static_cast<uint32_t>(value);
}
