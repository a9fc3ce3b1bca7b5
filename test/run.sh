#!/usr/bin/env bash
# `npm test`: all tests, or those of the files given. What shares the kernel, Docker or ports runs one after another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ $# -gt 0 ]; then exec node --test --test-concurrency=1 "$@"; fi

shopt -s globstar nullglob
alone=(test/{kernel,containers,interop,kernels,scenarios}/**/*.test.ts)
together=()
for file in test/**/*.test.ts; do
  case $file in
    test/kernel/* | test/containers/* | test/interop/* | test/kernels/* | test/scenarios/*) ;;
    *) together+=("$file") ;;
  esac
done

failed=0
node --test --test-concurrency=2 --test-timeout=180000 "${together[@]}" || failed=1
if [ ${#alone[@]} -gt 0 ]; then node --test --test-concurrency=1 --test-timeout=600000 "${alone[@]}" || failed=1; fi
exit $failed
