#!/usr/bin/env bash
# Renames the sections of the functions that hot.txt lists to `.text.hot.*`, in place.
#
#   hot.sh OBJECT    uses NM and OBJCOPY from the environment
#
# Fails if no line of the list matches. A single line that matches no function is only reported:
# another compiler may have inlined it. `make cache-lines` fails at such a line.
set -euo pipefail

object=$1
list=$(dirname "${BASH_SOURCE[0]}")/hot.txt
lines=$(grep -v -e '^#' -e '^$' "$list") || { echo "hot.sh: $list is empty" >&2; exit 1; }

# Stored in variables, because a failure within `<(...)` would go unnoticed.
symbols=$("$NM" --defined-only "$object")
names=$("$NM" --defined-only --demangle "$object" | cut -d' ' -f3-)
# Each function twice: by its symbol, and by its demangled name.
functions=$(paste <(echo "$symbols") <(echo "$names") | awk '$2 ~ /^[tT]$/')

while read -r line; do
  grep -q -F -e "$line" <<<"$functions" || echo "hot.sh: no function matches $line" >&2
done <<<"$lines"

listed=$(grep -F -e "$lines" <<<"$functions" | cut -f1 | awk '{ print $3 }') ||
  { echo "hot.sh: no function of $object is in $list" >&2; exit 1; }
renames=()
while read -r mangled; do
  renames+=(--rename-section ".text.$mangled=.text.hot.$mangled")
done <<<"$listed"
"$OBJCOPY" "${renames[@]}" "$object"
