// The end of the process, whatever its threads do (types: native/index.ts).
#pragma once

#include <napi.h>

// exitWithin(code, seconds)
Napi::Value ExitWithin(const Napi::CallbackInfo& info);
