#!/usr/bin/env bash
# Renames the sections of the functions that hot.txt lists to `.text.hot.*`, in place.
#
#   hot.sh OBJECT    uses NM and OBJCOPY from the environment
#
# `make cache-lines` fails at a line of the list that matches no function.
set -euo pipefail

object=$1
here=$(dirname "${BASH_SOURCE[0]}")
listed=$("$here/listed.sh" "$here/hot.txt" "$object")
renames=()
while read -r symbol; do
  renames+=(--rename-section ".text.$symbol=.text.hot.$symbol")
done <<<"$listed"
"$OBJCOPY" "${renames[@]}" "$object"
