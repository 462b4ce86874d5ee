#!/usr/bin/env bash
# x86 without SSE2 is refused at compile time, with a message that names the remedy. With SSE2 the
# same target builds.
set -euo pipefail

build=${1:?usage: x87.sh BUILD_FOLDER}
target=i586-unknown-linux-gnu
rustup target add "$target" 2> /dev/null
check=(cargo check --quiet --locked --lib --target "$target" --target-dir "$build")
if output=$("${check[@]}" 2>&1); then
  echo "x87.sh: $target builds, and its jump is not exact" >&2
  exit 1
fi
grep -m 1 "tokenpin needs IEEE 754 binary64 arithmetic" <<<"$output"
RUSTFLAGS="-C target-feature=+sse2" "${check[@]}"
echo "x87: $target is refused without SSE2, and builds with it"
