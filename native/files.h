// readFiles(): many small files of /proc, /sys and cgroupfs in one call (types: native/index.ts).
#pragma once

#include <napi.h>

Napi::Value ReadFiles(const Napi::CallbackInfo& info);
