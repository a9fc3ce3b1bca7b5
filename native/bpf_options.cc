// BpfOptions of native/index.ts: what is chosen and set in an object between opening and loading it.
#include "bpf_options.h"

#include "errors.h"

namespace {

constexpr double kMostSafe = 9007199254740991;  // Number.MAX_SAFE_INTEGER

Constant ReadConstant(Napi::Env env, const std::string& name, const Napi::Value& value) {
  if (value.IsBigInt()) {
    bool lossless = false;
    const auto big = value.As<Napi::BigInt>();
    const uint64_t unsigned_bits = big.Uint64Value(&lossless);
    if (lossless) return {name, false, unsigned_bits};
    const int64_t signed_bits = big.Int64Value(&lossless);
    if (lossless) return {name, true, static_cast<uint64_t>(signed_bits)};
  } else if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (number >= -kMostSafe && number <= kMostSafe && number == static_cast<double>(static_cast<int64_t>(number))) {
      return {name, number < 0, static_cast<uint64_t>(static_cast<int64_t>(number))};
    }
  }
  throw Napi::TypeError::New(env, "the constant " + name + " must be a whole number of at most 64 bits");
}

// The own members of an optional object, as (name, value).
std::vector<std::pair<std::string, Napi::Value>> Members(Napi::Env env, const Napi::Object& options, const char* key) {
  std::vector<std::pair<std::string, Napi::Value>> members;
  const Napi::Value value = options.Get(key);
  if (value.IsUndefined()) return members;
  if (!value.IsObject()) throw Napi::TypeError::New(env, std::string(key) + " must be an object");
  const auto object = value.As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const Napi::Value name = names.Get(i);
    members.emplace_back(name.ToString().Utf8Value(), object.Get(name));
  }
  return members;
}

std::string KnownPrograms(const bpf_object* object) {
  std::string known;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    known += (known.empty() ? "" : ", ") + std::string(bpf_program__name(program));
  }
  return known.empty() ? "no programs" : known;
}

}  // namespace

BpfOptions ReadBpfOptions(Napi::Env env, const Napi::Value& value) {
  BpfOptions read;
  const auto options = value.IsObject() ? value.As<Napi::Object>() : Napi::Object::New(env);
  const Napi::Value programs = options.Get("programs");
  if (!programs.IsArray() || programs.As<Napi::Array>().Length() == 0) {
    throw Napi::TypeError::New(env, "options.programs must name at least one BPF program");
  }
  const auto names = programs.As<Napi::Array>();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const Napi::Value name = names.Get(i);
    if (!name.IsString()) throw Napi::TypeError::New(env, "options.programs must hold strings");
    read.programs.push_back(name.As<Napi::String>());
  }
  for (const auto& [name, member] : Members(env, options, "constants")) {
    read.constants.push_back(ReadConstant(env, name, member));
  }
  for (const auto& [name, member] : Members(env, options, "mapEntries")) {
    const double entries = member.IsNumber() ? member.As<Napi::Number>().DoubleValue() : 0;
    if (!(entries >= 1 && entries <= UINT32_MAX) || entries != static_cast<uint32_t>(entries)) {
      throw Napi::TypeError::New(env, "mapEntries." + name + " must be a whole number from 1 to 4294967295");
    }
    read.map_entries.emplace_back(name, static_cast<uint32_t>(entries));
  }
  return read;
}

void ApplyBpfOptions(Napi::Env env, bpf_object* object, const BpfOptions& options) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) bpf_program__set_autoload(program, false);
  for (const std::string& name : options.programs) {
    program = bpf_object__find_program_by_name(object, name.c_str());
    if (program == nullptr) {
      throw Napi::TypeError::New(env, "this BPF object has no program " + name + ", but " + KnownPrograms(object));
    }
    bpf_program__set_autoload(program, true);
  }
  for (const Constant& constant : options.constants) {
    const std::string wrong = SetConstant(object, constant);
    if (!wrong.empty()) throw Napi::TypeError::New(env, wrong);
  }
  for (const auto& [name, entries] : options.map_entries) {
    bpf_map* map = bpf_object__find_map_by_name(object, name.c_str());
    if (map == nullptr) throw Napi::TypeError::New(env, "this BPF object has no map " + name);
    const int failed = bpf_map__set_max_entries(map, entries);
    if (failed < 0) throw SystemError{-failed, "bpf_map__set_max_entries", "size the BPF map " + name};
  }
}
