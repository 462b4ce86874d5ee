#!/usr/bin/env bash
# Compiles and runs every example in C and C++ of some Markdown files. The output of an example must
# match the `text` block behind it, in which an ellipsis stands for anything on its line.
set -euo pipefail

build=${1:?usage: examples.sh BUILD_FOLDER FILE...}
shift

flags=(-Wall -Wextra -Wpedantic -Werror -Iinclude)
compile() { # source, program
  case $1 in
  *.c) "${CC:-cc}" -std=c11 "${flags[@]}" "$1" "$build/lib/libtokenpin.a" -o "$2" ;;
  *.cpp) "${CXX:-c++}" -std=c++17 "${flags[@]}" -pthread "$1" "$build/lib/libtokenpin.a" -o "$2" ;;
  esac
}

for file in "$@"; do
  folder=$build/examples/$(basename "$file" .md)
  rm -rf "$folder"
  mkdir -p "$folder"
  # N.c or N.cpp, and N.text, counted from 1.
  awk -v folder="$folder" '
    /^```/ {
      if (out != "") { close(out); out = ""; next }
      language = substr($0, 4)
      if (language == "c" || language == "cpp") { out = folder "/" ++n "." language; open = 1 }
      else if (language == "text" && open) { out = folder "/" n ".text"; open = 0 }
      else { out = "/dev/null"; open = 0 }
      next
    }
    out != "" { print > out }' "$file"
  count=0
  for source in "$folder"/*.c "$folder"/*.cpp; do
    [ -e "$source" ] || continue
    shown=${source%.*}.text
    [ -s "$shown" ] || { echo "$file: no text block shows what example $source prints" >&2; exit 1; }
    pattern=$(sed 's/[][\\.*^$+?(){}|]/\\&/g; s/…/[^\n]*/g' "$shown")
    compile "$source" "${source%.*}"
    printed=$("${source%.*}")
    if ! [[ $printed =~ ^$pattern$ ]]; then
      echo "$file: example $source prints:" >&2
      echo "$printed" | diff "$shown" - >&2
      exit 1
    fi
    count=$((count + 1))
  done
  [ "$count" -gt 0 ] || { echo "$file has no examples" >&2; exit 1; }
  echo "$file: $count examples compile, run, and print what the page shows"
done
