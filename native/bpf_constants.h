// Sets `const volatile` globals of an object that is open but not loaded yet.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <string>

struct Constant {
  std::string name;
  bool negative;
  uint64_t bits;  // two's complement when negative
};

// Returns what is wrong with it, or an empty string when it was set.
std::string SetConstant(bpf_object* object, const Constant& constant);
