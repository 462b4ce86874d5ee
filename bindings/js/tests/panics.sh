#!/usr/bin/env bash
# A planted panic shows in the module: as an import that no host has.
#
#   panics.sh BUILD    uses MAKE from the environment
set -euo pipefail

build=$(realpath "$1")
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../../.."
rm -rf "$build/planted"
"${MAKE:-make}" --no-print-directory wasm BUILD="$build/planted" RUSTC_FLAGS='--cfg tokenpin_planted_panic' > /dev/null

imports() {
  node -e 'console.log(WebAssembly.Module.imports(new WebAssembly.Module(fs.readFileSync(process.argv[1])))
    .map((it) => it.name).sort().join(" "))' "$1"
}
clean=$(imports "$build/package/dist/tokenpin.wasm")
planted=$(imports "$build/planted/wasm/core.wasm")
if [ "$clean" != "free malloc" ] || [ "$planted" != "free malloc tokenpin_error_a_panic_is_reachable" ]; then
  echo "panics.sh: the module asks for: $clean; with a planted panic: $planted" >&2
  exit 1
fi
echo 'a planted panic is an import of the module'
rm -rf "$build/planted"
