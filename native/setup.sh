#!/usr/bin/env bash
# Makes a bare machine able to build, run and test leadline, then does what it was asked to.
#   bash native/setup.sh [build|run|test|check|bench|format|generate] [arguments]
# Installs what is missing (as root, on Debian or Ubuntu), gets Node, the npm packages, and builds the BPF objects,
# the addon and the bundle. With nothing to do it takes a fraction of a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly NODE_VERSION=24.21.0
readonly BUILT=native/build
command=${1:-build}
shift || true

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  say "$1"
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# Debian packages for what is not here yet.
missing_packages() {
  command -v g++ >/dev/null || echo g++
  command -v make >/dev/null || echo make
  # BPF needs clang 14 or newer; the newest that is installed is taken (bpf/Makefile).
  # No -q: it ends at the first match, and pipefail would count compgen's broken pipe as "not there".
  compgen -c clang | grep -E '^clang(-(1[4-9]|[2-9][0-9]))?$' >/dev/null || echo clang
  compgen -c llvm-strip | grep -E '^llvm-strip(-[0-9]+)?$' >/dev/null || echo llvm
  [ -e /usr/include/bpf/libbpf.h ] || echo libbpf-dev
  [ -e /usr/include/libelf.h ] || echo libelf-dev
  [ -e /usr/include/zlib.h ] || echo zlib1g-dev
}

install_packages() {
  local packages
  packages=$(missing_packages | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  if ! command -v apt-get >/dev/null; then
    fail "this is not Debian or Ubuntu, so nothing was installed." \
      "Install a C++20 compiler, make, clang 14 or newer with llvm-strip, and the headers of libbpf, libelf and zlib." \
      "Fedora: dnf install gcc-c++ make clang llvm libbpf-devel elfutils-libelf-devel zlib-devel" \
      "Alpine: apk add g++ make clang llvm libbpf-dev elfutils-dev zlib-dev linux-headers"
  fi
  if [ "$(id -u)" != 0 ]; then
    fail "these packages are missing, and only root can install them." "sudo apt-get install --no-install-recommends $packages"
  fi
  say "installing $packages"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of words
  apt-get install -y -qq --no-install-recommends $packages >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages >/dev/null; } ||
    fail "apt-get could not install: $packages" "run it by hand to see why: apt-get install $packages"
}

# Node 24: the one on PATH, else the npm registry's binary package, kept beside the addon.
find_node() {
  local major
  major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
  [ "$major" -ge 24 ] && return 0
  local package arch
  case "$(uname -m)" in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) fail "no Node $NODE_VERSION is packaged for $(uname -m)." "Install Node 24 or newer and put it on PATH." ;;
  esac
  package=node-linux-$arch
  local home=$PWD/$BUILT/node/node_modules/$package
  if [ "$(cat "$home/.version" 2>/dev/null)" != "$NODE_VERSION" ]; then
    command -v npm >/dev/null || fail "npm is missing." "Install it (Debian: apt-get install npm), or put Node 24 on PATH."
    say "getting Node $NODE_VERSION"
    npm install --silent --prefix "$BUILT/node" --no-save --ignore-scripts "$package@$NODE_VERSION" >&2 ||
      fail "npm could not get Node $NODE_VERSION." "Check the network and npm's settings, or put Node 24 on PATH."
    echo "$NODE_VERSION" >"$home/.version"
  fi
  export PATH=$home/bin:$PATH
}

install_modules() {
  local stamp=$BUILT/modules.stamp want
  want=$(sha256sum package-lock.json)
  [ -d node_modules ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return 0
  say "installing the npm packages"
  # No install scripts: every package we use ships what it needs.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    fail "npm ci failed (its reason stands above)." "Check the network and npm's settings, then run this again."
  echo "$want" >"$stamp"
}

build_all() {
  bash native/build.sh
  make --no-print-directory -s -C bpf
  if [ ! -e otel-config/build/leadline.cjs ] ||
    [ -n "$(find package.json otel-config processors receivers native -name build -prune -o \
      \( -name '*.ts' -o -name '*.mjs' -o -name package.json \) -newer otel-config/build/leadline.cjs -print -quit)" ]; then
    say "building the bundle"
    node otel-config/bundle.mjs
  fi
}

mkdir -p "$BUILT"
install_packages
find_node
install_modules
build_all
export PATH=$PWD/node_modules/.bin:$PATH

case "$command" in
  build) ;;
  run) exec sh otel-config/bin/leadline run "$@" ;;
  test) exec bash test/run.sh "$@" ;;
  check) exec bash test/check.sh "$@" ;;
  bench) exec node test/bench/index.ts "$@" ;;
  format) exec biome check --write . ;;
  generate) exec node otel-config/docs.ts ;;
  *) fail "unknown command \"$command\"." "Known: build, run, test, check, bench, format, generate" ;;
esac
