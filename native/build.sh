#!/usr/bin/env bash
# Builds the addon, native/build/leadline.node, with a C++ compiler and libbpf: no node-gyp, no Python, no Node headers.
# It compiles what has changed, and does nothing in a few milliseconds when nothing has.
# CXX, CXXFLAGS and OUT (from native/, default build) may be set; a folder built with other flags is built anew.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}"
root=$(cd .. && pwd -P)

out=${OUT:-build}
flags=(
  -std=c++20 -O2 -g1 -fPIC -fvisibility=hidden -Wall -Wextra -Wshadow -Wconversion -Werror
  -DNAPI_VERSION=9 -DNODE_ADDON_API_CPP_EXCEPTIONS_ALL -DNODE_ADDON_API_DISABLE_DEPRECATED
  -isystem "$root/node_modules/node-addon-api" -isystem "$root/node_modules/node-api-headers/include"
)
read -ra extra <<<"${CXXFLAGS:-}"
command="${CXX:-g++} ${flags[*]} ${extra[*]}"

# What every object depends on: this script, our headers and the two packages of headers.
shared=(build.sh ./*.h "$root"/node_modules/node-a{ddon-api,pi-headers}/package.json)

# newer FILE THAN…: true when FILE is there and nothing of the rest is newer.
newer() {
  local file=$1 than
  shift
  [[ -e $file ]] || return 1
  for than; do
    [[ $than -nt $file ]] && return 1
  done
  return 0
}

built_with() { [[ -e $out/command ]] && [[ $(<"$out/command") == "$command" ]]; }

if newer "$out/leadline.node" ./*.cc "${shared[@]}" && built_with; then exit 0; fi

for package in node-addon-api node-api-headers; do
  if [[ ! -e $root/node_modules/$package/package.json ]]; then
    echo "native/build.sh: $package is not installed: run npm ci" >&2
    exit 1
  fi
done

mkdir -p "$out"
exec 9>"$out/lock"
flock 9 # two builds at once would write into each other's files

built_with || rm -f "$out"/*.o
printf '%s' "$command" >"$out/command"

objects=()
compile=()
for source in *.cc; do
  object=$out/${source%.cc}.o
  objects+=("$object")
  newer "$object" "$source" "${shared[@]}" || compile+=("$source")
done
if ((${#compile[@]})); then
  # Written beside and moved: a build that is interrupted leaves no half an object.
  # shellcheck disable=SC2016 # the inner shell's own $0, $1, $2
  printf '%s\0' "${compile[@]}" | xargs -0 -n1 -P"$(nproc)" bash -c \
    '${0} -c "$2" -o "$1/${2%.cc}.new" && mv "$1/${2%.cc}.new" "$1/${2%.cc}.o"' "$command" "$out"
fi

# Here too: a running agent keeps the file it has mapped.
${CXX:-g++} "${flags[@]}" "${extra[@]}" -shared -Wl,-z,relro,-z,now,--as-needed \
  "${objects[@]}" -lbpf -ldl -o "$out/leadline.node.new"
mv "$out/leadline.node.new" "$out/leadline.node"
