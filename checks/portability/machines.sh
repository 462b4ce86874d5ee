#!/usr/bin/env bash
# The vectors and the C ABI on other machines, under QEMU user mode: the Rust tests of
# checks/machine, and the C programs of tests/capi linked with the cross-built static library. The
# random pairs, for which QEMU takes minutes, are left out; the rounding edges are included.
set -euo pipefail

build=${1:?usage: machines.sh BUILD_FOLDER VERSION [MACHINE...]}
version=${2:?usage: machines.sh BUILD_FOLDER VERSION [MACHINE...]}
shift 2

# Rust target, prefix of the Debian cross tools, QEMU's name, gcc's package name, and the property
# tested.
machines=(
  "aarch64-unknown-linux-gnu aarch64-linux-gnu aarch64 aarch64-linux-gnu arm64:64-bit"
  "s390x-unknown-linux-gnu s390x-linux-gnu s390x s390x-linux-gnu s390x:64-bit, big-endian"
  "armv7-unknown-linux-gnueabihf arm-linux-gnueabihf arm arm-linux-gnueabihf armhf:32-bit"
  "powerpc-unknown-linux-gnu powerpc-linux-gnu ppc powerpc-linux-gnu powerpc:32-bit, big-endian, no 64-bit atomics"
  "i686-unknown-linux-gnu i686-linux-gnu i386 i686-linux-gnu i386:32-bit, SSE2"
)

for machine in "${machines[@]}"; do
  read -r target prefix qemu package libc <<<"${machine%%:*}"
  if [ $# -gt 0 ] && [[ " $* " != *" $target "* ]]; then continue; fi
  start=$(date +%s)
  why="$target is tested"
  checks/need.sh "qemu-$qemu" qemu-user "$why"
  checks/need.sh "$prefix-gcc" "gcc-$package" "$why"
  checks/need.sh "/usr/$prefix/include/stdlib.h" "libc6-dev-$libc-cross" "$why"
  rustup target add "$target" 2> /dev/null

  run="qemu-$qemu -L /usr/$prefix"
  upper=$(tr 'a-z-' 'A-Z_' <<<"$target")
  export "CARGO_TARGET_${upper}_LINKER=$prefix-gcc" "CARGO_TARGET_${upper}_RUNNER=$run"
  cargo test --quiet --locked --manifest-path checks/machine/Cargo.toml --target "$target" \
    --target-dir "$build" --test vectors --test published --test c_abi --test threads --test ids \
    --test forgery -- --skip random_pairs

  # The C libraries are not supported on 32-bit machines.
  if [[ $target != aarch64* && $target != s390x* ]]; then
    echo "machines: $target (${machine#*:}), only Rust: $(($(date +%s) - start)) s"
    continue
  fi
  programs=(layout contract capi)
  built=("${programs[@]/#/$build/$target/capi/}")
  built=("${built[@]/%/-static}")
  make --no-print-directory --silent RUST_TARGET="$target" BUILD="$build/$target" CC="$prefix-gcc" \
    AR="$prefix-ar" NM="$prefix-nm" OBJCOPY="$prefix-objcopy" \
    "${built[@]}"
  commands=()
  for program in "${programs[@]}"; do
    command="$run $build/$target/capi/$program-static"
    if [ "$program" = capi ]; then command="$command tests/vectors $version"; fi
    commands+=("$command")
  done
  tests/support/run.sh "${commands[@]}"
  echo "machines: $target (${machine#*:}): $(($(date +%s) - start)) s"
done
