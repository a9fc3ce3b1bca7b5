#!/usr/bin/env bash
# `npm run check`: format and lint, types, shell, generated files, and the direction of imports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

colors=off
if [ -t 1 ]; then colors=force; fi
biome ci --colors="$colors" --error-on-warnings .
tsc
node test/imports.ts
node otel-config/docs.ts --check
printf 'check: all fine\n'
