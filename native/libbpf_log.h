// Keeps what libbpf says, so that it becomes part of an error instead of noise on stderr.
#pragma once

#include <string>

// While one lives, it collects what libbpf says on this thread. What is said while none does is dropped.
// libbpf has one print function per process; the collector itself is per thread, so workers do not mix.
class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  // Whole lines, at most 8 KiB of them; the verifier gives its reason at the end.
  std::string LastLines() const;
  void Add(std::string_view text);

 private:
  std::string text_;
  LibbpfLog* const outer_;
};
