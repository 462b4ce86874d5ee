#!/usr/bin/env bash
# Ensures that a nightly toolchain and its components are present: nightly.sh TOOLCHAIN COMPONENT...
set -euo pipefail

toolchain=${1:?usage: nightly.sh TOOLCHAIN COMPONENT...}
shift
# A version that has worked with all checks.
known=nightly-2026-05-20
fail() {
  echo "nightly.sh: $1; try make NIGHTLY=$known" >&2
  exit 1
}
command -v rustup > /dev/null || fail "rustup is missing, which installs $toolchain"
if ! rustup run "$toolchain" rustc --version > /dev/null 2>&1; then
  echo "installing the Rust toolchain $toolchain; by hand: rustup toolchain install $toolchain"
  rustup toolchain install --profile minimal "$toolchain" || fail "rustup cannot install $toolchain"
fi
for component in "$@"; do
  installed=$(rustup component list --toolchain "$toolchain" --installed)
  if ! grep -q "^$component" <<<"$installed"; then
    echo "adding $component to $toolchain; by hand: rustup component add --toolchain $toolchain $component"
    timeout 300 rustup component add --toolchain "$toolchain" "$component" || fail "$toolchain has no $component"
  fi
done
