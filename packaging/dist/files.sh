#!/usr/bin/env bash
# Puts everything that was built into BUILD/dist, each file as its registry takes it. The crates and
# the Go module are those of the last commit.
#
#   files.sh BUILD VERSION HOST
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
version=$2 host=$3
cd "$root"
build=$(realpath "$1")
dist=$build/dist work=$build/dist-work
unset CARGO_TARGET_DIR DESTDIR PREFIX LIBDIR INCLUDEDIR
rm -rf "$dist" "$work" && mkdir -p "$dist" "$work"
made() { echo "  $1"; }

# Packs a folder in one order, with one owner, mode and time for all.
archive() { # name, folder
  tar --create --directory "$2" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --mtime="@${SOURCE_DATE_EPOCH:?the time of the commit}" -- "$1" | gzip -9n >"$dist/$1.tar.gz"
  made "$1.tar.gz"
}

# Crates. That of the layer is built against this library, which the registry need not have yet.
for crate in . gateways/tower; do
  cargo package --quiet --locked --manifest-path $crate/Cargo.toml --target-dir "$work/crates" \
    --config "patch.crates-io.tokenpin.path='$root'"
done
cp "$work"/crates/package/*.crate "$dist"
made 'the crates'

# The libraries and headers for C and C++.
name=tokenpin-$version-$host
"${MAKE:-make}" --no-print-directory install BUILD="$1" DESTDIR="$work/$name" PREFIX=/usr/local >"$work/log"
mv "$work/$name/usr/local"/* "$work/$name" && rm -r "${work:?}/$name/usr"
cp -r packaging/examples packaging/README.md "$work/$name/share/doc/tokenpin"
archive "$name" "$work"

# The module for Envoy.
name=tokenpin-envoy-$version-$host
mkdir "$work/$name"
cp "$build/envoy/libtokenpin_envoy.so" gateways/envoy/README.md gateways/config.schema.json LICENSE-* "$work/$name"
strip --strip-unneeded "$work/$name/libtokenpin_envoy.so"
{
  printf -- '\n----\nnlohmann/json\n\n'
  cat "$build"/json/lib/python3*/site-packages/nlohmann_json*/licenses/*
} >>"$work/$name/LICENSE-THIRD-PARTY"
archive "$name" "$work"

# The module for nginx, which is the same for all machines. It loads the library.
name=tokenpin-nginx-$version
mkdir "$work/$name"
cp -r gateways/nginx/lua gateways/nginx/README.md gateways/config.schema.json LICENSE-* "$work/$name"
archive "$name" "$work"

# The filter for proxy-wasm, as a host loads it.
cp "$build/wasm/tokenpin.wasm" "$dist/tokenpin-$version.wasm"
cp LICENSE-* "$dist"
made "tokenpin-$version.wasm, and the licences"

cp "$build"/python/wheels/*.whl "$dist"
"$build/python/venv/bin/maturin" sdist --manifest-path bindings/python/Cargo.toml --out "$dist" >"$work/log" 2>&1
made 'the wheel, and the sources for others'
(cd "$work" && npm pack --silent --pack-destination "$dist" "$build/js/package" >"$work/log")
made 'the package for npm'

# A repository of Maven, without the lists that only a server keeps.
name=tokenpin-maven-$version
cp -r "$build/jvm/repository" "$work/$name"
find "$work/$name" -name 'maven-metadata.xml*' -delete
archive "$name" "$work"

# The Go module, as a proxy makes it of the tag: by the go command itself, which takes this clone
# for the repository.
repository=$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml) module=$(sed -n 's/^module //p' go/go.mod)
git clone --quiet --bare . "$work/tagged"
git -C "$work/tagged" tag "go/v$version" "$(git rev-parse HEAD)"
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$work/tagged.insteadOf" GIT_CONFIG_VALUE_0="$repository" \
  GOPROXY=direct GONOSUMDB="$module" GOFLAGS=-modcacherw GOMODCACHE="$work/modules" \
  go mod download "$module@v$version"
cp "$work/modules/cache/download/$module/@v/v$version.zip" "$dist/tokenpin-go-$version.zip"
made "tokenpin-go-$version.zip"
rm -rf "$work"
