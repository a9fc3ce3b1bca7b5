// Many small files of /proc, /sys and cgroupfs in one call (types: native/index.ts).
#pragma once

#include <napi.h>

#include <vector>

#include "descriptor.h"

// readFiles(paths): opens, reads and closes each.
Napi::Value ReadFiles(const Napi::CallbackInfo& info);

// The JavaScript class OpenFiles: the same files again and again, without opening them again. Opening and closing
// is what costs: 7 of 9 µs for a file of cgroupfs.
class OpenFiles : public Napi::ObjectWrap<OpenFiles> {
 public:
  static Napi::Function Define(Napi::Env env);
  // new OpenFiles(paths: string[])
  explicit OpenFiles(const Napi::CallbackInfo& info);

 private:
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  struct File {
    Descriptor descriptor;
    int error;  // that opening it gave, else 0
  };
  std::vector<File> files_;
  bool closed_ = false;
};
