// BpfOptions of native/index.ts: what is chosen and set in an object between opening and loading it.
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bpf_constants.h"

struct BpfOptions {
  std::vector<std::string> programs;
  std::vector<Constant> constants;
  std::vector<std::pair<std::string, uint32_t>> map_entries;
};

// Reads everything before libbpf is called, so that getters in the options cannot come in between.
BpfOptions ReadBpfOptions(Napi::Env env, const Napi::Value& value);

// Throws a TypeError for a name that the object does not know, and for a value that does not fit.
void ApplyBpfOptions(Napi::Env env, bpf_object* object, const BpfOptions& options);
