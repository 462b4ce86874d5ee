#!/usr/bin/env bash
# Prints the symbols of the functions whose demangled names match a line of a list, a regular
# expression, or those of all others.
#
#   listed.sh [--others] LIST OBJECT    uses NM from the environment
#
# Fails if no line of the list matches. A single line that matches no function is only reported:
# another compiler may have inlined it.
set -euo pipefail

which=()
if [[ $1 == --others ]]; then
  which=(--invert-match)
  shift
fi
list=$1 object=$2
lines=$(grep -v -e '^#' -e '^$' "$list") || { echo "$list is empty" >&2; exit 1; }

# Stored in variables, because a failure within `<(...)` would go unnoticed. An archive has members
# without symbols, of which nm complains.
symbols=$("$NM" --defined-only "$object" 2>/dev/null)
names=$("$NM" --defined-only --demangle "$object" 2>/dev/null | cut -d' ' -f3-)
# Each function twice: by its symbol, and by its demangled name.
functions=$(paste <(echo "$symbols") <(echo "$names") | awk '$2 ~ /^[tT]$/')

while read -r line; do
  grep -q -E -e "$line" <<<"$functions" || echo "$list: no function matches $line" >&2
done <<<"$lines"

grep "${which[@]}" -E -e "$lines" <<<"$functions" | cut -f1 | awk '{ print $3 }' ||
  { echo "$object and $list have nothing in common" >&2; exit 1; }
