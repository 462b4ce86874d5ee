#!/usr/bin/env bash
# The core builds where there is no standard library: a bare-metal target (whose 64-bit
# atomics come from portable-atomic) and WebAssembly.
set -euo pipefail

build=${1:?usage: no_std.sh BUILD_FOLDER}
skipped=0
for target in thumbv7em-none-eabihf wasm32-unknown-unknown; do
  if ! timeout 120 rustup target add "$target"; then
    echo "SKIPPED: $target cannot be installed by rustup" >&2
    skipped=1
    continue
  fi
  cargo build --quiet --locked --release --lib --target "$target" --target-dir "$build/no-std"
  echo "no_std: $target builds"
done
if [ "$skipped" = 1 ]; then
  # The C artefacts are no_std too: they link with no Rust library but core.
  make --no-print-directory lib BUILD="$build"
  echo "SKIPPED in part; instead, the C artefacts link without std on this host" >&2
fi
