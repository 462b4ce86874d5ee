#!/usr/bin/env bash
# Tests how the Go module links: not without the library, nor with one of another version, and what
# it says then; from an installed library, by pkg-config; and in pure Go without any.
set -euo pipefail

build=$(cd "${1:?usage: link.sh BUILD_FOLDER}" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "$build/go-link.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A copy of the module as it comes from a proxy: without the library, and outside the checkout.
module=$work/module
mkdir "$module"
cp "$here"/*.go "$here/native.h" "$here/go.mod" "$module"
cd "$module"

refused() { # pattern, command...
  local pattern=$1
  shift
  if "$@" > "$work/output" 2>&1 || ! grep -q -- "$pattern" "$work/output"; then
    echo "link.sh: this should have failed with \"$pattern\": $*" >&2
    cat "$work/output" >&2
    exit 1
  fi
}

refused 'run .make go-lib.' env CGO_ENABLED=1 go test -run '^$' .

mkdir lib
cp "$here/lib/tokenpin.h" lib
refused 'libtokenpin.a: No such file' env CGO_ENABLED=1 go test -run '^$' .

"${OBJCOPY:-objcopy}" --redefine-sym tokenpin_abi_v1=tokenpin_abi_v2 "$here/lib/libtokenpin.a" lib/libtokenpin.a
refused 'undefined reference to .tokenpin_abi_v1' env CGO_ENABLED=1 go test -run '^$' .

sed 's/^#define TOKENPIN_ABI_VERSION 1$/#define TOKENPIN_ABI_VERSION 2/' "$here/lib/tokenpin.h" > lib/tokenpin.h
echo '/* another library */' > lib_stamp.h # as go-lib does, or the go command would not notice
refused 'tokenpin.h is of another version' env CGO_ENABLED=1 go test -run '^$' .

rm -r lib
env CGO_ENABLED=1 go test -tags purego -run 'Arguments|Closed' .

# As a package manager installs it.
prefix=$work/usr
mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
cp "$here/lib/tokenpin.h" "$prefix/include"
cp "$here/lib/libtokenpin.a" "$prefix/lib"
printf '%s\n' 'Name: tokenpin' 'Description: tokenpin' 'Version: 0' "Cflags: -I$prefix/include" \
  "Libs: -L$prefix/lib -ltokenpin" > "$prefix/lib/pkgconfig/tokenpin.pc"
PKG_CONFIG_PATH=$prefix/lib/pkgconfig CGO_ENABLED=1 go test -tags tokenpin_pkgconfig -run 'Arguments|Closed|Librarys' .
echo "go/link.sh: passed"
