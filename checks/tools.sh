#!/usr/bin/env bash
# Lists what is missing or too old of the tools that everything else is built with, before anything
# runs.
set -euo pipefail

missing=0
# tool NAME LEAST_VERSION VERSION_HERE HOW_TO_GET_IT
tool() {
  local name=$1 least=$2 have=$3 how=$4
  if [ -n "$have" ] && printf '%s\n' "$least" "$have" | sort --version-sort --check=quiet; then return; fi
  printf '  %-11s %s or later, here is %s: %s\n' "$name" "$least" "${have:-none}" "$how" >&2
  missing=1
}
# The first number with a dot, or the first number, of what a command prints.
version() { "$@" 2> /dev/null | grep --only-matching --extended-regexp '[0-9]+(\.[0-9]+)*' | head -n 1 || true; }

tool rust 1.85 "$(version rustc --version)" 'the current stable, by rustup'
tool clippy 0.1 "$(version cargo clippy --version)" 'rustup component add clippy rustfmt'
tool rustup 1.20 "$(version rustup --version)" 'it gets the targets for WebAssembly'
tool cc 10 "$(version "${CC:-cc}" --version)" "Debian's gcc"
tool c++ 10 "$(version "${CXX:-c++}" --version)" "Debian's g++"
tool binutils 2.35 "$(version ld --version)" "Debian's binutils"
tool cmake 3.18 "$(version cmake --version)" "Debian's cmake"
tool pkg-config 0.29 "$(version pkg-config --version)" "Debian's pkg-config"
print_version='import ensurepip, venv, platform; print(platform.python_version())'
tool python 3.11 "$("${PYTHON:-python3}" -c "$print_version" 2> /dev/null || true)" \
  "Debian's python3 and python3-venv, both"
tool go 1.25 "$(version "${GO:-go}" version)" "from its own site, if Debian's is older"
tool node 20 "$(version node --version)" "from its own site, if Debian's is older"
tool npm 9 "$(version npm --version)" 'it comes with Node.js'

if [ "$missing" -ne 0 ]; then
  echo 'tools.sh: install these first; CONTRIBUTING.md says more' >&2
  exit 1
fi
