#!/usr/bin/env bash
# Builds every file of a release twice, from clones of the last commit in two folders, and compares
# them byte for byte. If all are the same, they are put into BUILD/dist.
#
#   twice.sh BUILD
#
# The second build has another time, locale, time zone, mask, and length of its path.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
build=$(realpath "$1")
if [ -n "$(git status --porcelain)" ]; then
  echo 'twice.sh: what is not committed is not in what is built' >&2
fi
work=$build/dist-twice
rm -rf "$work" && mkdir -p "$work"
unset CARGO_TARGET_DIR DESTDIR PREFIX LIBDIR INCLUDEDIR MAKEFLAGS MAKEOVERRIDES MFLAGS
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)

build_in() { # folder, mask, variables
  local start=$SECONDS
  echo "building in $1"
  git clone --quiet . "$1"
  if ! (umask "$2" && env "${@:3}" "${MAKE:-make}" --no-print-directory -C "$1" dist-files) >"$1.log" 2>&1; then
    tail -n 40 "$1.log" >&2
    echo "twice.sh: the build in $1 failed" >&2
    return 1
  fi
  echo "built in $((SECONDS - start)) s"
}
first=$work/first second=$work/second-of-a-longer-name/tokenpin
mkdir -p "$(dirname "$second")"
build_in "$first" 022 TZ=UTC LC_ALL=C.UTF-8
build_in "$second" 027 TZ=Pacific/Auckland LC_ALL=C

different=0
while read -r file; do
  if ! cmp "$first/build/dist/$file" "$second/build/dist/$file"; then
    echo "twice.sh: $file differs" >&2
    different=1
  fi
done < <(cd "$work" && (ls "$first/build/dist" && ls "$second/build/dist") | sort -u)
[ $different = 0 ] || exit 1
rm -rf "$build/dist"
mv "$first/build/dist" "$build/dist"
rm -rf "$work"
echo "the same from both folders: $(wc -l <"$build/dist/SHA256SUMS") files, in $1/dist"
