// Keeping a file to ourselves (types: native/index.ts).
#pragma once

#include <napi.h>

// lockFile(descriptor): whether nobody else has it.
Napi::Value LockFile(const Napi::CallbackInfo& info);
