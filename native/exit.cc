// The end of the process, whatever its threads do. Node's exit joins the threads of V8, and one of them may be waiting
// for a garbage collection by the thread that joins it (nodejs/node#54918).
#include "exit.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "arguments.h"
#include "errors.h"

namespace {

// A signal handler belongs to the process and takes nothing along.
volatile sig_atomic_t exit_code = 0;

void ExitNow(int) { _exit(exit_code); }

}  // namespace

Napi::Value ExitWithin(const Napi::CallbackInfo& info) {
  return Guarded(info, [&] {
    if (!info[0].IsNumber()) throw Napi::TypeError::New(info.Env(), "code must be a number");
    const uint32_t seconds = SizeArgument(info, 1, "seconds");
    exit_code = info[0].As<Napi::Number>().Int32Value();

    struct sigaction action = {};
    action.sa_handler = ExitNow;
    if (sigaction(SIGALRM, &action, nullptr) < 0) throw SystemError{errno, "sigaction", "prepare the end"};
    // Whoever started us may have blocked it.
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarms, nullptr);
    alarm(seconds);
    return info.Env().Undefined();
  });
}
