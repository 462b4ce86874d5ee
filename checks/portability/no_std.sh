#!/usr/bin/env bash
# The core builds without a standard library: on bare metal, where 64-bit atomics come from
# portable-atomic, with compare-and-swap and without, and for WebAssembly.
set -euo pipefail

build=${1:?usage: no_std.sh BUILD_FOLDER}
skipped=0
built() {
  local target=$1
  shift
  cargo build --quiet --locked --release --lib --target "$target" --target-dir "$build/no-std" "$@"
}
for target in thumbv7em-none-eabihf thumbv6m-none-eabi wasm32-unknown-unknown; do
  if ! timeout 120 rustup target add "$target"; then
    echo "SKIPPED: $target cannot be installed by rustup" >&2
    skipped=1
    continue
  fi
  if [ "$target" = thumbv6m-none-eabi ]; then
    # Without compare-and-swap it needs the feature, and the error names it.
    if built "$target" 2>"$build/no-std.log" || ! grep -q 'feature .critical-section.' "$build/no-std.log"; then
      cat "$build/no-std.log" >&2
      exit 1
    fi
    built "$target" --features critical-section
  else
    built "$target"
    built "$target" --features alloc
  fi
  echo "no_std: $target builds"
done
if [ "$skipped" = 1 ]; then
  # The C artefacts are no_std too: core is the only Rust library that they link.
  make --no-print-directory lib BUILD="$build"
  echo "SKIPPED in part; instead, the C artefacts link without std on this host" >&2
fi
