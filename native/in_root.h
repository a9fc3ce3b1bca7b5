// Opening a path inside another root, out of which no link leads (types: native/index.ts).
#pragma once

#include <napi.h>

// openDirectoryIn(root, path): a descriptor, as node:fs takes it.
Napi::Value OpenDirectoryIn(const Napi::CallbackInfo& info);
