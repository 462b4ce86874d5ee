#!/usr/bin/env bash
# Installs every file of a release in an empty place, as a user would, and runs there what its page
# shows: the examples of the repository, and the programs and configurations of the READMEs.
#
#   install.sh BUILD VERSION HOST
#
# The place is outside of the repository, and has nothing of it but tests and pages.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
build=$(realpath "$1") version=$2 host=$3
dist=$build/dist work=$(mktemp -d)
unset CARGO_TARGET_DIR DESTDIR PREFIX LIBDIR INCLUDEDIR LD_LIBRARY_PATH PYTHONPATH CGO_ENABLED GOFLAGS
trap 'rm -rf "$work"' EXIT
run=$root/examples/run.sh
begins() { echo "== $1" && mkdir -p "$work/$1" && cd "$work/$1"; }
unpacked() { tar -xzf "$dist/$1.tar.gz" -C "${2:-.}"; }

(cd "$dist" && sha256sum --check --quiet SHA256SUMS)
echo 'SHA256SUMS are right'

begins c
unpacked "tokenpin-$version-$host"
export PKG_CONFIG_PATH=$PWD/tokenpin-$version-$host/lib/pkgconfig
for kind in '' -static; do
  # shellcheck disable=SC2046 # words are flags
  cc $kind "$root/examples/pin.c" $(pkg-config $kind --cflags --libs tokenpin) -o "c$kind"
  # shellcheck disable=SC2046
  c++ -std=c++17 $kind "$root/examples/pin.cpp" $(pkg-config $kind --cflags --libs tokenpin) -o "cpp$kind"
done
for program in c cpp; do
  LD_LIBRARY_PATH=tokenpin-$version-$host/lib "$run" "./$program"
  "$run" "./$program-static"
done
cmake -S "tokenpin-$version-$host/share/doc/tokenpin/examples" -B cmake \
  -DCMAKE_PREFIX_PATH="$PWD/tokenpin-$version-$host" >log && cmake --build cmake >>log
cmake/consumer-cpp-tokenpin

begins rust
for crate in tokenpin tokenpin-tower; do tar -xzf "$dist/$crate-$version.crate"; done
mkdir src
cp "$root/examples/pin.rs" src/main.rs
cat >Cargo.toml <<END
[package]
name = "elsewhere"
edition = "2024"
[dependencies]
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
tokenpin = "$version"
tokenpin-tower = "$version"
[patch.crates-io]
tokenpin = { path = "tokenpin-$version" }
tokenpin-tower = { path = "tokenpin-tower-$version" }
END
# The first program of the layer's page is a module here.
{
  echo '#![allow(dead_code)]'
  # shellcheck disable=SC2016 # backticks of Markdown
  sed -n '/^```rust,no_run$/,/^```$/ { /^```/d; s/^ *# //; p }' "tokenpin-tower-$version/README.md"
} >src/gateway.rs
sed -i '0,/^use /s//mod gateway;\n\nuse /' src/main.rs
cargo build --quiet
"$run" target/debug/elsewhere

begins go
module=$(sed -n 's/^module //p' "$root/go/go.mod")
proxy=$PWD/proxy/$module/@v
mkdir -p "$proxy"
cp "$dist/tokenpin-go-$version.zip" "$proxy/v$version.zip"
unzip -p "$proxy/v$version.zip" "$module@v$version/go.mod" >"$proxy/v$version.mod"
echo "{\"Version\":\"v$version\"}" >"$proxy/v$version.info"
echo "v$version" >"$proxy/list"
export GOPROXY=file://$PWD/proxy GONOSUMDB=$module GOMODCACHE=$PWD/modules GOFLAGS=-modcacherw
go mod init example.org/elsewhere 2>log
cp "$root/examples/pin.go" .
go get "$module@v$version" 2>>log
for backend in 'CGO_ENABLED=0' 'GOFLAGS=-tags=tokenpin_pkgconfig'; do
  # The examples of its documentation, too.
  env "$backend" LD_LIBRARY_PATH="$work/c/tokenpin-$version-$host/lib" go vet "$module" "$module/tokenpinhttp"
  env "$backend" LD_LIBRARY_PATH="$work/c/tokenpin-$version-$host/lib" \
    go test -run '^Example' "$module" "$module/tokenpinhttp"
  env "$backend" go build -o pin pin.go
  LD_LIBRARY_PATH="$work/c/tokenpin-$version-$host/lib" "$run" ./pin
done
unset GOPROXY GONOSUMDB GOMODCACHE GOFLAGS PKG_CONFIG_PATH

begins python
python3 -m venv empty
empty/bin/pip install --quiet --disable-pip-version-check --no-index "$dist"/*.whl
empty/bin/python -B "$root/bindings/python/tests/readme.py" "$root/bindings/python/README.md"
"$run" empty/bin/python -B "$root/examples/pin.py"
# The sources, with the builder of the tests, where no wheel fits.
python3 -m venv sources
PATH="$build/python/venv/bin:$PATH" PYTHONPATH=$(echo "$build"/python/venv/lib/python3*/site-packages) \
  sources/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
  "$dist/tokenpin-$version.tar.gz"
"$run" sources/bin/python -B "$root/examples/pin.py"

begins js
"$root/bindings/js/tests/installed.sh" "$build/js" "$dist/tokenpin-$version.tgz"

begins jvm
unpacked "tokenpin-maven-$version"
cat >pom.xml <<END
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example</groupId><artifactId>elsewhere</artifactId><version>1</version>
  <repositories>
    <repository><id>release</id><url>file://$PWD/tokenpin-maven-$version</url></repository>
  </repositories>
  <dependencies>
    <dependency>
      <groupId>io.github.tokenpin</groupId><artifactId>tokenpin</artifactId><version>$version</version>
    </dependency>
  </dependencies>
</project>
END
home=$("$root/bindings/jvm/jdk.sh" 17 21 2>log || "$root/bindings/jvm/jdk.sh" 17)
JAVA_HOME=$home mvn --quiet --batch-mode -Dmaven.repo.local="$PWD/repository" \
  org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies -DoutputDirectory="$PWD/jars"
"$root/bindings/jvm/readme.sh" "$root/bindings/jvm/README.md" jars readme "$home"
"$run" "$home/bin/java" -cp 'jars/*' "$root/examples/Pin.java"

# The gateways: the tests find what was unpacked where a build leaves it.
begins gateways
(cd "$root" && git ls-files -z 'gateways/*/tests/*' gateways/envoy/demo tests/twin tests/vectors '*.md' |
  xargs -0 cp --parents -t "$work/gateways")
mkdir -p build/envoy build/wasm unpacked
unpacked "tokenpin-envoy-$version-$host" unpacked
unpacked "tokenpin-nginx-$version" unpacked
mv "unpacked/tokenpin-envoy-$version-$host/libtokenpin_envoy.so" build/envoy
mv "unpacked/tokenpin-envoy-$version-$host/README.md" gateways/envoy
mv "unpacked/tokenpin-nginx-$version"/{lua,README.md} gateways/nginx
cp -r "$work/c/tokenpin-$version-$host"/{include,lib} .
ln -s ../lib build/lib
cp "$dist/tokenpin-$version.wasm" build/wasm/tokenpin.wasm
pytest=("$build/venv/bin/python" -B -m pytest --quiet --build-dir build)
"${pytest[@]}" gateways/envoy/tests/e2e/test_configuration.py -k readme
TOKENPIN_FILTER=wasm TOKENPIN_WASM=$PWD/build/wasm/tokenpin.wasm \
  "${pytest[@]}" gateways/envoy/tests/e2e/test_wasm.py -k 'example_of_the_page'
"${pytest[@]}" -c gateways/nginx/tests/pytest.ini gateways/nginx/tests/test_readme.py

echo 'every file of the release installs, and does what its page shows'
