// What the addon offers. Each export is an object of its own environment; there is no state beside them,
// so any number of workers can load it and end.
#include <napi.h>

#include "bpf_object.h"
#include "echo.h"
#include "exit.h"
#include "files.h"
#include "in_root.h"
#include "journal.h"
#include "lock.h"
#include "netlink_connection.h"
#include "taskstats.h"

static Napi::Object Start(Napi::Env env, Napi::Object exports) {
  exports.Set("BpfObject", BpfObject::Define(env));
  exports.Set("Echo", Echo::Define(env));
  exports.Set("Journal", Journal::Define(env));
  exports.Set("Netlink", NetlinkConnection::Define(env));
  exports.Set("OpenFiles", OpenFiles::Define(env));
  exports.Set("Taskstats", Taskstats::Define(env));
  exports.Set("exitWithin", Napi::Function::New<ExitWithin>(env, "exitWithin"));
  exports.Set("lockFile", Napi::Function::New<LockFile>(env, "lockFile"));
  exports.Set("openDirectoryIn", Napi::Function::New<OpenDirectoryIn>(env, "openDirectoryIn"));
  exports.Set("readFiles", Napi::Function::New<ReadFiles>(env, "readFiles"));
  return exports;
}

NODE_API_MODULE(leadline, Start)
