// The systemd journal by libsystemd, which is loaded when it is first needed (types: native/index.ts).
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bytes.h"

struct sd_journal;

// The JavaScript class Journal.
class Journal : public Napi::ObjectWrap<Journal> {
 public:
  static Napi::Function Define(Napi::Env env);
  // new Journal(options: JournalOptions)
  explicit Journal(const Napi::CallbackInfo& info);
  ~Journal() override;

 private:
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  void Seek(const std::string& start);
  // False at the end.
  bool Next();
  void AppendEntry(Bytes& out);
  std::string Cursor();

  sd_journal* journal_ = nullptr;
  std::vector<std::string> fields_;
  // The entry at hand has not been handed over.
  bool pending_ = false;
};
