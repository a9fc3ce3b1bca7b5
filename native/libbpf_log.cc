// Keeps what libbpf says, so that it becomes part of an error instead of noise on stderr.
#include "libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <new>

namespace {

constexpr size_t kKeptBytes = 64 * 1024;  // of a verifier log that may have 16 MiB
constexpr size_t kToldBytes = 8 * 1024;

thread_local LibbpfLog* listening = nullptr;

int Keep(libbpf_print_level level, const char* format, va_list arguments) {
  if (listening == nullptr || level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, arguments);
  const int length = vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  try {  // libbpf is C: nothing may be thrown through it
    std::string text(static_cast<size_t>(length), '\0');
    vsnprintf(text.data(), text.size() + 1, format, arguments);
    listening->Add(text);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return length;
}

}  // namespace

LibbpfLog::LibbpfLog() : outer_(listening) {
  libbpf_set_print(Keep);
  listening = this;
}

LibbpfLog::~LibbpfLog() { listening = outer_; }

void LibbpfLog::Add(std::string_view text) {
  text_ += text;
  if (text_.size() > 2 * kKeptBytes) text_.erase(0, text_.size() - kKeptBytes);
}

std::string LibbpfLog::LastLines() const {
  if (text_.size() <= kToldBytes) return text_;
  const size_t line = text_.find('\n', text_.size() - kToldBytes);
  return line == std::string::npos ? text_.substr(text_.size() - kToldBytes) : text_.substr(line + 1);
}
