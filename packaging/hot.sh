#!/usr/bin/env bash
# Renames the sections of the functions that hot.txt lists to `.text.hot.*`, in place.
#
#   hot.sh OBJECT    uses NM and OBJCOPY from the environment
set -euo pipefail

object=$1
here=$(dirname "${BASH_SOURCE[0]}")
renames=()
while read -r mangled; do
  renames+=(--rename-section ".text.$mangled=.text.hot.$mangled")
done < <(
  # Each function twice: as the linker knows it, and as people do.
  paste <("$NM" --defined-only "$object") <("$NM" --defined-only --demangle "$object" | cut -d' ' -f3-) |
    awk '$2 ~ /^[tT]$/' | grep -F -f <(grep -v '^#' "$here/hot.txt") | cut -f1 | awk '{ print $3 }'
)
"$OBJCOPY" "${renames[@]}" "$object"
