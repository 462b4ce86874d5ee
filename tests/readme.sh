#!/usr/bin/env bash
# Compiles and runs the C, C++ and Go examples of README.md (the Rust one is a doc test).
set -euo pipefail

build=${1:?usage: readme.sh BUILD_FOLDER}
mkdir -p "$build/readme"

example() { # language, file
  awk -v begin="\`\`\`$1" '$0 == begin { on = 1; next } $0 == "```" { on = 0 } on' README.md > "$2"
  [ -s "$2" ] || { echo "README.md has no example in $1" >&2; exit 1; }
}

run() { # program; its answer is known, for its inputs are
  local answer
  answer=$("$1")
  echo "$answer"
  grep -q '^send it with the token of slot [01]$' <<< "$answer"
}

flags=(-Wall -Wextra -Wpedantic -Werror -Iinclude)
example c "$build/readme/example.c"
"${CC:-cc}" -std=c11 "${flags[@]}" "$build/readme/example.c" "$build/lib/libtokenpin.a" -o "$build/readme/c"
run "$build/readme/c" | tee "$build/readme/c.out"
grep -q '^Set-Cookie: __Host-tokenpin=' "$build/readme/c.out"
example cpp "$build/readme/example.cpp"
"${CXX:-c++}" -std=c++17 "${flags[@]}" "$build/readme/example.cpp" "$build/lib/libtokenpin.a" -o "$build/readme/cpp"
run "$build/readme/cpp"
# As a program inside the Go module; over cgo it needs what `make go-lib` makes.
mkdir -p "$build/readme/go"
whole=$(cd "$build" && pwd)
example go "$build/readme/go/main.go"
for cgo in 1 0; do
  (cd go && CGO_ENABLED=$cgo "${GO:-go}" build -o "$whole/readme/go-$cgo" "$whole/readme/go/main.go")
  run "$build/readme/go-$cgo" | tee "$build/readme/go.out"
  grep -q '^Set-Cookie: __Host-tokenpin=' "$build/readme/go.out"
done
echo "readme: the C, C++ and Go examples compile and run"
